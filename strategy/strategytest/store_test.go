// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

func TestMemoryStoreKeepsTheLaw(t *testing.T) {
	TestStore(t, func(*testing.T) Subject {
		m := &strategy.MemoryStore{}
		return Subject{Store: m, Journal: memoryJournal(m)}
	})
}

func memoryJournal(m *strategy.MemoryStore) func(context.Context, string) ([]strategy.Transition, error) {
	return func(_ context.Context, service string) ([]strategy.Transition, error) { return m.Journal(service), nil }
}

func TestFileStoreKeepsTheLaw(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]strategy.FileStoreOptions{
		"with its defaults":               {},
		"rewriting its log all the time":  {CompactAt: 1},
		"rewriting its log now and again": {CompactAt: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			TestStore(t, func(t *testing.T) Subject { return fileSubject(t, t.TempDir(), o) })
		})
	}
}

func fileSubject(tb testing.TB, dir string, o strategy.FileStoreOptions) Subject {
	tb.Helper()
	f, err := strategy.OpenFileStore(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	})
	return Subject{
		Store: f,
		Reopen: func(context.Context) (Subject, error) {
			if err := f.Close(); err != nil {
				return Subject{}, err
			}
			return fileSubject(tb, dir, o), nil
		},
		Journal: func(ctx context.Context, service string) ([]strategy.Transition, error) {
			var all []strategy.Transition
			for t, err := range f.Journal(ctx, service) {
				if err != nil {
					return nil, err
				}
				all = append(all, t)
			}
			return all, nil
		},
	}
}

// TestAFullStateIsFull finds the field of State that a store could lose unseen.
func TestAFullStateIsFull(t *testing.T) {
	t.Parallel()
	s := FullState("web", 1)
	full(t, "State", reflect.ValueOf(s))
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := strategy.DecodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(decoded); err != nil || !bytes.Equal(again, data) {
		t.Errorf("decoded and encoded again it is\n%s (%v)\nwant\n%s", again, err, data)
	}
}

func full(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case path == "State.Targets.Route.Split.Sticky.Header": // it excludes the cookie
	case v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0:
		t.Errorf("%s has no value", path)
	case v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[strategy.Frozen]():
	case v.Kind() == reflect.Struct:
		for field, value := range v.Fields() {
			full(t, path+"."+field.Name, value)
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			full(t, path, v.Index(i))
		}
	case v.Kind() == reflect.Slice && path != "State.Targets.Route.Split.Match":
		full(t, path, v.Index(0)) // the others may have less
	}
}

// storeRecorder is a storeReporter that keeps what a case says.
type storeRecorder struct {
	ctx      context.Context //nolint:containedctx // a testing.T has one, too
	mu       sync.Mutex
	failures []string
	skipped  string
}

func (r *storeRecorder) Helper()                  {}
func (r *storeRecorder) Context() context.Context { return r.ctx }

func (r *storeRecorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *storeRecorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *storeRecorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *storeRecorder) Skipf(format string, args ...any) {
	r.mu.Lock()
	r.skipped = fmt.Sprintf(format, args...)
	r.mu.Unlock()
	runtime.Goexit()
}

func recordStore(ctx context.Context, c storeCase, s Subject) *storeRecorder {
	r := &storeRecorder{ctx: ctx}
	var wg sync.WaitGroup
	wg.Go(func() { c.try(r, s) })
	wg.Wait()
	return r
}

func TestAStoreThatFailsIsToldTheLaw(t *testing.T) {
	t.Parallel()
	r := recordStore(t.Context(), storeCase{why: "because", run: func(r *storeRun) { r.Fatalf("it is %s", "wrong") }},
		Subject{Store: &strategy.MemoryStore{}})
	if got := strings.Join(r.failures, "|"); got != "it is wrong|the law: because" {
		t.Errorf("a failing case reports %q", got)
	}
	if r := recordStore(t.Context(), storeLaw()[0], Subject{}); len(r.failures) == 0 {
		t.Error("a case passed without a store")
	}
}

