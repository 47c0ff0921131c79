// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// plain is a state without a run, which is small and may be saved.
func plain(service string, rev uint64) State {
	return State{Version: StateVersion, Service: service, Rev: rev, Reason: fmt.Sprintf("%s at rev %d", service, rev)}
}

func noted(rev uint64) Transition {
	return Transition{Rev: rev, Seq: rev, Run: 1, Kind: Ordered, By: "test"}
}

func mustSave(tb testing.TB, f *FileStore, service string, rev uint64) {
	tb.Helper()
	if err := f.Save(tb.Context(), service, rev-1, plain(service, rev), noted(rev)); err != nil {
		tb.Fatal(err)
	}
}

func mustOpen(tb testing.TB, d disk, o FileStoreOptions) *FileStore {
	tb.Helper()
	f, err := openMem(d, o)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func openMem(d disk, o FileStoreOptions) (*FileStore, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return openFileStore(d, io.NopCloser(nil), o)
}

func mustClose(tb testing.TB, f *FileStore) {
	tb.Helper()
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

// wantState checks that the service is at this rev with exactly what was saved.
func wantState(tb testing.TB, f *FileStore, service string, rev uint64) {
	tb.Helper()
	got, err := f.Load(tb.Context(), service)
	if err != nil {
		tb.Fatal(err)
	}
	want := plain(service, rev)
	if rev == 0 {
		want = State{}
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		tb.Fatalf("loaded %s\nwant %s", a, b)
	}
}

func TestAStoreOpenedAgainHasWhatWasSaved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "state")
	for rev := uint64(1); rev <= 5; rev++ {
		f, err := OpenFileStore(dir, FileStoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, f, "web", rev-1)
		mustSave(t, f, "web", rev)
		wantState(t, f, "web", rev)
		mustClose(t, f)
	}
	for name, want := range map[string]os.FileMode{".": 0o700, stateLog: 0o600, lockFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
}

func TestASecondStoreOfADirectoryIsRefusedWithTheHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenFileStore(dir, FileStoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenFileStore(dir, FileStoreOptions{})
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("opened twice: %v, want ErrLocked with process %d", err, os.Getpid())
	}
	if !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("%q does not name the process", err)
	}
	mustSave(t, f, "web", 1)
	mustClose(t, f)
	mustClose(t, f)
	if f, err = OpenFileStore(dir, FileStoreOptions{}); err != nil {
		t.Fatalf("opened after it was closed: %v", err)
	}
	mustClose(t, f)
}

func TestAClosedStoreSaysSo(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, newMemDisk(), FileStoreOptions{})
	mustSave(t, f, "web", 1)
	mustClose(t, f)
	_, loadErr := f.Load(t.Context(), "web")
	saveErr := f.Save(t.Context(), "web", 1, plain("web", 2))
	var listErr, journalErr error
	for _, err := range f.List(t.Context()) {
		listErr = err
	}
	for _, err := range f.Journal(t.Context(), "web") {
		journalErr = err
	}
	for what, err := range map[string]error{"load": loadErr, "save": saveErr, "list": listErr, "journal": journalErr} {
		if !errors.Is(err, ErrStoreClosed) {
			t.Errorf("%s: %v, want ErrStoreClosed", what, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []FileStoreOptions{{CompactAt: -1}, {JournalBytes: -1}} {
		if _, err := OpenFileStore(t.TempDir(), o); err == nil || !strings.Contains(err.Error(), "FileStoreOptions.") {
			t.Errorf("%+v: %v, want an error that names the field", o, err)
		}
	}
}

// TestWhatCouldNotBeLoadedIsNotSaved keeps a state out that would be refused
// after a restart, when nobody can mend it any more.
func TestWhatCouldNotBeLoadedIsNotSaved(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, newMemDisk(), FileStoreOptions{})
	newer, runless := plain("web", 1), plain("web", 1)
	newer.Version = StateVersion + 1
	runless.Phase = Progressing
	for what, save := range map[string]func() error{
		"a newer version":        func() error { return f.Save(t.Context(), "web", 0, newer) },
		"a run without a plan":   func() error { return f.Save(t.Context(), "web", 0, runless) },
		"a name that is no text": func() error { return f.Save(t.Context(), "web\xff", 0, plain("web", 1)) },
		"a rev that stands":      func() error { return f.Save(t.Context(), "web", 1, plain("web", 1)) },
	} {
		if err := save(); err == nil || errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v, want an error that is not a conflict", what, err)
		}
	}
	wantState(t, f, "web", 0)
}

