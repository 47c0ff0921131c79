// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"context"
	"errors"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rheostat-go/rheostat/strategy"
)

// storeMutants are stores that are wrong in one way, by the case that must see it.
var storeMutants = map[string]map[string]func(*wrong){
	"a service that was never saved is the zero State": {
		"fails to load what is not there": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (strategy.State, error) {
				if s, err := w.MemoryStore.Load(ctx, service); err != nil || s.Rev > 0 {
					return s, err
				}
				return strategy.State{}, errOther
			}
		},
		"makes up a state": func(w *wrong) {
			w.load = func(context.Context, string) (strategy.State, error) {
				return strategy.State{Version: strategy.StateVersion}, nil
			}
		},
		"lists what is not there": lists(func([]string) []string { return []string{"web"} }),
		"has a journal from nowhere": func(w *wrong) {
			w.journal = func(context.Context, string) ([]strategy.Transition, error) { return entries(1), nil }
		},
	},
	"what was saved is loaded": {
		"loses the tasks":                 keeps(func(s *strategy.State) { s.Tasks = nil }),
		"loses the plan":                  keeps(func(s *strategy.State) { s.Plan = strategy.Frozen{} }),
		"loses what a judge remembers":    keeps(func(s *strategy.State) { s.Checks[0].Finding.State = "" }),
		"rounds times to milliseconds":    keeps(func(s *strategy.State) { s.Began = s.Began.Truncate(1e6) }),
		"keeps counts as floating points": keeps(func(s *strategy.State) { s.Checks[0].Finding.N = uint64(float64(s.Checks[0].Finding.N)) }),
		"loads the first save for ever": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (strategy.State, error) {
				s, err := w.MemoryStore.Load(ctx, service)
				if err == nil && s.Rev > 1 {
					return FullState(service, 1), nil
				}
				return s, err
			}
		},
		"forgets after the first load": func(w *wrong) {
			loads := 0
			w.load = func(ctx context.Context, service string) (strategy.State, error) {
				if loads++; loads > 1 {
					return strategy.State{}, nil
				}
				return w.MemoryStore.Load(ctx, service)
			}
		},
	},
	"a state is nobody else's": {
		"keeps the caller's own state": keepsTheCallers,
		"hands out its own state":      handsOutItsOwn,
		"keeps the caller's own transitions": func(w *wrong) {
			var kept []strategy.Transition
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				kept = log
				return w.MemoryStore.Save(ctx, service, prev, next)
			}
			w.journal = func(context.Context, string) ([]strategy.Transition, error) { return kept, nil }
		},
	},
	"a save that follows another rev is a conflict and changes nothing": {
		"does not compare":                 compares(func(uint64, uint64) bool { return true }),
		"takes a save from the future":     compares(func(prev, stored uint64) bool { return prev >= stored }),
		"takes a save from the past":       compares(func(prev, stored uint64) bool { return prev <= stored }),
		"takes a save that follows rev 0":  compares(func(prev, stored uint64) bool { return prev == stored || prev == 0 }),
		"says conflict and stores":         compares(func(uint64, uint64) bool { return true }, strategy.ErrConflict),
		"calls a conflict by another name": says(func(err error) error { return errors.New(err.Error()) }),
		"says nothing about a conflict":    says(func(error) error { return nil }),
		"writes the transitions all the same": func(w *wrong) {
			log := map[string][]strategy.Transition{}
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, transitions ...strategy.Transition) error {
				log[service] = append(log[service], transitions...)
				return w.MemoryStore.Save(ctx, service, prev, next)
			}
			w.journal = func(_ context.Context, service string) ([]strategy.Transition, error) { return log[service], nil }
		},
	},
	"the first save follows rev 0": {
		"takes any first save": compares(func(prev, stored uint64) bool { return prev == stored || stored == 0 }),
		"takes a second first": compares(func(prev, stored uint64) bool { return prev == stored || prev == 0 }),
		"lists a service that was refused": func(w *wrong) {
			var seen []string
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				seen = append(seen, service)
				return w.MemoryStore.Save(ctx, service, prev, next, log...)
			}
			lists(func([]string) []string { return seen })(w)
		},
	},
	"a rev that does not rise is refused": {
		"takes any rev": compares(func(prev, stored uint64) bool { return prev == stored }),
	},
	"of many writers one wins every rev": {
		"compares and then saves":    hasty,
		"lets nobody win":            says(func(error) error { return nil }),
		"fails instead of conflicts": says(func(error) error { return errOther }),
		"stores another's state":     keeps(func(s *strategy.State) { s.Reason = "another" }),
	},
	"services are apart": {
		"does not tell cases apart":        renames(strings.ToLower),
		"cleans names up":                  renames(path.Clean),
		"trims names":                      renames(strings.TrimSpace),
		"has no slashes":                   renames(func(s string) string { return strings.ReplaceAll(s, "/", "-") }),
		"cuts names off":                   renames(func(s string) string { return s[:min(len(s), 3)] }),
		"has one journal for all services": sharedJournal,
	},
	"list yields every service once": {
		"lists no more than a page":       lists(func(names []string) []string { return names[:min(len(names), 20)] }),
		"lists a service with every save": lists(func(names []string) []string { return append(names, "web") }),
		"lists names in its own spelling": lists(func(names []string) []string {
			for i := range names {
				names[i] = strings.ToLower(names[i])
			}
			return names
		}),
		"can be listed once": func(w *wrong) {
			calls := 0
			lists(func(names []string) []string {
				if calls++; calls > 2 {
					return nil
				}
				return names
			})(w)
		},
	},
	"services are saved side by side": {
		"writes all services for each": wholesale,
		"shows another service's state": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (strategy.State, error) {
				return w.MemoryStore.Load(ctx, "service-0")
			}
		},
	},
	"a context that ends changes all or nothing": {
		"says nothing and stores nothing": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				if ctx.Err() != nil {
					return nil
				}
				return w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next, log...)
			}
		},
		"stores the state without its transitions": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				if err := ctx.Err(); err != nil {
					return errors.Join(err, w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next))
				}
				return w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next, log...)
			}
		},
		"stores half a state": func(w *wrong) {
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				if err := ctx.Err(); err != nil {
					next.Tasks = nil
					return errors.Join(err, w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next, log...))
				}
				return w.MemoryStore.Save(context.WithoutCancel(ctx), service, prev, next, log...)
			}
		},
		"loads nothing and says nothing": func(w *wrong) {
			w.load = func(ctx context.Context, service string) (strategy.State, error) {
				if ctx.Err() != nil {
					return strategy.State{}, nil
				}
				return w.MemoryStore.Load(ctx, service)
			}
		},
		"lists nothing and says nothing": lists(func(names []string) []string { return names }),
	},
	"what was saved outlives the store": {
		"forgets": func(w *wrong) { w.reopen = func() *wrong { return newWrong(nil) } },
		"forgets the last save": func(w *wrong) {
			type save struct {
				service string
				prev    uint64
				next    strategy.State
				log     []strategy.Transition
			}
			var saves []save
			w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
				saves = append(saves, save{service, prev, next, log})
				return w.MemoryStore.Save(ctx, service, prev, next, log...)
			}
			w.reopen = func() *wrong {
				after := newWrong(nil)
				for _, s := range saves[:len(saves)-1] {
					if err := after.MemoryStore.Save(context.Background(), s.service, s.prev, s.next, s.log...); err != nil {
						panic(err)
					}
				}
				return after
			}
		},
		"forgets the journal": func(w *wrong) {
			w.reopen = func() *wrong {
				w.journal = func(context.Context, string) ([]strategy.Transition, error) { return nil, nil }
				return w
			}
		},
	},
	"the journal is written in the same breath": {
		"keeps one transition a save": journals(func(log []strategy.Transition) []strategy.Transition { return log[:min(len(log), 1)] }),
		"turns the order around": journals(func(log []strategy.Transition) []strategy.Transition {
			slices.Reverse(log)
			return log
		}),
		"loses who did it": journals(func(log []strategy.Transition) []strategy.Transition {
			for i := range log {
				log[i].By = ""
			}
			return log
		}),
		"has one journal for all services": sharedJournal,
	},
}

