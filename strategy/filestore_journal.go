// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
)

// Journal files are logs of records without a state, numbered in the order in
// which they were begun. A process that rewrites the log begins one of its own
// and another when that is full, so that none is ever appended to whose end
// nobody saw being synced.
const (
	journalName  = journalPrefix + "%08d"
	journalParts = 16 // a journal file is full with this part of JournalBytes
)

type journalWriter struct {
	file file
	name string
	buf  []byte
	end  int64 // where buf goes; everything before it was written
	// synced is what was on disk when the present batch was begun.
	synced int64
}

// archive appends a record's transitions to the journal. They are on disk after
// the next sync.
func (f *FileStore) archive(head recordHead, log []byte) error {
	j := &f.journal
	if j.file == nil {
		if err := f.beginJournal(); err != nil {
			return err
		}
	}
	line, err := json.Marshal(head)
	if err != nil {
		return err
	}
	j.buf = appendFrame(j.buf, j.synced, line, []byte{'\n'}, []byte{'\n'}, log)
	if len(j.buf) < maxBatch {
		return nil
	}
	return j.flush()
}

func (j *journalWriter) flush() error {
	if _, err := j.file.WriteAt(j.buf, j.end); err != nil {
		return err
	}
	j.end += int64(len(j.buf))
	j.buf = j.buf[:0]
	return nil
}

// sync makes sure of everything archived.
func (j *journalWriter) sync() error {
	if j.file == nil {
		return nil
	}
	if err := j.flush(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.synced = j.end
	return nil
}

// beginJournal makes the file behind the last one.
func (f *FileStore) beginJournal() error {
	names, err := f.journalNames()
	if err != nil {
		return err
	}
	number := 1
	if len(names) > 0 {
		if _, err := fmt.Sscanf(names[len(names)-1], journalName, &number); err != nil {
			return fmt.Errorf("strategy: store: %s: not the name of a journal", f.disk.path(names[len(names)-1]))
		}
		number++
	}
	name := fmt.Sprintf(journalName, number)
	opened, err := createLog(f.disk, name)
	if err != nil {
		return err
	}
	start := int64(len(logHeader))
	f.journal = journalWriter{file: opened, name: name, buf: f.journal.buf[:0], end: start, synced: start}
	return nil
}

func (f *FileStore) closeJournal() error {
	j := f.journal.file
	f.journal = journalWriter{}
	if j == nil {
		return nil
	}
	return j.Close()
}

// pruneJournal ends a file that is full and removes the oldest ones.
func (f *FileStore) pruneJournal() error {
	if f.journal.file != nil && f.journal.end >= f.options.JournalBytes/journalParts {
		if err := f.closeJournal(); err != nil {
			return err
		}
	}
	names, err := f.journalNames()
	if err != nil {
		return err
	}
	var total int64
	first := len(names)
	for ; first > 0; first-- {
		size, err := f.fileSize(names[first-1])
		if err != nil {
			return err
		}
		if total += size; total > f.options.JournalBytes {
			break
		}
	}
	// The oldest goes first, and for good, so that what is left never has a gap.
	for _, name := range names[:first] {
		if name == f.journal.name {
			break
		}
		if err := f.disk.remove(name); err != nil {
			return err
		}
		if err := f.disk.sync(); err != nil {
			return err
		}
	}
	return nil
}

func (f *FileStore) fileSize(name string) (int64, error) {
	opened, err := f.disk.open(name, 0)
	if err != nil {
		return 0, err
	}
	size, err := opened.size()
	return size, errors.Join(err, opened.Close())
}

func (f *FileStore) journalNames() ([]string, error) {
	all, err := f.disk.names()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if strings.HasPrefix(name, journalPrefix) && !strings.HasSuffix(name, newSuffix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Journal yields the transitions that were saved with the service's states,
// oldest first, as far back as the journal files go. It reads all of them: it is
// for people and reports, not for turns. It ends after the first error.
func (f *FileStore) Journal(ctx context.Context, service string) iter.Seq2[Transition, error] {
	return func(yield func(Transition, error) bool) {
		parts, err := f.openJournal()
		defer func() {
			for _, p := range parts {
				_ = p.file.Close() // it was only read
			}
		}()
		if err != nil {
			yield(Transition{}, fmt.Errorf("strategy: journal of %q: %w", service, err))
			return
		}
		r := journalReader{ctx: ctx, service: service, yield: yield}
		for _, p := range parts {
			if err := r.read(p); err != nil {
				if !errors.Is(err, errStop) {
					yield(Transition{}, fmt.Errorf("strategy: journal of %q: %w", service, err))
				}
				return
			}
		}
	}
}

// errStop ends a scan whose reader has had enough.
var errStop = errors.New("strategy: stop")

// journalPart is a file to read up to size.
type journalPart struct {
	file file
	path string
	size int64
}

// openJournal opens the journal files and then the log: together they have every
// transition at least once, because the log is not replaced meanwhile.
func (f *FileStore) openJournal() ([]journalPart, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return nil, ErrStoreClosed
	}
	names, err := f.journalNames()
	if err != nil {
		return nil, err
	}
	var parts []journalPart
	for _, name := range append(names, stateLog) {
		opened, err := f.disk.open(name, 0)
		if errors.Is(err, fs.ErrNotExist) && name != stateLog {
			continue // the oldest was removed
		}
		if err != nil {
			return parts, err
		}
		size, err := opened.size()
		parts = append(parts, journalPart{opened, f.disk.path(name), size})
		if err != nil {
			return parts, err
		}
	}
	return parts, nil
}

type journalReader struct {
	ctx     context.Context
	service string
	yield   func(Transition, error) bool
	// rev is the last that was yielded. A record of the log may be in the
	// journal already, if what came between was cut short.
	rev uint64
}

func (r *journalReader) read(p journalPart) error {
	_, err := scanLog(p.file, p.path, p.size, func(f frame) error {
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		return r.record(p, f)
	})
	return err
}

func (r *journalReader) record(p journalPart, f frame) error {
	head, _, log, err := splitRecord(f.payload)
	if err != nil {
		return &CorruptError{p.path, f.at, err.Error()}
	}
	if head.Service != r.service || head.Rev <= r.rev {
		return nil
	}
	r.rev = head.Rev
	if len(log) == 0 {
		return nil
	}
	var transitions []Transition
	if err := json.Unmarshal(log, &transitions); err != nil {
		return &CorruptError{p.path, f.at, err.Error()}
	}
	for _, t := range transitions {
		if !r.yield(t, nil) {
			return errStop
		}
	}
	return nil
}
