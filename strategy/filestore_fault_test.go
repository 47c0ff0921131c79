// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// world is a store on a disk that fails, and what its callers know.
type world struct {
	t    *testing.T
	name string
	disk *memDisk
	// store is nil while it cannot be opened.
	store *FileStore
	// acked is the rev of the last save that returned nil, and tried the last
	// that was begun.
	acked, tried map[string]uint64
}

// little makes the log be rewritten, and journals go, within a few saves.
var little = FileStoreOptions{CompactAt: 3000, JournalBytes: 4000}

func (w *world) open() {
	f, err := openMem(w.disk, little)
	if err != nil {
		if !errors.Is(err, errDisk) {
			w.t.Fatalf("%s: open: %v", w.name, err)
		}
		return
	}
	w.store = f
}

// save tries one save from what Load says, and opens the store anew where its
// errors ask for that, as a process would that is started again.
func (w *world) save(service string) {
	ctx := context.Background()
	if w.store == nil {
		w.open()
	}
	if w.store == nil {
		return
	}
	s, err := w.store.Load(ctx, service)
	if err == nil {
		w.check(service, s)
		next := s.Rev + 1
		w.tried[service] = max(w.tried[service], next)
		if err = w.store.Save(ctx, service, s.Rev, plain(service, next), noted(next)); err == nil {
			w.acked[service] = next
			return
		}
	}
	switch {
	case errors.Is(err, ErrStoreFailed):
		_ = w.store.Close()
		w.store = nil
	case !errors.Is(err, errDisk):
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

// check holds a state against what was acknowledged and what was tried.
func (w *world) check(service string, s State) {
	w.t.Helper()
	if s.Rev < w.acked[service] || s.Rev > w.tried[service] {
		w.t.Fatalf("%s: %s is at rev %d; %d was saved and %d tried", w.name, service, s.Rev, w.acked[service], w.tried[service])
	}
	if s.Rev > 0 && s.Reason != plain(service, s.Rev).Reason {
		w.t.Fatalf("%s: loaded %+v, which was never saved", w.name, s)
	}
}

// live is a life of the store with enough saves for the log to be rewritten
// several times and for journals to be begun and removed.
func (w *world) live() {
	w.acked, w.tried = map[string]uint64{}, map[string]uint64{}
	w.open()
	for i := range lifeSaves {
		w.save([]string{"web", "api", "db"}[i%3])
		if i == lifeSaves/2 && w.store != nil {
			_ = w.store.Close()
			w.store = nil
		}
	}
}

// cutThePower opens what the disk would hold after a power cut. Nothing that was
// acknowledged may be missing, and what a cut leaves is never taken for damage.
func (w *world) cutThePower(seeds int) {
	for seed := range seeds {
		f, err := openMem(w.disk.reboot(rand.New(rand.NewPCG(uint64(seed), 7))), little)
		if err != nil {
			w.t.Fatalf("%s, power cut %d: %v", w.name, seed, err)
		}
		for _, service := range []string{"web", "api", "db"} {
			s, err := f.Load(context.Background(), service)
			if err != nil {
				w.t.Fatalf("%s, power cut %d: %v", w.name, seed, err)
			}
			w.check(service, s)
			w.wantJournalUpTo(f, service, s.Rev)
		}
	}
}

// wantJournalUpTo checks that the journal ends with the state's own transition
// and has no gap.
func (w *world) wantJournalUpTo(f *FileStore, service string, last uint64) {
	var rev uint64
	for tr, err := range f.Journal(context.Background(), service) {
		if err != nil {
			w.t.Fatalf("%s: journal: %v", w.name, err)
		}
		if rev != 0 && tr.Rev != rev+1 {
			w.t.Fatalf("%s: journal of %s has rev %d after %d", w.name, service, tr.Rev, rev)
		}
		rev = tr.Rev
	}
	if rev != last {
		w.t.Fatalf("%s: journal of %s ends with rev %d, its state is at %d", w.name, service, rev, last)
	}
}

const lifeSaves = 36

// TestAnyCallToTheDiskMayFail makes every single call of a life fail in three
// ways and cuts the power afterwards, at the end and at the failure itself.
func TestAnyCallToTheDiskMayFail(t *testing.T) {
	t.Parallel()
	quiet := &world{t: t, name: "no fault", disk: newMemDisk()}
	quiet.live()
	if quiet.acked["web"] != lifeSaves/3 {
		t.Fatalf("without a fault %d of %d saves went through", quiet.acked["web"], lifeSaves/3)
	}
	if _, ok := quiet.disk.files["journal-00000001"]; ok || len(quiet.disk.files) < 2 {
		t.Fatalf("the life is too short to rewrite the log and remove a journal: %v", quiet.disk.files)
	}
	t.Logf("%d calls", quiet.disk.calls)
	for call := 1; call <= quiet.disk.calls; call += int(stride()) {
		for what, f := range map[string]func(int, string) fault{
			"fails":                failAt(call, false),
			"works and says no":    failAt(call, true),
			"and nine more fail":   failFrom(call, call+10, false),
			"and forty say no":     failFrom(call, call+40, true),
			"and all others fail":  failFrom(call, 1<<30, false),
			"and every write fail": failWrites(call),
		} {
			w := &world{t: t, name: fmt.Sprintf("call %d %s", call, what), disk: newMemDisk()}
			w.disk.fault = f
			w.live()
			w.cutThePower(2)
		}
	}
}

func failFrom(first, end int, done bool) func(int, string) fault {
	return func(call int, op string) fault {
		if call < first || call >= end {
			return fault{}
		}
		return fault{err: fmt.Errorf("%s: %w", op, errDisk), done: done}
	}
}

// failWrites is a full disk: writes stop half way and everything else works.
func failWrites(from int) func(int, string) fault {
	return func(call int, op string) fault {
		if call < from || op != "write" {
			return fault{}
		}
		return fault{err: fmt.Errorf("%s: %w", op, errDisk), done: true}
	}
}

// TestThePowerMayBeCutAtAnyCall ends the life at every call.
func TestThePowerMayBeCutAtAnyCall(t *testing.T) {
	t.Parallel()
	quiet := &world{t: t, name: "no fault", disk: newMemDisk()}
	quiet.live()
	for call := 1; call <= quiet.disk.calls; call += int(stride()) {
		for _, done := range []bool{false, true} {
			w := &world{t: t, name: fmt.Sprintf("power cut at call %d, done %v", call, done), disk: newMemDisk()}
			w.disk.fault = endAt(call, done)
			w.disk.until(w.live)
			w.cutThePower(6)
		}
	}
}

// TestThePowerMayBeCutWhileAProcessStartsAfterAnotherWasKilled leaves what the
// first wrote with the system and not on disk, and cuts the power at every call
// of the second, and after it has saved.
func TestThePowerMayBeCutWhileAProcessStartsAfterAnotherWasKilled(t *testing.T) {
	t.Parallel()
	quiet := &world{t: t, name: "no fault", disk: newMemDisk()}
	quiet.live()
	for call := 1; call <= quiet.disk.calls; call += int(stride()) {
		for _, later := range []int{1, 2, 3, 4, 5, 6, 100} {
			w := &world{t: t, name: fmt.Sprintf("killed at call %d, power cut %d calls later", call, later), disk: newMemDisk()}
			w.disk.fault = endAt(call, false)
			w.disk.until(w.live)
			w.store = nil
			w.disk.fault = endAt(w.disk.calls+later, false)
			w.disk.until(func() {
				w.save("web")
				w.save("api")
			})
			w.cutThePower(3)
		}
	}
}

// endAt is the end of the process at this call, before or after its effect.
func endAt(end int, done bool) func(int, string) fault {
	return func(call int, _ string) fault {
		switch {
		case call < end:
			return fault{}
		case call == end && done:
			return fault{err: errDisk, done: true}
		}
		panic(errDisk)
	}
}

// until runs f to the end that endAt sets.
func (d *memDisk) until(f func()) {
	defer func() {
		v := recover()
		if err, ok := v.(error); v != nil && (!ok || !errors.Is(err, errDisk)) {
			panic(v)
		}
		d.fault = nil
	}()
	f()
}

// TestAFullDiskIsSurvived takes writes back, and goes on when there is room again.
func TestAFullDiskIsSurvived(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	mustSave(t, f, "web", 1)
	end := len(d.bytes(stateLog))
	d.fault = failWrites(0)
	err := f.Save(t.Context(), "web", 1, plain("web", 2))
	if !errors.Is(err, errDisk) || errors.Is(err, ErrStoreFailed) {
		t.Fatalf("saved on a full disk: %v, want the disk's error", err)
	}
	if got := len(d.bytes(stateLog)); got != end {
		t.Errorf("the log has %d bytes after a save that failed, want the %d from before", got, end)
	}
	wantState(t, f, "web", 1)

	// Half of these two is the first of them, and nothing of it may be left.
	waiting(t, f, "web", 2)
	waiting(t, f, "web", 3)
	f.turn <- struct{}{}
	f.commit()
	<-f.turn
	for seed := range uint64(20) {
		wantState(t, mustOpen(t, d.reboot(rand.New(rand.NewPCG(seed, 1))), FileStoreOptions{}), "web", 1)
	}
	d.fault = nil
	mustSave(t, f, "web", 2)
	mustSave(t, f, "api", 1)
}

// TestAfterASyncThatFailedNothingIsSavedOrGuessed holds until it is opened again,
// and then the state is one of the two, also after a power cut.
func TestAfterASyncThatFailedNothingIsSavedOrGuessed(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	mustSave(t, f, "web", 1)
	mustSave(t, f, "api", 1)
	d.fault = func(_ int, op string) fault {
		if op == "sync" {
			return fault{err: errDisk}
		}
		return fault{}
	}
	if err := f.Save(t.Context(), "web", 1, plain("web", 2)); !errors.Is(err, ErrStoreFailed) || !errors.Is(err, errDisk) {
		t.Fatalf("saved though the sync failed: %v, want ErrStoreFailed with the cause", err)
	}
	d.fault = nil
	if err := f.Save(t.Context(), "api", 1, plain("api", 2)); !errors.Is(err, ErrStoreFailed) {
		t.Errorf("saved afterwards: %v, want ErrStoreFailed", err)
	}
	if _, err := f.Load(t.Context(), "web"); !errors.Is(err, ErrStoreFailed) {
		t.Errorf("loaded what may or may not be on disk: %v, want ErrStoreFailed", err)
	}
	wantState(t, f, "api", 1)
	mustClose(t, f)

	// The system shows rev 2 and believes it is on disk, which it is not. Once
	// the store has shown it too, it must be.
	f = mustOpen(t, d, FileStoreOptions{})
	wantState(t, f, "web", 2)
	for seed := range uint64(10) {
		after := mustOpen(t, d.reboot(rand.New(rand.NewPCG(seed, 1))), FileStoreOptions{})
		wantState(t, after, "web", 2)
		wantState(t, after, "api", 1)
	}
}

// TestALogThatMayHaveLostItsNameTakesNoSaves is the sync of the directory that
// fails after the new log got its name: after a power cut the old one may be back.
func TestALogThatMayHaveLostItsNameTakesNoSaves(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sync dir", "rename " + stateLog} {
		d := newMemDisk()
		f := mustOpen(t, d, FileStoreOptions{CompactAt: 3000, JournalBytes: 1})
		renamed := false
		d.fault = func(_ int, now string) fault {
			if renamed = renamed || now == "rename "+stateLog; renamed && now == op {
				return fault{err: errDisk, done: op != "sync dir"}
			}
			return fault{}
		}
		var rev uint64
		for ; !renamed; rev++ {
			mustSave(t, f, "web", rev+1)
		}
		if err := f.Save(t.Context(), "web", rev, plain("web", rev+1)); !errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s failed: saved with %v, want ErrStoreFailed", op, err)
		}
		wantState(t, f, "web", rev)
	}
}

