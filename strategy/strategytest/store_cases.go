// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

var loadCases = []storeCase{
	{
		name: "a service that was never saved is the zero State",
		why:  "Load returns the zero State and no error for a service that has none: that is how a first run begins.",
		run: func(r *storeRun) {
			r.holds("web", 0)
			if names := r.names(); len(names) != 0 {
				r.Errorf("List of an empty store yields %q", names)
			}
			r.journalUpTo("web", 0)
		},
	},
	{
		name: "what was saved is loaded",
		why: "Load returns the state saved last with every field as it was, as far as JSON shows it. A field that is lost " +
			"changes what the rollout does next.",
		run: func(r *storeRun) {
			for rev := uint64(1); rev <= 4; rev++ {
				r.save("web", rev)
				r.holds("web", rev)
				r.holds("web", rev)
			}
		},
	},
	{
		name: "a state is nobody else's",
		why: "A caller may change what it saved or loaded without changing what is stored, and two that load at once share " +
			"nothing. Copy slices and maps, or encode and decode.",
		run: func(r *storeRun) {
			saved := FullState("web", 1)
			log := entries(1)
			if err := r.Store.Save(r.ctx, "web", 0, saved, log...); err != nil {
				r.Fatalf("Save: %v", err)
			}
			for i := range log {
				log[i].Reason = "changed after the save"
			}
			scribble(saved)
			r.holds("web", 1)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if s, err := r.Store.Load(r.ctx, "web"); err == nil {
						scribble(s)
					}
				})
			}
			wg.Wait()
			r.holds("web", 1)
			r.journalUpTo("web", 1)
		},
	},
}

// scribble writes to everything that a copy of s would share with it.
func scribble(s strategy.State) {
	for i := range s.Lanes {
		s.Lanes[i].Step = 99
	}
	for i := range s.Targets {
		for k := range s.Targets[i].Route.Split.Match {
			s.Targets[i].Route.Split.Match[k].Value = "scribbled"
		}
		s.Targets[i].Name = "scribbled"
	}
	for i := range s.Checks {
		s.Checks[i].Name = "scribbled"
	}
	for i := range s.Tasks {
		s.Tasks[i].Name = "scribbled"
	}
	for i := range s.Quarantine {
		s.Quarantine[i].Reason = "scribbled"
	}
	for i := range s.Intent.Waive {
		s.Intent.Waive[i].Lane = "scribbled"
	}
	for i := range s.Intent.Approvals {
		s.Intent.Approvals[i].By = "scribbled"
	}
	if s.Next.Caps != nil {
		s.Next.Caps["eu"] = traffic.Caps{}
	}
}

var compareCases = []storeCase{
	{
		name: "a save that follows another rev is a conflict and changes nothing",
		why: "Save compares prev with the Rev of the state stored now, and returns an error that wraps strategy.ErrConflict if they " +
			"differ, older or newer. Nothing is stored then, the transitions neither. That is what keeps two runners apart.",
		run: func(r *storeRun) {
			for rev := uint64(1); rev <= 3; rev++ {
				r.save("web", rev)
			}
			for _, prev := range []uint64{0, 1, 2, 4, 100} {
				r.conflicts(prev, prev+1)
				r.holds("web", 3)
			}
			r.journalUpTo("web", 3)
			r.save("web", 4)
			r.holds("web", 4)
		},
	},
	{
		name: "the first save follows rev 0",
		why: "prev 0 means that there is no state yet. A first save that says that it follows another is a conflict, and does not " +
			"make the service exist; a second first save is a conflict, too.",
		run: func(r *storeRun) {
			r.conflicts(1, 2)
			r.holds("web", 0)
			if names := r.names(); len(names) != 0 {
				r.Errorf("List yields %q after a save that was refused", names)
			}
			r.journalUpTo("web", 0)
			r.save("web", 1)
			r.conflicts(0, 1)
			r.holds("web", 1)
		},
	},
	{
		name: "a rev that does not rise is refused",
		why: "Save refuses a state whose Rev is not above prev: the next comparison could not tell it from the one it replaced, " +
			"and two writers would both believe that they were first.",
		run: func(r *storeRun) {
			r.save("web", 1)
			for _, rev := range []uint64{0, 1} {
				if err := r.Store.Save(r.ctx, "web", 1, FullState("web", rev)); err == nil {
					r.Errorf("Save stored rev %d behind rev 1", rev)
				}
				r.holds("web", 1)
			}
		},
	},
	{
		name: "of many writers one wins every rev",
		why:  "Of writers that save behind the same rev at the same time, exactly one gets nil and all others ErrConflict, and the winner's state is stored.",
		run:  race,
	},
}

