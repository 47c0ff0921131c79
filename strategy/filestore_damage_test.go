// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// story is a log and what it held after each of its saves.
type story struct {
	log []byte
	// ends[i] is the length of the log after i saves, and held[i] what it held.
	ends []int64
	held []map[string]uint64
}

// tell writes a log through the real store: eight saves of three services, with
// the two last ones in a batch of their own, closed or left behind as by a crash.
func tell(tb testing.TB, closed bool) story {
	tb.Helper()
	d := newMemDisk()
	f := mustOpen(tb, d, FileStoreOptions{})
	s := story{ends: []int64{f.end}, held: []map[string]uint64{{}}}
	held := map[string]uint64{}
	note := func(service string, end int64) {
		held[service]++
		s.held, s.ends = append(s.held, maps.Clone(held)), append(s.ends, end)
	}
	for service := range strings.FieldsSeq("web api web db api web") {
		mustSave(tb, f, service, held[service]+1)
		note(service, f.end)
	}
	batch := []*pendingSave{waiting(tb, f, "api", 3), waiting(tb, f, "web", 4)}
	end := f.end
	f.turn <- struct{}{}
	f.commit()
	<-f.turn
	for _, p := range batch {
		if <-p.done; p.err != nil {
			tb.Fatal(p.err)
		}
		end += frameHead + int64(len(p.record))
		note(p.service, end)
	}
	if closed {
		mustClose(tb, f)
	}
	s.log = d.bytes(stateLog)
	return s
}

// waiting queues a save without taking the turn.
func waiting(tb testing.TB, f *FileStore, service string, rev uint64) *pendingSave {
	tb.Helper()
	next := plain(service, rev)
	record, err := encodeRecord(recordHead{service, rev - 1, rev}, next, []Transition{noted(rev)})
	if err != nil {
		tb.Fatal(err)
	}
	p := &pendingSave{service: service, prev: rev - 1, rev: rev, state: &next, record: record, done: make(chan struct{})}
	f.queue = append(f.queue, p)
	return p
}

// revs is what the store holds, each state compared with the one that was saved.
func revs(tb testing.TB, f *FileStore) map[string]uint64 {
	tb.Helper()
	got := map[string]uint64{}
	for service, err := range f.List(tb.Context()) {
		if err != nil {
			tb.Fatal(err)
		}
		s, err := f.Load(tb.Context(), service)
		if err != nil {
			tb.Fatal(err)
		}
		if want := plain(service, s.Rev); s.Reason != want.Reason || s.Service != service {
			tb.Fatalf("loaded %+v, which was never saved", s)
		}
		got[service] = s.Rev
	}
	return got
}

// stride thins out the tests that go through every byte or call, with -short.
func stride() int64 {
	if testing.Short() {
		return 7
	}
	return 1
}

func TestALogCutAtAnyByteOpensToWhatWasSavedBefore(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		s := tell(t, closed)
		for cut := int64(0); cut <= int64(len(s.log)); cut += stride() {
			d := newMemDisk()
			d.put(stateLog, s.log[:cut])
			f, err := openMem(d, FileStoreOptions{})
			if cut < s.ends[0] {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("cut at %d, within the header: %v, want ErrCorrupt", cut, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			whole := 0
			for whole+1 < len(s.ends) && s.ends[whole+1] <= cut {
				whole++
			}
			if got := heldBy(f); !maps.Equal(got, s.held[whole]) {
				t.Fatalf("cut at %d: opened to %v, want %v", cut, got, s.held[whole])
			}
			if got := int64(len(d.bytes(stateLog))); got != f.end {
				t.Fatalf("cut at %d: %d bytes of what was cut short are still there", cut, got-f.end)
			}
			if cut%8 != 0 && cut != s.ends[whole] {
				continue // what follows depends on what was found alone
			}
			if got := revs(t, f); !maps.Equal(got, s.held[whole]) {
				t.Fatalf("cut at %d: loaded %v, want %v", cut, got, s.held[whole])
			}
			mustSave(t, f, "web", s.held[whole]["web"]+1)
			mustClose(t, f)
			wantState(t, mustOpen(t, d, FileStoreOptions{}), "web", s.held[whole]["web"]+1)
		}
	}
}

func TestAFlippedBitIsRefusedOrOpensToWhatWasSavedBefore(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		s := tell(t, closed)
		lastBatch := s.ends[len(s.ends)-3]
		refused, shortened, first := 0, 0, 0
		if !closed {
			first = int(s.ends[len(s.ends)-4]) // what comes before is the same log
		}
		for at := first; at < len(s.log); at += int(stride()) {
			for bit := range 8 {
				log := slices.Clone(s.log)
				log[at] ^= 1 << bit
				d := newMemDisk()
				d.put(stateLog, log)
				f, err := openMem(d, FileStoreOptions{})
				switch {
				case errors.Is(err, ErrCorrupt), errors.Is(err, ErrVersion):
					refused++
				case err != nil:
					t.Fatalf("bit %d of byte %d: %v, want ErrCorrupt or a store", bit, at, err)
				case int64(at) < lastBatch, closed && int64(at) < s.ends[len(s.ends)-1]:
					t.Fatalf("bit %d of byte %d flipped and nobody noticed", bit, at)
				default:
					shortened++
					if got := heldBy(f); !slices.ContainsFunc(s.held, func(h map[string]uint64) bool { return maps.Equal(h, got) }) {
						t.Fatalf("bit %d of byte %d: opened to %v, which it never held", bit, at, got)
					}
				}
			}
		}
		t.Logf("closed %v: bytes %d to %d, %d flips refused, %d opened to a shorter history", closed, first, len(s.log), refused, shortened)
	}
}

