// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"
)

// A log is a header and frames, appended in batches that are synced before the
// next one is written:
//
//	mark 4 | length of payload 4 | synced 8 | CRC-32C of all that and of payload 4 | payload
//
// synced is the length of the file when the batch was begun: all of that was on
// disk by then. It tells a torn tail from damage. A power cut can leave any part
// of the last batch behind, in any order, and so can a bad frame be followed by
// good ones of its own batch; but a good frame whose synced lies beyond the bad
// one proves that the bad one was whole once. A frame without payload is a seal:
// it proves that for everything before it.
const (
	logVersion = 1
	logName    = "rheostat log "
	frameMark  = "\xf5RHS" // 0xf5 is in no UTF-8 text, and so in no payload
	frameHead  = 20
	maxPayload = 256 << 20
)

var (
	logHeader  = fmt.Sprintf("%s%d\n", logName, logVersion)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func appendFrame(b []byte, synced int64, payload ...[]byte) []byte {
	length := 0
	for _, part := range payload {
		length += len(part)
	}
	head := len(b)
	b = append(b, frameMark...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = binary.BigEndian.AppendUint64(b, uint64(synced))
	sum := crc32.Checksum(b[head:], castagnoli)
	for _, part := range payload {
		sum = crc32.Update(sum, castagnoli, part)
	}
	b = binary.BigEndian.AppendUint32(b, sum)
	for _, part := range payload {
		b = append(b, part...)
	}
	return b
}

// frame is one that was read. Its payload is valid until the next is read.
type frame struct {
	at, synced int64
	payload    []byte
}

func (f frame) size() int64 { return frameHead + int64(len(f.payload)) }

// badFrame is what follows the last good one.
type badFrame string

func (e badFrame) Error() string { return string(e) }

// readFrame reads the frame at the beginning of r, of which limit bytes are left.
// The error is io.EOF at the end of the log, a badFrame, or the disk's.
func readFrame(r io.Reader, at, limit int64, payload []byte) (frame, error) {
	if limit == 0 {
		return frame{}, io.EOF
	}
	var head [frameHead]byte
	if limit < frameHead {
		return frame{}, badFrame("the record is cut short")
	}
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	length := int64(binary.BigEndian.Uint32(head[4:]))
	synced := binary.BigEndian.Uint64(head[8:])
	switch {
	case string(head[:4]) != frameMark:
		return frame{}, badFrame("there is no record")
	case length > maxPayload || synced > uint64(at):
		return frame{}, badFrame("the record's head cannot be right")
	case length > limit-frameHead:
		return frame{}, badFrame("the record is cut short")
	}
	if int64(cap(payload)) < length {
		payload = make([]byte, length)
	}
	payload = payload[:length]
	if _, err := io.ReadFull(r, payload); err != nil {
		return frame{}, err
	}
	sum := crc32.Update(crc32.Checksum(head[:16], castagnoli), castagnoli, payload)
	if sum != binary.BigEndian.Uint32(head[16:]) {
		return frame{}, badFrame("the record's checksum does not match")
	}
	return frame{at: at, synced: int64(synced), payload: payload}, nil
}

// frameAt reads one frame in the middle of a log, of which everything is known
// to have been good.
func frameAt(r io.ReaderAt, name string, at, size int64) (frame, error) {
	f, err := readFrame(io.NewSectionReader(r, at, size), at, size, nil)
	var bad badFrame
	if errors.As(err, &bad) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return f, &CorruptError{name, at, "a record that was good is not any more"}
	}
	return f, err
}

// tail is how a log ends.
type tail struct {
	// end is behind the last good frame, synced what that frame says, and torn
	// how many bytes of a batch that was cut short follow.
	end, synced, torn int64
	// sealed says that the last good frame is a seal.
	sealed bool
}

// scanLog reads a log of that size and visits every record. A tail that was torn
// is not an error; damage is a *CorruptError.
func scanLog(r io.ReaderAt, name string, size int64, visit func(frame) error) (tail, error) {
	if err := checkHeader(r, name, size); err != nil {
		return tail{}, err
	}
	t := tail{end: int64(len(logHeader)), synced: int64(len(logHeader)), sealed: true}
	in := bufio.NewReaderSize(io.NewSectionReader(r, t.end, size-t.end), int(min(size, 256<<10)))
	var payload []byte
	for {
		f, err := readFrame(in, t.end, size-t.end, payload)
		var bad badFrame
		switch {
		case errors.Is(err, io.EOF) && t.end == size:
			return t, nil
		case errors.As(err, &bad):
			t.torn = size - t.end
			return t, tornOrCorrupt(r, name, t.end, size, string(bad))
		case err != nil:
			return t, fmt.Errorf("strategy: store: read %s: %w", name, err)
		case f.synced != f.at && f.synced != t.synced:
			return t, &CorruptError{name, f.at, "the record belongs somewhere else"}
		}
		if len(f.payload) > 0 {
			if err := visit(f); err != nil {
				return t, err
			}
		}
		payload = f.payload
		t.end, t.synced, t.sealed = f.at+f.size(), f.synced, len(f.payload) == 0
	}
}

// checkHeader refuses what is not a log, and a log of a newer release. A log
// gets its name only when its header is on disk, so a missing one is damage.
func checkHeader(r io.ReaderAt, name string, size int64) error {
	head := make([]byte, min(size, int64(len(logName)+20)))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("strategy: store: read %s: %w", name, err)
	}
	version, isLog := strings.CutPrefix(string(head), logName)
	version, _, isWhole := strings.Cut(version, "\n")
	switch {
	case !isLog || !isWhole:
		return &CorruptError{name, 0, fmt.Sprintf("it does not begin with %q", logHeader)}
	case logName+version+"\n" != logHeader:
		return fmt.Errorf("%w: %s has format %q, this release knows %d; upgrade it", ErrVersion, name, version, logVersion)
	}
	return nil
}