// keepsTheCallers is a store that does not copy what it is given.
func keepsTheCallers(w *wrong) {
	var kept strategy.State
	w.save = func(_ context.Context, _ string, _ uint64, next strategy.State, _ ...strategy.Transition) error {
		kept = next
		return nil
	}
	w.load = func(context.Context, string) (strategy.State, error) { return kept, nil }
}

// handsOutItsOwn is a store that copies what it is given and not what it gives.
// Of those that load at the same time only one gets the store's own, so that
// what is wrong is seen and not that it races.
func handsOutItsOwn(w *wrong) {
	var kept strategy.State
	var loads atomic.Int64
	w.save = func(_ context.Context, service string, _ uint64, next strategy.State, _ ...strategy.Transition) error {
		kept = FullState(service, next.Rev)
		return nil
	}
	w.load = func(_ context.Context, service string) (strategy.State, error) {
		if n := loads.Add(1); n > 2 && n < 6 {
			return FullState(service, kept.Rev), nil
		}
		return kept, nil
	}
}

// compares is a store with another idea of a conflict; and its answer, if it is
// to say something else than nil.
func compares(fits func(prev, stored uint64) bool, answer ...error) func(*wrong) {
	return func(w *wrong) {
		states, log := map[string]strategy.State{}, map[string][]strategy.Transition{}
		w.load = func(_ context.Context, service string) (strategy.State, error) { return states[service], nil }
		w.save = func(_ context.Context, service string, prev uint64, next strategy.State, transitions ...strategy.Transition) error {
			stored := states[service].Rev
			if !fits(prev, stored) {
				return strategy.ErrConflict
			}
			states[service] = next
			log[service] = append(log[service], transitions...)
			if len(answer) > 0 && prev != stored {
				return answer[0]
			}
			return nil
		}
		w.journal = func(_ context.Context, service string) ([]strategy.Transition, error) { return log[service], nil }
	}
}