// conflicts saves rev behind prev and wants to be refused.
func (r *storeRun) conflicts(prev, rev uint64) {
	r.Helper()
	if err := r.Store.Save(r.ctx, "web", prev, FullState("web", rev), entries(rev)...); !errors.Is(err, strategy.ErrConflict) {
		r.Fatalf("Save(\"web\", %d, rev %d) returns %v, want ErrConflict", prev, rev, err)
	}
}

// race has eight writers save behind every rev of one service at once.
func race(r *storeRun) {
	const writers, revs = 8, 20
	for rev := uint64(1); rev <= revs; rev++ {
		var mu sync.Mutex
		var winners []string
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for w := range writers {
			next := FullState("web", rev)
			next.Reason = fmt.Sprint("writer ", w)
			wg.Go(func() {
				<-begin
				err := r.Store.Save(r.ctx, "web", rev-1, next, entries(rev)...)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, next.Reason)
				case !errors.Is(err, strategy.ErrConflict):
					r.Errorf("writer %d of rev %d got %v, want nil or ErrConflict", w, rev, err)
				}
			})
		}
		close(begin)
		wg.Wait()
		if len(winners) != 1 {
			r.Fatalf("rev %d was won by %q, want exactly one", rev, winners)
		}
		if s := r.load("web"); s.Rev != rev || s.Reason != winners[0] {
			r.Fatalf("rev %d of %q is stored, want rev %d of %q", s.Rev, s.Reason, rev, winners[0])
		}
	}
	r.journalUpTo("web", revs)
}

// services are names that differ by little, and some that are no file names.
var services = []string{
	"web", "Web", "web ", "web.new", "a", "a/b", "a/", "../web", "a\\b", "über", "u\u0308ber", "%2e", "shop:checkout", "-", ".", "\"", "\n",
	strings.Repeat("long-", 40), "ns/web", "ns.web", "ns-web", "ns_web",
}

var apartCases = []storeCase{
	{
		name: "services are apart",
		why:  "Services are told apart by their whole name, whatever it is made of. What is saved for one changes no other.",
		run: func(r *storeRun) {
			for i, service := range services {
				r.save(service, 1)
				if i%2 == 0 {
					r.save(service, 2)
				}
			}
			for i, service := range services {
				r.holds(service, uint64(2-i%2))
				r.journalUpTo(service, uint64(2-i%2))
			}
		},
	},
	{
		name: "list yields every service once",
		why:  "List yields the name of every service that has a state, once, under the name it was saved by. A caller may stop at any time, and list again.",
		run: func(r *storeRun) {
			want := slices.Clone(services)
			for i := range 30 {
				want = append(want, fmt.Sprint("service-", i))
			}
			slices.Sort(want)
			for _, service := range want {
				r.save(service, 1)
			}
			r.save("web", 2)
			for range 2 {
				for _, err := range r.Store.List(r.ctx) {
					if err != nil {
						r.Fatalf("List: %v", err)
					}
					break
				}
				if got := r.names(); !slices.Equal(got, want) {
					r.Fatalf("List yields %q, want %q", got, want)
				}
			}
		},
	},
	{
		name: "services are saved side by side",
		why:  "A store is safe for concurrent use: saves of different services do not disturb each other, nor loads and lists meanwhile.",
		run: func(r *storeRun) {
			const revs = 10
			var wg sync.WaitGroup
			for i := range 8 {
				service := fmt.Sprint("service-", i)
				wg.Go(func() {
					for rev := uint64(1); rev <= revs; rev++ {
						if err := r.Store.Save(r.ctx, service, rev-1, FullState(service, rev), entries(rev)...); err != nil {
							r.Errorf("Save(%q, %d): %v", service, rev-1, err)
							return
						}
						if s, err := r.Store.Load(r.ctx, service); err != nil || s.Rev != rev || s.Service != service {
							r.Errorf("Load(%q) right after rev %d was saved: rev %d of %q, %v", service, rev, s.Rev, s.Service, err)
						}
						for _, err := range r.Store.List(r.ctx) {
							if err != nil {
								r.Errorf("List: %v", err)
							}
						}
					}
				})
			}
			wg.Wait()
			for i := range 8 {
				r.holds(fmt.Sprint("service-", i), revs)
				r.journalUpTo(fmt.Sprint("service-", i), revs)
			}
		},
	},
	{
		name: "a context that ends changes all or nothing",
		why: "A Save whose context has ended stores everything or nothing, the transitions with it, and does not return nil unless it stored. " +
			"A Load whose context has ended returns the state or an error, never another state; List ends with an error.",
		run: ends,
	},
}