// TestARenameThatFailedIsTriedAgain keeps the old log meanwhile.
func TestARenameThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{CompactAt: 3000})
	renames := 0
	d.fault = func(_ int, op string) fault {
		if op != "rename "+stateLog {
			return fault{}
		}
		if renames++; renames == 1 {
			return fault{err: errDisk}
		}
		return fault{}
	}
	var rev uint64
	for ; renames < 2; rev++ {
		mustSave(t, f, "web", rev+1)
		if rev > 100 {
			t.Fatal("the log was never rewritten again")
		}
	}
	wantJournal(t, f, "web", 1, rev)
	mustClose(t, f)
	f = mustOpen(t, d, FileStoreOptions{})
	wantState(t, f, "web", rev)
	wantJournal(t, f, "web", 1, rev)
}

// TestTheOldestJournalGoesFirst fails when half of those that must go are gone.
func TestTheOldestJournalGoesFirst(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	const journals = 6
	compact := func(o FileStoreOptions, rev uint64) error {
		f := mustOpen(t, d, o)
		mustSave(t, f, "web", rev)
		f.turn <- struct{}{}
		err := f.compact()
		<-f.turn
		wantState(t, f, "web", rev)
		mustClose(t, f)
		return err
	}
	for rev := range uint64(journals) {
		if err := compact(FileStoreOptions{}, rev+1); err != nil {
			t.Fatal(err)
		}
	}
	removed := 0
	d.fault = func(_ int, op string) fault {
		if op != "remove" {
			return fault{}
		}
		if removed++; removed > journals/2 {
			return fault{err: errDisk}
		}
		return fault{}
	}
	if err := compact(FileStoreOptions{JournalBytes: 1}, journals+1); !errors.Is(err, errDisk) {
		t.Fatalf("rewritten: %v, want the disk's error", err)
	}
	wantJournal(t, mustOpen(t, d, FileStoreOptions{}), "web", journals/2+1, journals+1)
}

// TestTheLogStaysSmallAndSoDoTheJournals measures a long life on a real disk.
func TestTheLogStaysSmallAndSoDoTheJournals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := FileStoreOptions{CompactAt: 10_000, JournalBytes: 40_000}
	f, err := OpenFileStore(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	const saves = 600
	for rev := uint64(1); rev <= saves; rev++ {
		mustSave(t, f, "web", rev)
	}
	mustClose(t, f)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var journals int64
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Name() == stateLog && info.Size() > 2*o.CompactAt:
			t.Errorf("the log has %d bytes, want at most %d", info.Size(), 2*o.CompactAt)
		case e.Name() != stateLog:
			journals += info.Size()
		}
	}
	if journals > o.JournalBytes || journals < o.JournalBytes/2 {
		t.Errorf("the journals have %d bytes, want them to fill most of %d", journals, o.JournalBytes)
	}
	if f, err = OpenFileStore(dir, o); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &world{t: t, name: "long life"}
	w.wantJournalUpTo(f, "web", saves)
}