// says is a store that tells conflicts in another way.
func says(answer func(error) error) func(*wrong) {
	return func(w *wrong) {
		w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
			err := w.MemoryStore.Save(ctx, service, prev, next, log...)
			if errors.Is(err, strategy.ErrConflict) {
				return answer(err)
			}
			return err
		}
	}
}

// hasty lets others in between comparing and storing.
func hasty(w *wrong) {
	var mu sync.Mutex
	states := map[string]strategy.State{}
	w.load = func(_ context.Context, service string) (strategy.State, error) {
		mu.Lock()
		defer mu.Unlock()
		return states[service], nil
	}
	w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, _ ...strategy.Transition) error {
		if s, _ := w.load(ctx, service); s.Rev != prev {
			return strategy.ErrConflict
		}
		for range 100 {
			runtime.Gosched()
		}
		mu.Lock()
		defer mu.Unlock()
		states[service] = next
		return nil
	}
}

// wholesale reads all services, changes one, and writes all.
func wholesale(w *wrong) {
	var mu sync.Mutex
	all := map[string]strategy.State{}
	read := func() map[string]strategy.State {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
	w.load = func(_ context.Context, service string) (strategy.State, error) { return read()[service], nil }
	w.save = func(_ context.Context, service string, prev uint64, next strategy.State, _ ...strategy.Transition) error {
		before := read()
		if before[service].Rev != prev {
			return strategy.ErrConflict
		}
		after := map[string]strategy.State{}
		for name, s := range before {
			after[name] = s
			runtime.Gosched()
		}
		after[service] = next
		mu.Lock()
		defer mu.Unlock()
		all = after
		return nil
	}
}

// sharedJournal has one journal for all.
func sharedJournal(w *wrong) {
	w.save = func(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
		if err := w.MemoryStore.Save(ctx, service, prev, next, log...); err != nil {
			return err
		}
		all, err := w.MemoryStore.Load(ctx, "\x00all")
		if err != nil {
			return err
		}
		return w.MemoryStore.Save(ctx, "\x00all", all.Rev, strategy.State{Rev: all.Rev + 1}, log...)
	}
	w.journal = func(context.Context, string) ([]strategy.Transition, error) {
		return w.MemoryStore.Journal("\x00all"), nil
	}
}