// heldBy is revs without decoding: scanning has compared every checksum.
func heldBy(f *FileStore) map[string]uint64 {
	got := map[string]uint64{}
	for service, e := range f.services {
		got[service] = e.rev
	}
	return got
}

// TestDamageNamesItsPlaceAndARemedyThatWorks does what the error says.
func TestDamageNamesItsPlaceAndARemedyThatWorks(t *testing.T) {
	t.Parallel()
	s := tell(t, true)
	dir := t.TempDir()
	name := filepath.Join(dir, stateLog)
	log := slices.Clone(s.log)
	log[s.ends[3]+100] ^= 1
	if err := os.WriteFile(name, log, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenFileStore(dir, FileStoreOptions{})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != name || corrupt.Offset != s.ends[3] {
		t.Fatalf("opened: %v, want a *CorruptError at byte %d of %s", err, s.ends[3], name)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("truncate -s %d %s", s.ends[3], name)) {
		t.Errorf("%q does not say what to do", err)
	}
	if err := os.Truncate(name, corrupt.Offset); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFileStore(dir, FileStoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := revs(t, f); !maps.Equal(got, s.held[3]) {
		t.Errorf("opened to %v, want %v", got, s.held[3])
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	t.Parallel()
	story := tell(t, true)
	whole := string(story.log)
	frames := whole[len(logHeader):]
	for what, c := range map[string]struct {
		files map[string]string
		want  error
	}{
		"nothing":                     {map[string]string{stateLog: ""}, ErrCorrupt},
		"another file":                {map[string]string{stateLog: "hello\n"}, ErrCorrupt},
		"a newer format":              {map[string]string{stateLog: logName + "2\n" + frames}, ErrVersion},
		"a much newer format":         {map[string]string{stateLog: logName + "2027-01\n"}, ErrVersion},
		"no log beside journals":      {map[string]string{"journal-00000001": logHeader}, ErrCorrupt},
		"a record out of its place":   {map[string]string{stateLog: whole + frames}, ErrCorrupt},
		"a record that is missing":    {map[string]string{stateLog: whole[:story.ends[3]] + whole[story.ends[4]:]}, ErrCorrupt},
		"something in between":        {map[string]string{stateLog: whole[:story.ends[3]] + string(appendFrame(nil, story.ends[3])) + whole[story.ends[3]:]}, ErrCorrupt},
		"a record that comes twice":   {map[string]string{stateLog: logHeader + twice(whole)}, ErrCorrupt},
		"a record that is not one":    {map[string]string{stateLog: logHeader + string(appendFrame(nil, int64(len(logHeader)), []byte("hello")))}, ErrCorrupt},
		"a record whose head is none": {map[string]string{stateLog: logHeader + string(appendFrame(nil, int64(len(logHeader)), []byte("hello\n{}")))}, ErrCorrupt},
	} {
		d := newMemDisk()
		for name, text := range c.files {
			d.put(name, []byte(text))
		}
		if _, err := openMem(d, FileStoreOptions{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// twice is the first record of a log, and the same again in the same batch.
func twice(log string) string {
	first, err := frameAt(strings.NewReader(log), "log", int64(len(logHeader)), int64(len(log)-len(logHeader)))
	if err != nil {
		panic(err)
	}
	return strings.Repeat(string(appendFrame(nil, first.synced, first.payload)), 2)
}

// TestDamageWhileOpenIsSeenByLoadAndByCompaction flips a bit under an open store.
func TestDamageWhileOpenIsSeenByLoadAndByCompaction(t *testing.T) {
	t.Parallel()
	s := tell(t, true)
	d := newMemDisk()
	d.put(stateLog, s.log)
	f := mustOpen(t, d, FileStoreOptions{})
	at := f.services["db"].at
	d.files[stateLog].data[at+frameHead+40] ^= 4
	if _, err := f.Load(t.Context(), "db"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("loaded a damaged record: %v, want ErrCorrupt", err)
	}
	f.turn <- struct{}{}
	err := f.compact()
	<-f.turn
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("rewrote a log with a damaged record: %v, want ErrCorrupt", err)
	}
	if _, ok := d.files[stateLog+newSuffix]; ok {
		t.Error("the new log was left behind")
	}
	wantState(t, f, "web", 4)
	mustSave(t, f, "web", 5)

	// At the very end of the log it looks like a tail that was torn, and is none.
	d = newMemDisk()
	f = mustOpen(t, d, FileStoreOptions{})
	mustSave(t, f, "web", 1)
	mustSave(t, f, "db", 1)
	d.files[stateLog].data[f.end-1] ^= 4
	f.turn <- struct{}{}
	err = f.compact()
	<-f.turn
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("rewrote a log with a damaged end: %v, want ErrCorrupt", err)
	}
}

// TestARewrittenLogIsSealed flips bits in a log that was rewritten and not yet
// appended to: all of it was on disk before it got its name.
func TestARewrittenLogIsSealed(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	for _, service := range []string{"web", "api", "db"} {
		mustSave(t, f, service, 1)
		mustSave(t, f, service, 2)
	}
	f.turn <- struct{}{}
	err := f.compact()
	<-f.turn
	if err != nil {
		t.Fatal(err)
	}
	log := d.bytes(stateLog)
	for at := range int64(len(log) - frameHead) {
		damaged := slices.Clone(log)
		damaged[at] ^= 0x10
		d := newMemDisk()
		d.put(stateLog, damaged)
		if _, err := openMem(d, FileStoreOptions{}); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d damaged: %v, want ErrCorrupt", at, err)
		}
	}
	if got := revs(t, f); !maps.Equal(got, map[string]uint64{"web": 2, "api": 2, "db": 2}) {
		t.Errorf("holds %v after it was rewritten", got)
	}
}

// TestAStateOfANewerReleaseIsRefusedAlone leaves the other services usable.
func TestAStateOfANewerReleaseIsRefusedAlone(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	mustSave(t, f, "web", 1)
	newer := waiting(t, f, "api", 1)
	newer.record = []byte(`{"service":"api","prev":0,"rev":1}` + "\n" + `{"version":99,"rev":1}`)
	f.turn <- struct{}{}
	f.commit()
	<-f.turn
	mustClose(t, f)
	f = mustOpen(t, d, FileStoreOptions{})
	if _, err := f.Load(t.Context(), "api"); !errors.Is(err, ErrVersion) {
		t.Errorf("loaded: %v, want ErrVersion", err)
	}
	wantState(t, f, "web", 1)
}

func FuzzOpenAnyLog(f *testing.F) {
	for _, closed := range []bool{false, true} {
		s := tell(f, closed)
		f.Add(s.log[len(logHeader):])
		f.Add(s.log[len(logHeader):s.ends[1]])
		f.Add(s.log[len(logHeader) : len(s.log)-7])
	}
	f.Fuzz(openAny)
}

// FuzzOpenAnyRecords gets past the checksums: every piece is in a good frame.
func FuzzOpenAnyRecords(f *testing.F) {
	f.Add([]byte(`{"service":"web","prev":0,"rev":1}` + "\n{}\x00" + `{"service":"web","prev":1,"rev":2}` + "\n{}\n[]\x00"))
	f.Fuzz(func(t *testing.T, pieces []byte) {
		var frames []byte
		for piece := range bytes.SplitSeq(pieces, []byte{0}) {
			frames = appendFrame(frames, int64(len(logHeader)), piece)
		}
		openAny(t, frames)
	})
}

// openAny opens a log of these frames, and if that is one, goes on with it.
func openAny(t *testing.T, frames []byte) {
	t.Helper()
	d := newMemDisk()
	d.put(stateLog, append([]byte(logHeader), frames...))
	store, err := openMem(d, FileStoreOptions{})
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("opened: %v, want ErrCorrupt or a store", err)
		}
		return
	}
	held := heldBy(store)
	for service, rev := range held {
		if s, err := store.Load(t.Context(), service); err == nil && s.Rev != rev {
			t.Fatalf("loaded rev %d of %q, want %d or an error", s.Rev, service, rev)
		}
	}
	rev := held["fuzz"] + 1
	if rev == 0 {
		return // there is no rev above the last
	}
	mustSave(t, store, "fuzz", rev)
	held["fuzz"] = rev
	mustClose(t, store)
	store = mustOpen(t, d, FileStoreOptions{})
	if got := heldBy(store); !maps.Equal(got, held) {
		t.Fatalf("opened again to %v, want %v", got, held)
	}
	wantState(t, store, "fuzz", rev)
}
