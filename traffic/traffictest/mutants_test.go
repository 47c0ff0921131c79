// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// trafficOptions are those of a router that can do everything.
var trafficOptions = traffic.Options{}

// wrong is a router over a target with parts exchanged.
type wrong struct {
	*target
	caps    func(traffic.Caps) traffic.Caps
	apply   func(context.Context, uint64, traffic.Route) error
	observe func(context.Context) (traffic.Seen, error)
	meter   func(map[string]traffic.Reading)
}

var _ traffic.Meter = (*wrong)(nil)

func (w *wrong) Caps() traffic.Caps {
	if w.caps == nil {
		return w.target.Caps()
	}
	return w.caps(w.target.Caps())
}

func (w *wrong) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	if w.apply == nil {
		return w.target.Apply(ctx, fence, r)
	}
	return w.apply(ctx, fence, r)
}

func (w *wrong) Observe(ctx context.Context) (traffic.Seen, error) {
	if w.observe == nil {
		return w.target.Observe(ctx)
	}
	return w.observe(ctx)
}

func (w *wrong) Meter(ctx context.Context) (map[string]traffic.Reading, error) {
	readings, err := w.target.Meter(ctx)
	if w.meter != nil {
		w.meter(readings)
	}
	return readings, err
}

// mutant is a subject that is wrong in one way.
type mutant struct {
	name string
	make func() Subject
}

// mutate makes routers that edit has spoilt, over a right target. Each instance
// has a memory of its own.
func mutate(name string, o traffic.Options, edit func(w *wrong)) mutant {
	return mutant{name, func() Subject {
		t := newTarget(o)
		instance := func() *wrong {
			w := &wrong{target: t}
			edit(w)
			return w
		}
		s := t.subject(instance())
		s.Another = func(context.Context) (traffic.Router, error) { return instance(), nil }
		return s
	}}
}

// mutateApply spoils what comes before or after a write.
func mutateApply(name string, edit func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error) mutant {
	return mutate(name, trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error { return edit(w, ctx, fence, r) }
	})
}

// mutateRoute spoils what is written.
func mutateRoute(name string, edit func(*traffic.Route)) mutant {
	return mutateApply(name, func(w *wrong, ctx context.Context, fence uint64, r traffic.Route) error {
		if r.Validate() == nil {
			r.Split = r.Split.Clone()
			edit(&r)
		}
		return w.target.Apply(ctx, fence, r)
	})
}

// mutateSeen spoils what is shown.
func mutateSeen(name string, edit func(*traffic.Seen)) mutant {
	return mutate(name, trafficOptions, func(w *wrong) {
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			edit(&seen)
			return seen, err
		}
	})
}

// mutateCaps spoils what is declared.
func mutateCaps(name string, edit func(*traffic.Caps)) mutant {
	return mutate(name, trafficOptions, func(w *wrong) {
		w.caps = func(c traffic.Caps) traffic.Caps { edit(&c); return c }
	})
}

// mutateMeter spoils what is counted.
func mutateMeter(name string, edit func(map[string]traffic.Reading)) mutant {
	return mutate(name, trafficOptions, func(w *wrong) { w.meter = edit })
}

// mutatePlane spoils where requests go.
func mutatePlane(name string, edit func(p plane) plane) mutant {
	return mutant{name, func() Subject {
		t := newTarget(trafficOptions)
		t.plane = edit(t.plane)
		return t.subject(t)
	}}
}

// mutateChoice spoils the choice of a side.
func mutateChoice(name string, chose func(traffic.Route, Request) bool) mutant {
	return mutatePlane(name, func(p plane) plane { return p.choosing(chose) })
}

// mutateMatch spoils which requests match.
func mutateMatch(name string, matches func(traffic.Route, Request) bool) mutant {
	return mutatePlane(name, func(p plane) plane { return p.matching(matches) })
}

// mutateSend spoils what a client gets.
func mutateSend(name string, edit func(t *target, ctx context.Context, q Request) (Answer, error)) mutant {
	return mutant{name, func() Subject {
		t := newTarget(trafficOptions)
		s := t.subject(t)
		s.Send = func(ctx context.Context, q Request) (Answer, error) { return edit(t, ctx, q) }
		return s
	}}
}

// mutateRestart spoils what a restart keeps.
func mutateRestart(name string, next func(seen traffic.Seen, t *target)) mutant {
	return mutant{name, func() Subject {
		t := newTarget(trafficOptions)
		s := t.subject(t)
		s.Restart = func(ctx context.Context) (Subject, error) {
			seen, err := t.Observe(ctx)
			again := newTarget(trafficOptions)
			next(seen, again)
			return again.subject(again), err
		}
		return s
	}}
}