// tornOrCorrupt looks behind a bad frame for a proof that it was whole once.
func tornOrCorrupt(r io.ReaderAt, name string, bad, size int64, why string) error {
	const chunk = 1 << 20
	window := make([]byte, min(chunk, size-bad)+int64(len(frameMark))-1)
	for from := bad + 1; from < size; from += chunk {
		n, err := r.ReadAt(window[:min(int64(len(window)), size-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("strategy: store: read %s: %w", name, err)
		}
		for i := 0; ; i++ {
			next := bytes.Index(window[i:n], []byte(frameMark))
			if next < 0 || i+next >= chunk {
				break
			}
			i += next
			at := from + int64(i)
			f, err := readFrame(io.NewSectionReader(r, at, size-at), at, size-at, nil)
			var no badFrame
			switch {
			case err != nil && !errors.As(err, &no):
				return fmt.Errorf("strategy: store: read %s: %w", name, err)
			case err == nil && f.synced > bad:
				return &CorruptError{name, bad, fmt.Sprintf("%s, yet the one at byte %d was written after it was on disk", why, at)}
			}
		}
	}
	return nil
}

// recordHead is the first line of a record; the state is the second, and the
// transitions are the third if there are any. All three are JSON without a line
// break in it.
type recordHead struct {
	Service string `json:"service"`
	Prev    uint64 `json:"prev"`
	Rev     uint64 `json:"rev"`
}

func encodeRecord(head recordHead, next State, log []Transition) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	state, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	var transitions []byte
	if len(log) > 0 {
		if transitions, err = json.Marshal(log); err != nil {
			return nil, err
		}
	}
	record := make([]byte, 0, len(line)+len(state)+len(transitions)+2)
	record = append(append(append(record, line...), '\n'), state...)
	if transitions != nil {
		record = append(append(record, '\n'), transitions...)
	}
	if len(record) > maxPayload || len(record) > math.MaxInt32 {
		return nil, fmt.Errorf("the state takes %d bytes, more than %d", len(record), maxPayload)
	}
	return record, nil
}

// splitRecord gives the parts of a record. state and log point into it.
func splitRecord(record []byte) (head recordHead, state, log []byte, err error) {
	line, rest, ok := bytes.Cut(record, []byte{'\n'})
	if !ok {
		return head, nil, nil, errors.New("the record has no state")
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return head, nil, nil, fmt.Errorf("the record's first line: %w", err)
	}
	state, log, _ = bytes.Cut(rest, []byte{'\n'})
	return head, state, log, nil
}