func TestWhatAStoreLacksIsSkippedByName(t *testing.T) {
	t.Parallel()
	for _, c := range storeLaw() {
		r := recordStore(t.Context(), c, Subject{Store: &strategy.MemoryStore{}})
		if needs := c.reopen || c.journal; needs != strings.Contains(r.skipped, "Subject.") || len(r.failures) > 0 {
			t.Errorf("%s: skipped %q and failed %q", c.name, r.skipped, r.failures)
		}
	}
}

// TestEveryCaseCatchesAStoreThatIsWrong gives each case stores that break what
// it says and little else, and the right one, which must pass.
func TestEveryCaseCatchesAStoreThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range storeLaw() {
		if r := recordStore(t.Context(), c, newWrong(nil).subject()); len(r.failures) > 0 || r.skipped != "" {
			t.Errorf("%s: the right store fails with %q, skipped %q", c.name, r.failures, r.skipped)
		}
		mutants := storeMutants[c.name]
		if len(mutants) == 0 {
			t.Errorf("%s: nothing shows that this case can fail", c.name)
		}
		for what, edit := range mutants {
			if r := recordStore(t.Context(), c, newWrong(edit).subject()); len(r.failures) == 0 {
				t.Errorf("%s: nobody noticed a store that %s", c.name, what)
			}
		}
	}
	for name := range storeMutants {
		if !slices.ContainsFunc(storeLaw(), func(c storeCase) bool { return c.name == name }) {
			t.Errorf("mutants of %q, which is no case", name)
		}
	}
}

// wrong is a MemoryStore with some of its calls replaced.
type wrong struct {
	strategy.MemoryStore
	load    func(ctx context.Context, service string) (strategy.State, error)
	save    func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error
	list    func(ctx context.Context) iter.Seq2[string, error]
	journal func(ctx context.Context, service string) ([]strategy.Transition, error)
	reopen  func() *wrong
}

func newWrong(edit func(*wrong)) *wrong {
	w := &wrong{}
	w.load, w.save, w.list = w.MemoryStore.Load, w.MemoryStore.Save, w.MemoryStore.List
	w.journal = memoryJournal(&w.MemoryStore)
	w.reopen = func() *wrong { return w }
	if edit != nil {
		edit(w)
	}
	return w
}

func (w *wrong) subject() Subject {
	return Subject{Store: w, Journal: w.journal, Reopen: func(context.Context) (Subject, error) { return w.reopen().subject(), nil }}
}

func (w *wrong) Load(ctx context.Context, service string) (strategy.State, error) {
	return w.load(ctx, service)
}

func (w *wrong) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	return w.save(ctx, service, prev, next, log...)
}

func (w *wrong) List(ctx context.Context) iter.Seq2[string, error] { return w.list(ctx) }

// keeps is the wrong store whose states are edited on their way in.
func keeps(edit func(*strategy.State)) func(*wrong) {
	return func(w *wrong) {
		w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
			edit(&next)
			return w.MemoryStore.Save(ctx, service, prev, next, log...)
		}
	}
}

// renames is the wrong store that knows services by other names.
func renames(to func(string) string) func(*wrong) {
	return func(w *wrong) {
		w.load = func(ctx context.Context, service string) (strategy.State, error) {
			return w.MemoryStore.Load(ctx, to(service))
		}
		w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
			return w.MemoryStore.Save(ctx, to(service), prev, next, log...)
		}
	}
}

// lists is the wrong store whose names are edited on their way out.
func lists(edit func([]string) []string) func(*wrong) {
	return func(w *wrong) {
		w.list = func(ctx context.Context) iter.Seq2[string, error] {
			var names []string
			for name, err := range w.MemoryStore.List(ctx) {
				if err == nil {
					names = append(names, name)
				}
			}
			return func(yield func(string, error) bool) {
				for _, name := range edit(names) {
					if !yield(name, nil) {
						return
					}
				}
			}
		}
	}
}

// journals is the wrong store whose journal is edited on its way in.
func journals(edit func([]strategy.Transition) []strategy.Transition) func(*wrong) {
	return func(w *wrong) {
		w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
			return w.MemoryStore.Save(ctx, service, prev, next, edit(slices.Clone(log))...)
		}
	}
}

var errOther = errors.New("no")