var capsMutants = []mutant{
	mutateCaps("declares no granularity", func(c *traffic.Caps) { c.Granularity = 0 }),
	mutateCaps("declares no evidence", func(c *traffic.Caps) { c.Evidence = traffic.Unknown }),
	mutateCaps("declares a lag below zero", func(c *traffic.Caps) { c.Lag = -time.Second }),
	mutate("changes its caps", trafficOptions, func(w *wrong) {
		var asked atomic.Int64
		w.caps = func(c traffic.Caps) traffic.Caps { c.Toggle = asked.Add(1) > 1; return c }
	}),
	mutateCaps("shows better evidence than declared", func(c *traffic.Caps) { c.Evidence = traffic.Written }),
	mutateSeen("shows worse evidence than declared", func(s *traffic.Seen) { s.Evidence = traffic.Written }),
	mutateSeen("does not know its room", func(s *traffic.Seen) { s.Room = traffic.Room{} }),
	mutateSeen("has more room than there is", func(s *traffic.Seen) { s.Room.Stable = traffic.Full + 1 }),
}

var splitMutants = []mutant{
	mutateRoute("rounds a little to nothing", func(r *traffic.Route) {
		if r.Split.Candidate < traffic.Percent(1) {
			r.Split.Candidate = 0
		}
	}),
	mutateRoute("rounds nearly everything to the whole", func(r *traffic.Route) {
		if r.Split.Candidate > traffic.Percent(99) {
			r.Split.Candidate = traffic.Full
		}
	}),
	mutateRoute("knows per cent and declares more", func(r *traffic.Route) {
		r.Split.Candidate = max(r.Split.Candidate/10_000*10_000, min(r.Split.Candidate, 1))
	}),
	mutateRoute("takes zero for not set", func(r *traffic.Route) {
		if r.Split.Candidate == 0 {
			r.Split.Candidate = traffic.Full / 2
		}
	}),
	mutate("does not go home from everything", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if seen, err := w.target.Observe(ctx); err == nil && seen.Route.Split.Candidate == traffic.Full && r.Split.Candidate == 0 {
				r.Split.Candidate = traffic.Full
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutateRoute("misses a step of the ladder", func(r *traffic.Route) {
		if r.Split.Candidate == traffic.Percent(5) {
			r.Split.Candidate = traffic.Percent(1)
		}
	}),
	mutate("shows the weight that it did not carry out", traffic.Options{Caps: traffic.Caps{Granularity: traffic.Percent(1), Evidence: traffic.Written}}, func(w *wrong) {
		var asked atomic.Pointer[traffic.Route]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				asked.Store(&r)
			}
			return err
		}
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if r := asked.Load(); r != nil && seen.Writer == "" {
				seen.Route = *r
			}
			return seen, err
		}
	}),
	mutate("keeps the first arms", trafficOptions, func(w *wrong) {
		var first atomic.Pointer[traffic.Arms]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if r.Validate() == nil && !first.CompareAndSwap(nil, &r.Arms) {
				r.Arms = *first.Load()
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutateSeen("shows the arms the wrong way round", func(s *traffic.Seen) {
		s.Route.Arms.Stable, s.Route.Arms.Candidate = s.Route.Arms.Candidate, s.Route.Arms.Stable
	}),
	mutateRoute("drops the mirror", func(r *traffic.Route) { r.Split.Mirror = 0 }),
	mutateRoute("drops the matches", func(r *traffic.Route) { r.Split.Match = nil }),
	mutateRoute("drops all matches but the first", func(r *traffic.Route) { r.Split.Match = r.Split.Match[:min(1, len(r.Split.Match))] }),
	mutateRoute("drops matches on the query", func(r *traffic.Route) {
		r.Split.Match = slices.DeleteFunc(r.Split.Match, func(m traffic.Match) bool { return m.Query != "" })
	}),
	mutateRoute("loses a part where the thousands are odd", func(r *traffic.Route) {
		if w := r.Split.Candidate; w/1000%2 == 1 && w%1000 > 1 {
			r.Split.Candidate--
		}
	}),
	mutateRoute("drops stickiness", func(r *traffic.Route) { r.Split.Sticky = traffic.Sticky{} }),
	mutate("never forgets a match", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if seen, err := w.target.Observe(ctx); err == nil && len(r.Split.Match) == 0 && r.Split.Validate() == nil {
				r.Split.Match = seen.Route.Split.Match
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
}

var writeMutants = []mutant{
	mutate("forgets", trafficOptions, func(w *wrong) {
		w.apply = func(_ context.Context, _ uint64, r traffic.Route) error { return r.Validate() }
	}),
	mutate("takes the same again for a conflict", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if seen, err := w.target.Observe(ctx); err == nil && seen.Fence == fence && fence > 0 {
				return traffic.ErrConflict
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("swaps instead of setting", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			before, _ := w.target.Observe(ctx)
			err := w.target.Apply(ctx, fence, r)
			if after := r; err == nil && before.Route.Equal(r) && before.Fence == fence {
				after.Split.Candidate = traffic.Full - r.Split.Candidate/2
				w.Foreign(after, "")
			}
			return err
		}
	}),
	mutate("applies half when its context ends", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if ctx.Err() != nil {
				r.Arms.Stable, r.Arms.Candidate = r.Arms.Candidate, r.Arms.Stable
				return errors.Join(ctx.Err(), w.target.Apply(context.WithoutCancel(ctx), fence, r))
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("says nil when its context ends", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if ctx.Err() != nil {
				return nil
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("applies after it has returned an error", trafficOptions, func(w *wrong) {
		var late func()
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if ctx.Err() != nil {
				late = func() { _ = w.target.Apply(context.WithoutCancel(ctx), fence, r) }
			}
			return err
		}
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if late != nil {
				late()
			}
			return seen, err
		}
	}),
	mutate("uses up the fence of what it did not do", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if seen, e := w.target.Observe(context.WithoutCancel(ctx)); err != nil && e == nil && ctx.Err() != nil {
				_ = w.target.Apply(context.WithoutCancel(ctx), fence, seen.Route)
			}
			return err
		}
	}),
	mutate("tears concurrent writes", trafficOptions, func(w *wrong) {
		var busy atomic.Int64
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			defer busy.Add(-1)
			if busy.Add(1) > 1 {
				r.Split.Candidate = traffic.Full / 3
			}
			for deadline := time.Now().Add(time.Millisecond); busy.Load() < 2 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Microsecond) // so that writers meet
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("refuses the highest fence when others write", trafficOptions, func(w *wrong) {
		var accepted sync.Map
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if _, again := accepted.LoadOrStore(fence, r.Split.Candidate); !again && fence%writers == 1 && r.Split.Candidate == traffic.Full-8*10_000 {
				return traffic.ErrFenced
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("aliases what it is given", trafficOptions, func(w *wrong) {
		var kept atomic.Pointer[traffic.Route]
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				kept.Store(&r)
			}
			return err
		}
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if r := kept.Load(); r != nil && seen.Writer == "" && len(r.Split.Match) == len(seen.Route.Split.Match) {
				copy(seen.Route.Split.Match, r.Split.Match)
			}
			return seen, err
		}
	}),
	mutate("aliases what it shows", trafficOptions, func(w *wrong) {
		var shown []traffic.Match
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if len(seen.Route.Split.Match) != 1 {
				return seen, err
			}
			if shown == nil {
				shown = seen.Route.Split.Match
			}
			seen.Route.Split.Match = shown
			return seen, err
		}
	}),
	mutate("writes when it is looked at", trafficOptions, func(w *wrong) {
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if err == nil && !seen.Route.IsZero() {
				_ = w.target.Apply(ctx, seen.Fence+1, seen.Route)
			}
			return seen, err
		}
	}),
	mutate("counts up when it is looked at", trafficOptions, func(w *wrong) {
		var looked atomic.Int64
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if w := seen.Route.Split.Candidate; w > 0 && w < traffic.Full {
				if looked.Add(1) > 4 {
					seen.Route.Split.Candidate++
				}
			}
			return seen, err
		}
	}),
}

var fenceMutants = []mutant{
	mutateSeen("does not show its fence", func(s *traffic.Seen) { s.Fence = 0 }),
	mutate("ignores the fence", trafficOptions, func(w *wrong) {
		var own atomic.Uint64
		var last atomic.Uint64
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, 1_000_000+own.Add(1), r)
			if err == nil {
				last.Store(fence)
			}
			return err
		}
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if seen.Fence > 0 {
				seen.Fence = last.Load()
			}
			return seen, err
		}
	}),
	mutate("accepts a conflict", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if errors.Is(err, traffic.ErrConflict) {
				w.Foreign(r, "")
				return nil
			}
			return err
		}
	}),
	mutate("hides a conflict", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if err := w.target.Apply(ctx, fence, r); !errors.Is(err, traffic.ErrConflict) {
				return err
			}
			return nil
		}
	}),
	mutate("refuses a stale writer and writes all the same", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if errors.Is(err, traffic.ErrFenced) {
				w.Foreign(r, "")
			}
			return err
		}
	}),
	mutate("takes an overtaken writer for a conflict", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if errors.Is(err, traffic.ErrFenced) {
				return traffic.ErrConflict
			}
			return err
		}
	}),
	mutate("compares before it rounds", traffic.Options{Caps: traffic.Caps{Granularity: traffic.Percent(1), Fencing: true, Evidence: traffic.Written}}, func(w *wrong) {
		var last atomic.Pointer[traffic.Route]
		var at atomic.Uint64
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if l := last.Load(); l != nil && at.Load() == fence && !l.Equal(r) {
				return traffic.ErrConflict
			}
			err := w.target.Apply(ctx, fence, r)
			if err == nil {
				last.Store(&r)
				at.Store(fence)
			}
			return err
		}
	}),
	mutate("keeps the fence of the route that it has already", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if seen, err := w.target.Observe(ctx); err == nil && seen.Route.Equal(r) && seen.Fence < fence && seen.Writer == "" {
				return nil
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("lets go of its fence after a foreign write", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if seen, e := w.target.Observe(ctx); e == nil && seen.Writer != "" && errors.Is(err, traffic.ErrFenced) {
				w.Foreign(r, seen.Writer)
				return nil
			}
			return err
		}
	}),
}

