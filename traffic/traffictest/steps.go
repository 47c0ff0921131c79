// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// looks is how often a case looks again where nothing should have changed.
const looks = 3

// run is one case under way: the steps that cases are told in.
type run struct {
	reporter
	Subject
	ctx  context.Context //nolint:containedctx // it lives for one case, whose every step is bounded by it
	caps traffic.Caps
	base uint64 // the fence that the subject came with
}

// fence is the nth of this case, above all that the subject has seen.
func (r *run) fence(n int) uint64 { return r.base + uint64(n) } //nolint:gosec // n is small and positive

// route gives the candidate w.
func (r *run) route(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: r.Arms, Split: traffic.Split{Candidate: w}}
}

// some is a weight between nothing and everything where the router has one.
func (r *run) some() traffic.Weight {
	if !partial(r.caps) {
		return traffic.Full
	}
	return r.near(r.route(traffic.Percent(25))).Split.Candidate
}

// near is what the router's Caps make of want.
func (r *run) near(want traffic.Route) traffic.Route {
	r.Helper()
	split, err := r.caps.Nearest(want.Split)
	if err != nil {
		r.Fatalf("Caps.Nearest(%v): %v", want, err)
	}
	want.Split = split
	return want
}

// apply applies the route, which must be accepted.
func (r *run) apply(n int, route traffic.Route) {
	r.Helper()
	if err := r.Router.Apply(r.ctx, r.fence(n), route); err != nil {
		r.Fatalf("Apply(fence %d, %v): %v, want no error", r.fence(n), route, err)
	}
}

// set applies the route and waits until it is in force as well as can be known.
func (r *run) set(n int, route traffic.Route) traffic.Seen {
	r.Helper()
	r.apply(n, route)
	return r.comes(route)
}

// see looks once.
func (r *run) see() traffic.Seen {
	r.Helper()
	seen, err := r.Router.Observe(r.ctx)
	if err != nil {
		r.Fatalf("Observe: %v, want no error", err)
	}
	return seen
}

// comes waits until the router shows want with the best evidence it declares.
func (r *run) comes(want traffic.Route) traffic.Seen {
	r.Helper()
	want = r.near(want)
	var seen traffic.Seen
	if !r.within(func() bool {
		seen = r.see()
		return seen.Route.Equal(want) && seen.Evidence >= r.caps.Evidence
	}) {
		r.Fatalf("after %v Observe shows %v (%v), want %v (%v)", r.Settle, tell(seen.Route), seen.Evidence, tell(want), r.caps.Evidence)
	}
	return seen
}

// stays looks several times, and wants the same each time.
func (r *run) stays(want traffic.Seen, after string) {
	r.Helper()
	for range looks {
		seen := r.see()
		if !seen.Route.Equal(want.Route) || seen.Fence != want.Fence {
			r.Fatalf("after %s Observe shows %v under fence %d, want %v under fence %d as before",
				after, tell(seen.Route), seen.Fence, tell(want.Route), want.Fence)
		}
	}
}

// within asks until done says yes, at least once and no longer than Settle.
func (r *run) within(done func() bool) bool {
	deadline := time.Now().Add(r.Settle)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(deadline) || !r.pause(wait) {
			return false
		}
	}
}

// patience is how long a case lets a call go on against a target that is broken.
func (r *run) patience() time.Duration {
	return min(max(r.Settle/50, 10*time.Millisecond), 100*time.Millisecond)
}

// bounded makes a call under a deadline, and wants it back when that has passed,
// or not much later.
func (r *run) bounded(what string, limit time.Duration, call func(ctx context.Context) error) error {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	overdue := time.NewTimer(limit + r.slack())
	defer overdue.Stop()
	select {
	case err := <-done:
		return err
	case <-overdue.C:
		r.Fatalf("%s goes on %v after its context has ended", what, r.slack())
		return nil
	}
}

// slack is how long something may take that should be over.
func (r *run) slack() time.Duration { return max(r.Settle, 2*time.Second) }

// pause waits for d, or reports false if the case is over before.
func (r *run) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// tell is a route with all that Route.String leaves out.
func tell(route traffic.Route) string {
	s := route.String()
	if len(route.Split.Match) > 0 {
		s += fmt.Sprintf(" on %+v", route.Split.Match)
	}
	if route.Split.Sticky != (traffic.Sticky{}) {
		s += fmt.Sprintf(" by %+v", route.Split.Sticky)
	}
	return s
}
