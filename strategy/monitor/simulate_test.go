// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

// trouble makes calls fail, before or after they are done, and kills the process that calls.
type trouble struct {
	mu   sync.Mutex
	r    *rand.Rand
	rate float64
}

type processKey struct{}

var errTrouble = errors.New("the network is down")

// call makes one call in a world of trouble.
func (w *trouble) call(ctx context.Context, f func() error) error {
	w.mu.Lock()
	fails, before, dies := w.r.Float64() < w.rate, w.r.Float64() < 0.5, w.r.Float64() < 0.3
	pause := time.Duration(w.r.IntN(2000)) * time.Millisecond
	w.mu.Unlock()
	time.Sleep(pause)
	if !fails {
		return f()
	}
	if !before {
		_ = f() // and the reply is lost
	}
	if kill, ok := ctx.Value(processKey{}).(context.CancelFunc); ok && dies {
		kill()
	}
	return errTrouble
}

type troubledTarget struct {
	rollback.Target
	w *trouble
}

func (d troubledTarget) Current(ctx context.Context) (r rollback.Revision, t rollback.Token, err error) {
	err = d.w.call(ctx, func() (err error) { r, t, err = d.Target.Current(ctx); return err })
	return r, t, err
}

func (d troubledTarget) History(ctx context.Context) (h []rollback.Revision, err error) {
	err = d.w.call(ctx, func() (err error) { h, err = d.Target.History(ctx); return err })
	return h, err
}

func (d troubledTarget) Preflight(ctx context.Context, to rollback.Revision) error {
	return d.w.call(ctx, func() error { return d.Target.Preflight(ctx, to) })
}

func (d troubledTarget) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (t rollback.Token, err error) {
	err = d.w.call(ctx, func() (err error) { t, err = d.Target.Apply(ctx, to, expect, key); return err })
	return t, err
}

func (d troubledTarget) Observe(ctx context.Context) (s rollback.Status, err error) {
	err = d.w.call(ctx, func() (err error) { s, err = d.Target.Observe(ctx); return err })
	return s, err
}

type troubledStore struct {
	monitor.Store
	w *trouble
}

func (d troubledStore) Load(ctx context.Context, service string) (s monitor.State, err error) {
	err = d.w.call(ctx, func() (err error) { s, err = d.Store.Load(ctx, service); return err })
	return s, err
}

func (d troubledStore) Save(ctx context.Context, service string, prev uint64, next monitor.State) error {
	return d.w.call(ctx, func() error { return d.Store.Save(ctx, service, prev, next) })
}

// TestWhateverHappensItGoesBackAtMostOnce: two processes, each followed by another when it
// dies, and calls that fail before or after they are done.
func TestWhateverHappensItGoesBackAtMostOnce(t *testing.T) {
	t.Parallel()
	seeds := uint64(400)
	if testing.Short() {
		seeds = 60
	}
	ends := map[monitor.Outcome]int{}
	for seed := range seeds {
		bad := seed%2 == 0
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			if bad {
				s.judge.verdict = analysis.Fail
			}
			w := &trouble{r: rand.New(rand.NewPCG(seed, 1)), rate: 0.15} //nolint:gosec // a simulation
			store := &troubledStore{s.store, w}
			s.watch.Target, s.watch.Observe = &troubledTarget{s.target, w}, nil
			if _, err := must(monitor.New(s.store, withTarget(s.watch, s.target))).Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			outcomes := make([]monitor.State, 2)
			var group sync.WaitGroup
			for i := range outcomes {
				group.Go(func() {
					for outcomes[i].Outcome == monitor.Unfinished {
						ctx, kill := context.WithCancel(t.Context())
						outcomes[i], _ = must(monitor.New(store, s.watch)).Run(context.WithValue(ctx, processKey{}, kill))
						kill()
						time.Sleep(time.Minute)
					}
				})
			}
			group.Wait()
			st, err := s.store.Load(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			ends[st.Outcome]++
			for _, o := range outcomes {
				if o.Outcome != st.Outcome {
					t.Errorf("seed %d: one process says %v, and saved is %v", seed, o, st)
				}
			}
			want, returns := v2, 0
			if bad {
				want, returns = v1, 1
			}
			if s.current() != want || s.returns() != returns || len(st.Ledger.Returns) != returns {
				t.Errorf("seed %d: %v: running is %v, the target was asked %d times, %d are noted", seed, st, s.current(), s.returns(), len(st.Ledger.Returns))
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if ends[monitor.RolledBack] != int(seeds)/2 || ends[monitor.Passed] < int(seeds)/3 {
		t.Errorf("%v", ends)
	}
	t.Log(ends)
}

func withTarget(w monitor.Watch, target rollback.Target) monitor.Watch {
	w.Target = target
	return w
}

func must(m *monitor.Monitor, err error) *monitor.Monitor {
	if err != nil {
		panic(err)
	}
	return m
}