var foreignMutants = []mutant{
	mutate("remembers its own writes instead of looking", trafficOptions, func(w *wrong) {
		var last atomic.Pointer[traffic.Seen]
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if seen.Writer == "" {
				last.Store(&seen)
				return seen, err
			}
			return *last.Load(), err
		}
	}),
	mutateSeen("shows a fence that a foreign route does not have", func(s *traffic.Seen) {
		if s.Writer != "" {
			s.Fence = 1
		}
	}),
	mutateSeen("names the wrong writer", func(s *traffic.Seen) {
		if s.Writer != "" {
			s.Writer = "rheostat"
		}
	}),
	mutate("puts things right when it is looked at", trafficOptions, func(w *wrong) {
		w.observe = func(ctx context.Context) (traffic.Seen, error) {
			seen, err := w.target.Observe(ctx)
			if list := w.History(); seen.Writer != "" && len(list) > 0 {
				_ = w.target.Apply(ctx, list[len(list)-1].Fence, list[len(list)-1].Route)
			}
			return seen, err
		}
	}),
	mutate("gives way to a foreign writer", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if seen, err := w.target.Observe(ctx); err == nil && seen.Writer != "" {
				return traffic.ErrConflict
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("trusts that what it accepted is still there", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if list := w.History(); len(list) > 0 && list[len(list)-1].Fence == fence && list[len(list)-1].Route.Equal(r) {
				return nil
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
}

var refuseMutants = []mutant{
	mutate("clears before it checks", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if r.Validate() != nil {
				w.Foreign(traffic.Route{}, "")
			}
			return err
		}
	}),
	mutate("ignores what it does not understand", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if r.Validate() != nil {
				return nil
			}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("uses up the fence of a malformed route", trafficOptions, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := w.target.Apply(ctx, fence, r)
			if seen, e := w.target.Observe(ctx); e == nil && r.Validate() != nil {
				_ = w.target.Apply(ctx, fence, seen.Route)
			}
			return err
		}
	}),
	mutate("carries out the rest of what it cannot", traffic.Options{Caps: traffic.Caps{Granularity: 1, Fencing: true, Evidence: traffic.Written}}, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			r.Split.Mirror, r.Split.Match, r.Split.Sticky = 0, nil, traffic.Sticky{}
			return w.target.Apply(ctx, fence, r)
		}
	}),
	mutate("splits although it is a switch", traffic.Options{Caps: traffic.Caps{Granularity: 1, Mirror: true, Match: true, Sticky: true, Fencing: true, Evidence: traffic.Written}}, func(w *wrong) {
		w.caps = func(c traffic.Caps) traffic.Caps { c.Granularity = traffic.Full; return c }
	}),
	mutate("does not say that it is unsupported", traffic.Options{Caps: traffic.Caps{Granularity: 1, Fencing: true, Evidence: traffic.Written}}, func(w *wrong) {
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			if err := w.target.Apply(ctx, fence, r); err != nil && errors.Is(err, errors.ErrUnsupported) {
				return errors.New("no")
			} else if err != nil {
				return err
			}
			return nil
		}
	}),
}