func TestSavesOfManyServicesAtOnceAllLand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenFileStore(dir, FileStoreOptions{CompactAt: 1 << 14})
	if err != nil {
		t.Fatal(err)
	}
	const services, revs = 16, 25
	var wg sync.WaitGroup
	for i := range services {
		service := fmt.Sprintf("service-%02d", i)
		wg.Go(func() {
			for rev := uint64(1); rev <= revs; rev++ {
				if err := f.Save(t.Context(), service, rev-1, plain(service, rev), noted(rev)); err != nil {
					t.Error(err)
					return
				}
				if s, err := f.Load(t.Context(), service); err != nil || s.Rev != rev {
					t.Errorf("loaded rev %d (%v) right after saving %d", s.Rev, err, rev)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			for _, err := range f.Journal(t.Context(), "service-03") {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	mustClose(t, f)
	if f, err = OpenFileStore(dir, FileStoreOptions{}); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range services {
		service := fmt.Sprintf("service-%02d", i)
		wantState(t, f, service, revs)
		wantJournal(t, f, service, 1, revs)
	}
}

// TestSavesThatWaitShareOneSync counts syncs while one save blocks the disk.
func TestSavesThatWaitShareOneSync(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	f.turn <- struct{}{} // as if a save were under way
	const saves = 20
	var wg sync.WaitGroup
	for i := range saves {
		service := fmt.Sprint("service-", i)
		wg.Go(func() {
			if err := f.Save(t.Context(), service, 0, plain(service, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	untilQueued(f, saves)
	syncs := 0
	d.fault = func(_ int, op string) fault {
		if op == "sync" {
			syncs++
		}
		return fault{}
	}
	<-f.turn
	wg.Wait()
	if syncs != 1 {
		t.Errorf("%d saves that waited took %d syncs, want 1", saves, syncs)
	}
}

// untilQueued returns when so many saves wait.
func untilQueued(f *FileStore, saves int) {
	for waiting := 0; waiting < saves; {
		runtime.Gosched()
		f.mu.RLock()
		waiting = len(f.queue)
		f.mu.RUnlock()
	}
}

// TestOfTwoSavesInOneBatchOneWins has both follow the same rev.
func TestOfTwoSavesInOneBatchOneWins(t *testing.T) {
	t.Parallel()
	d := newMemDisk()
	f := mustOpen(t, d, FileStoreOptions{})
	mustSave(t, f, "web", 1)
	first, second, other := waiting(t, f, "web", 2), waiting(t, f, "web", 2), waiting(t, f, "api", 1)
	f.turn <- struct{}{}
	f.commit()
	<-f.turn
	if first.err != nil || !errors.Is(second.err, ErrConflict) || other.err != nil {
		t.Errorf("saved with %v, %v and %v; want the second alone to conflict", first.err, second.err, other.err)
	}
	mustClose(t, f)
	f = mustOpen(t, d, FileStoreOptions{})
	wantState(t, f, "web", 2)
	wantState(t, f, "api", 1)
}

func TestASaveThatWaitsEndsWithItsContextAndStoresNothing(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, newMemDisk(), FileStoreOptions{})
	f.turn <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	result := make(chan error)
	go func() { result <- f.Save(ctx, "web", 0, plain("web", 1)) }()
	untilQueued(f, 1)
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Fatalf("saved with %v, want the cause", err)
	}
	<-f.turn
	wantState(t, f, "web", 0)
	mustSave(t, f, "web", 1)
}

// TestASaveThatMeetsCloseIsStoredOrRefused lets both wait for the same turn.
func TestASaveThatMeetsCloseIsStoredOrRefused(t *testing.T) {
	t.Parallel()
	stored, refused := 0, 0
	for range 200 {
		d := newMemDisk()
		f := mustOpen(t, d, FileStoreOptions{})
		f.turn <- struct{}{}
		saved, closed := make(chan error), make(chan error)
		go func() { saved <- f.Save(t.Context(), "web", 0, plain("web", 1)) }()
		go func() { closed <- f.Close() }()
		<-f.turn
		err := <-saved
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		f = mustOpen(t, d, FileStoreOptions{})
		switch {
		case err == nil:
			stored++
			wantState(t, f, "web", 1)
		case errors.Is(err, ErrStoreClosed):
			refused++
			wantState(t, f, "web", 0)
		default:
			t.Fatalf("saved with %v, want nil or ErrStoreClosed", err)
		}
	}
	t.Logf("%d stored, %d refused", stored, refused)
}

func wantJournal(tb testing.TB, f *FileStore, service string, first, last uint64) {
	tb.Helper()
	var got, want []uint64
	for tr, err := range f.Journal(tb.Context(), service) {
		if err != nil {
			tb.Fatal(err)
		}
		got = append(got, tr.Rev)
	}
	for rev := first; rev <= last; rev++ {
		want = append(want, rev)
	}
	if !slices.Equal(got, want) {
		tb.Fatalf("journal of %s has revs %v, want %d to %d", service, got, first, last)
	}
}
