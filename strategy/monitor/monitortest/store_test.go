// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

func TestTheMemoryStore(t *testing.T) {
	TestStore(t, func(*testing.T) Subject {
		s := &monitor.MemoryStore{}
		return Subject{Store: s, Reopen: func(context.Context) (monitor.Store, error) { return s, nil }}
	})
}

// wrong is a store with a fault: what is nil is right.
type wrong struct {
	monitor.MemoryStore
	load func(ctx context.Context, service string) (monitor.State, error)
	save func(ctx context.Context, service string, prev uint64, next monitor.State) error
}

func (w *wrong) Load(ctx context.Context, service string) (monitor.State, error) {
	if w.load != nil {
		return w.load(ctx, service)
	}
	return w.MemoryStore.Load(ctx, service)
}

func (w *wrong) Save(ctx context.Context, service string, prev uint64, next monitor.State) error {
	if w.save != nil {
		return w.save(ctx, service, prev, next)
	}
	return w.MemoryStore.Save(ctx, service, prev, next)
}

// mutants are stores that are wrong in one way, by the case that must see it.
var mutants = map[string]map[string]func(w *wrong){
	"a service that was never saved is the zero State": {
		"fails to load what is not there": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (monitor.State, error) {
				s, err := w.MemoryStore.Load(ctx, service)
				if err == nil && s.Rev == 0 {
					err = errors.New("no such file")
				}
				return s, err
			}
		},
	},
	"what was saved is loaded": {
		"loses the ledger": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				next.Ledger = rollback.Ledger{}
				return w.MemoryStore.Save(ctx, service, prev, next)
			}
		},
		"forgets after the first load": func(w *wrong) {
			loads := 0
			w.load = func(ctx context.Context, service string) (monitor.State, error) {
				if loads++; loads > 1 {
					return monitor.State{}, nil
				}
				return w.MemoryStore.Load(ctx, service)
			}
		},
	},
	"a save that follows another rev is a conflict and changes nothing": {
		"does not compare": func(w *wrong) { w.save = w.over },
		"says nothing of a conflict": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				if err := w.MemoryStore.Save(ctx, service, prev, next); err != nil && !errors.Is(err, rollback.ErrConflict) {
					return err
				}
				return nil
			}
		},
		"has an error of its own": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				if err := w.MemoryStore.Save(ctx, service, prev, next); err != nil {
					return errors.New(err.Error())
				}
				return nil
			}
		},
	},
	"of many that save at once one wins": {
		"compares first and saves then": func(w *wrong) {
			var mu sync.Mutex
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				s, err := w.MemoryStore.Load(ctx, service)
				if err != nil {
					return err
				}
				if s.Rev != prev {
					return rollback.ErrConflict
				}
				runtime.Gosched()
				mu.Lock()
				defer mu.Unlock()
				return w.over(ctx, service, prev, next)
			}
		},
	},
	"services are apart": {
		"does not tell case": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (monitor.State, error) {
				return w.MemoryStore.Load(ctx, strings.ToLower(service))
			}
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				return w.MemoryStore.Save(ctx, strings.ToLower(service), prev, next)
			}
		},
	},
	"a state is nobody else's": {
		"keeps the caller's own": func(w *wrong) {
			var kept monitor.State
			w.load = func(context.Context, string) (monitor.State, error) { return kept, nil }
			w.save = func(_ context.Context, _ string, _ uint64, next monitor.State) error { kept = next; return nil }
		},
	},
	"what cannot be read is not empty": {
		"is empty when it is late": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (monitor.State, error) {
				if ctx.Err() != nil {
					return monitor.State{}, nil
				}
				return w.MemoryStore.Load(ctx, service)
			}
		},
		"saves for who has left": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next monitor.State) error {
				return w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next)
			}
		},
	},
	"what was saved outlives the process": {"keeps all in memory": func(*wrong) {}},
}

// over saves whatever is kept.
func (w *wrong) over(ctx context.Context, service string, _ uint64, next monitor.State) error {
	for {
		s, err := w.MemoryStore.Load(ctx, service)
		if err != nil {
			return err
		}
		if err := w.MemoryStore.Save(ctx, service, s.Rev, next); !errors.Is(err, rollback.ErrConflict) {
			return err
		}
	}
}

func TestEveryFaultIsSeenByTheCaseThatIsForIt(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		if len(mutants[c.name]) == 0 {
			t.Errorf("no fault is for %q", c.name)
		}
		for name, change := range mutants[c.name] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range 100 { // a race does not show every time
					w := &wrong{}
					change(w)
					s := Subject{Store: w, Reopen: func(context.Context) (monitor.Store, error) { return &monitor.MemoryStore{}, nil }}
					if err := c.try(t.Context(), s); err != nil {
						return
					}
				}
				t.Errorf("%q does not see it", c.name)
			})
		}
	}
}