func ends(r *storeRun) {
	r.save("web", 1)
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	if s, err := r.Store.Load(ended, "web"); err == nil && s.Rev != 1 {
		r.Errorf("Load with a context that has ended returns rev %d and no error", s.Rev)
	}
	if r.names(); len(r.names()) != 1 {
		r.Errorf("List yields %q, want one service", r.names())
	}
	listed, failed := 0, false
	for _, err := range r.Store.List(ended) {
		failed = err != nil
		listed++
	}
	if !failed && listed != 1 {
		r.Errorf("List with a context that has ended yields %d services and no error", listed)
	}
	rev := uint64(1)
	for n := range 100 {
		ctx, cancel := context.WithCancel(r.ctx)
		if n < 3 {
			cancel() // entries gives some revs nothing, so one is not enough
		}
		var wg sync.WaitGroup
		wg.Go(cancel)
		err := r.Store.Save(ctx, "web", rev, FullState("web", rev+1), entries(rev+1)...)
		wg.Wait()
		stored := r.load("web").Rev
		switch {
		case stored == rev+1:
			rev++
		case stored != rev || err == nil:
			r.Fatalf("Save(%q, %d) with a context that ended returns %v and rev %d is stored", "web", rev, err, stored)
		}
		r.holds("web", rev)
	}
	r.journalUpTo("web", rev)
}

var lastingCases = []storeCase{
	{
		name: "what was saved outlives the store", reopen: true,
		why: "When Save has returned nil the state survives a crash: a store opened anew over the same data has every service " +
			"with the state saved last, and goes on from there.",
		run: func(r *storeRun) {
			for rev := uint64(1); rev <= 5; rev++ {
				for i, service := range services[:6] {
					if uint64(i) < rev {
						r.save(service, rev-uint64(i))
					}
				}
				r.reopen()
				scribble(r.load("web"))
				for i, service := range services[:6] {
					r.holds(service, rev-min(rev, uint64(i)))
					r.journalUpTo(service, rev-min(rev, uint64(i)))
				}
			}
			r.conflicts(4, 5)
			if got := len(r.names()); got != 5 {
				r.Errorf("List yields %d services after reopening, want 5", got)
			}
		},
	},
	{
		name: "the journal is written in the same breath", journal: true,
		why: "The transitions given to Save are in the service's journal when it returns nil, in order, and are not when it is refused. " +
			"A state without its transition is a decision that nobody can explain.",
		run: func(r *storeRun) {
			for rev := uint64(1); rev <= 12; rev++ {
				r.save("web", rev)
				r.journalUpTo("web", rev)
				r.conflicts(rev+5, rev+6)
				r.journalUpTo("web", rev)
			}
			r.journalUpTo("api", 0)
		},
	},
}
