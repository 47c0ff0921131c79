// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/rheostat-go/rheostat/flags"
)

var storeCases = []testCase{
	{
		name: "a flag that is not there is ErrNotFound", needs: []need{needStore},
		why: "Get and Delete of a flag that is not there wrap flags.ErrNotFound, whatever the version.",
		run: func(r *run) {
			r.absent("a")
			for _, version := range []int64{0, 1} {
				if err := r.store.Delete(r.ctx, "a", version); !errors.Is(err, flags.ErrNotFound) {
					r.Errorf("Delete of version %d of no flag: %v, want ErrNotFound", version, err)
				}
			}
		},
	},
	{
		name: "version 0 creates", needs: []need{needStore},
		why: "Put with Version 0 means that there is no such flag. It returns the new version, which is above 0 and is what Get and " +
			"the watchers see.",
		run: func(r *run) {
			w := r.watch(r.Source)
			version := r.put(form("a", 1))
			if version <= 0 {
				r.Errorf("the first version is %d", version)
			}
			r.holds("a", 1, version)
			w.shows(map[string]int{"a": 1})
			r.conflicts(form("a", 2))
			r.holds("a", 1, version)
			w.mu.Lock()
			defer w.mu.Unlock()
			if told := w.flags["a"].Version; told != version {
				r.Errorf("version %d is told as %d", version, told)
			}
		},
	},
	{
		name: "a write that is not based on what stands is ErrConflict and changes nothing", needs: []need{needStore},
		why: "Put compares f.Version with the version that stands, older and newer alike, and wraps flags.ErrConflict where they " +
			"differ; where there is no flag only 0 will do. The comparison and the write are one step.",
		run: func(r *run) {
			f := form("a", 1)
			f.Version = 7
			r.conflicts(f)
			r.absent("a")
			first := r.put(form("a", 1))
			f = form("a", 2)
			f.Version = first
			second := r.put(f)
			if second <= first {
				r.Errorf("version %d follows %d; versions must rise", second, first)
			}
			for _, version := range []int64{0, first, second + 1, second + 100, -1} {
				f := form("a", 3)
				f.Version = version
				r.conflicts(f)
				r.holds("a", 2, second)
			}
			f = form("a", 3)
			f.Version = second
			r.holds("a", 3, r.put(f))
		},
	},
	{
		name: "of two writers one wins", needs: []need{needStore},
		why: "Writers that read the same version and write at once: exactly one succeeds, the others get ErrConflict.",
		run: func(r *run) { r.race(r.store, r.store) },
	},
	{
		name: "of two processes one wins", needs: []need{needStore, needAnother},
		why: "The comparison happens where the flags are kept, not in the process: two instances exclude each other, too.",
		run: func(r *run) {
			other, ok := r.another().(flags.Store)
			if !ok {
				r.Fatalf("Another is no flags.Store, and the subject is one")
			}
			r.race(r.store, other)
		},
	},
	{
		name: "a flag is deleted by its version", needs: []need{needStore},
		why: "Delete compares versions as Put does. Afterwards the flag is ErrNotFound, is told as gone, and can be created anew.",
		run: func(r *run) {
			w := r.watch(r.Source)
			version := r.put(form("a", 1))
			b := r.put(form("b", 1))
			for _, wrong := range []int64{0, version - 1, version + 1} {
				if err := r.store.Delete(r.ctx, "a", wrong); !errors.Is(err, flags.ErrConflict) {
					r.Errorf("Delete of version %d where %d stands: %v, want ErrConflict", wrong, version, err)
				}
				r.holds("a", 1, version)
			}
			if err := r.store.Delete(r.ctx, "a", version); err != nil {
				r.Fatalf("Delete: %v", err)
			}
			r.absent("a")
			r.holds("b", 1, b)
			w.shows(map[string]int{"b": 1})
			f := form("a", 2)
			f.Version = version
			r.conflicts(f)
			r.holds("a", 3, r.put(form("a", 3)))
			w.shows(map[string]int{"a": 3, "b": 1})
		},
	},
	{
		name: "a flag that could not be evaluated is ErrInvalid", needs: []need{needStore},
		why: "Put refuses what flags.Flag.Check refuses, before it writes: a bad flag would be a Problem to every client.",
		run: func(r *run) {
			w := r.watch(r.Source)
			version := r.put(form("a", 1))
			for _, f := range []*flags.Flag{
				{Key: "a", Enabled: true, Rollout: &flags.Rollout{Type: "sometimes"}},
				{Key: "a", Enabled: true, Default: &flags.Serve{Variant: "nowhere"}},
				{Key: "a", Enabled: true, Variants: map[string]json.RawMessage{"x": json.RawMessage("1"), "y": json.RawMessage(`"1"`)}},
				{Key: "", Enabled: true},
			} {
				if f.Key != "" {
					f.Version = version
				}
				if _, err := r.store.Put(r.ctx, f); !errors.Is(err, flags.ErrInvalid) {
					r.Errorf("Put(%s): %v, want ErrInvalid", textOf(f), err)
				}
			}
			r.holds("a", 1, version)
			w.shows(map[string]int{"a": 1})
		},
	},
	{
		name: "an ended context writes nothing", needs: []need{needStore},
		why: "Put and Delete with a context that has ended return an error that wraps its cause, and write nothing.",
		run: func(r *run) {
			version := r.put(form("a", 1))
			ctx, cancel := context.WithCancelCause(r.ctx)
			cancel(errStopped)
			if _, err := r.store.Put(ctx, form("b", 1)); !errors.Is(err, errStopped) {
				r.Errorf("Put with an ended context: %v, want its cause", err)
			}
			if err := r.store.Delete(ctx, "a", version); !errors.Is(err, errStopped) {
				r.Errorf("Delete with an ended context: %v, want its cause", err)
			}
			r.absent("b")
			r.holds("a", 1, version)
		},
	},
}

func (r *run) put(f *flags.Flag) int64 {
	r.Helper()
	version, err := r.store.Put(r.ctx, f)
	if err != nil {
		r.Fatalf("Put(%q) on version %d: %v", f.Key, f.Version, err)
	}
	return version
}

func (r *run) get(key string) *flags.Flag {
	r.Helper()
	f, err := r.store.Get(r.ctx, key)
	if err != nil || f == nil {
		r.Fatalf("Get(%q): %v, %v", key, f, err)
	}
	if f.Key != key {
		r.Errorf("Get(%q) has the Key %q", key, f.Key)
	}
	return f
}

func (r *run) holds(key string, n int, version int64) {
	r.Helper()
	if f := r.get(key); formOf(f) != n || f.Version != version {
		r.Errorf("%q stands in form %d, version %d; want form %d, version %d", key, formOf(f), f.Version, n, version)
	}
}

func (r *run) absent(key string) {
	r.Helper()
	if f, err := r.store.Get(r.ctx, key); !errors.Is(err, flags.ErrNotFound) || f != nil {
		r.Errorf("Get(%q): %v, %v; want ErrNotFound", key, f, err)
	}
}

func (r *run) conflicts(f *flags.Flag) {
	r.Helper()
	if _, err := r.store.Put(r.ctx, f); !errors.Is(err, flags.ErrConflict) {
		r.Errorf("Put(%q) on version %d: %v, want ErrConflict", f.Key, f.Version, err)
	}
}

// race has two writers, at two stores over the same flags, write the same versions.
func (r *run) race(stores ...flags.Store) {
	r.Helper()
	const rounds = 50
	version := int64(0)
	for n := 1; n <= rounds; n++ {
		var mu sync.Mutex
		var won []int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, s := range stores {
			f := form("a", n)
			f.Version = version
			wg.Go(func() {
				<-start
				got, err := s.Put(r.ctx, f)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won = append(won, got)
				case !errors.Is(err, flags.ErrConflict):
					r.Errorf("round %d: Put: %v", n, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if len(won) != 1 {
			r.Fatalf("round %d: %d of two writers of one version have succeeded: %v", n, len(won), fmt.Sprint(won))
		}
		version = won[0]
		r.holds("a", n, version)
	}
}
