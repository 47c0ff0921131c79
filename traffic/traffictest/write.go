// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

const (
	writers = 8 // that apply at once
	rounds  = 5 // of them
)

var writeCases = []testCase{
	{
		name: "observe shows what was applied",
		why: "Once Apply has returned nil, Observe comes to show that route and the fence it was accepted under, " +
			"with the evidence that Caps declare. Rollouts move on because of this and nothing else.",
		run: func(r *run) {
			for i, w := range []traffic.Weight{r.some(), traffic.Full, 0} {
				seen := r.set(i+1, r.route(w))
				if r.caps.Fencing && seen.Fence != r.fence(i+1) {
					r.Errorf("Observe shows fence %d, want %d", seen.Fence, r.fence(i+1))
				}
			}
		},
	},
	{
		name: "applying twice is once",
		why: "A caller that lost a reply asks again, with the same route under the same fence. " +
			"That is no error, and changes nothing; a backend that swaps must look before it acts.",
		run: func(r *run) {
			seen := r.set(1, r.route(r.some()))
			for range 2 {
				r.apply(1, r.route(r.some()))
				r.stays(seen, "the same Apply again")
			}
		},
	},
	{
		name: "an ended context changes nothing or everything",
		why: "Apply under a context that has ended either returns an error and leaves the old route, or sets the whole new one. " +
			"It returns nil only if the new route comes into force, and nothing happens after it has returned an error.",
		run: appliesUnderAnEndedContext,
	},
	{
		name: "observe never writes",
		why:  "Observe is called every turn, by anyone, on any number of machines. Looking changes neither the route nor its fence.",
		run: func(r *run) {
			seen := r.set(1, r.route(r.some()))
			for range looks {
				r.stays(seen, "nothing but looking")
			}
		},
	},
	{
		name: "concurrent applies are never torn",
		why: "Of routes applied at once, one is in force afterwards, whole: with Fencing the accepted one of the highest fence. " +
			"Nobody ever sees the arms of one route with the weight of another.",
		run: appliesAtOnce,
	},
	{
		name: "callers share no memory with the router",
		why: "A caller may reuse the Match slice it has applied, and change the Seen it was given. " +
			"Neither reaches the route in force; the router keeps and hands out copies (Split.Clone).",
		needs: []need{needMatch},
		run: func(r *run) {
			route := r.route(0)
			route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}}
			given := route
			given.Split = route.Split.Clone()
			seen := r.set(1, given)
			want := traffic.Seen{Route: route, Fence: seen.Fence}
			given.Split.Match[0].Value = "changed by the caller of Apply"
			r.stays(want, "its caller changed the slice")
			r.see().Route.Split.Match[0].Value = "changed by the caller of Observe"
			r.stays(want, "an observer changed what it was shown")
		},
	},
}

func appliesUnderAnEndedContext(r *run) {
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	before := r.set(1, r.route(0))
	after := r.route(traffic.Full)
	after.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
	if err := r.Router.Apply(ended, r.fence(2), after); err == nil {
		r.comes(after)
		return
	}
	first := r.see()
	switch {
	case first.Route.Equal(before.Route):
		r.stays(before, "an Apply whose context had ended")
		// The fence of a write that did not happen is not used up.
		r.set(2, r.route(traffic.Full))
	case first.Route.Equal(r.near(after)):
		r.stays(first, "an Apply whose context had ended")
	default:
		r.Fatalf("after an Apply whose context had ended Observe shows %v, want either %v or %v", tell(first.Route), tell(before.Route), tell(after))
	}
}

// appliesAtOnce gives each writer a fence and a route whose every field differs
// from its neighbours'.
func appliesAtOnce(r *run) {
	valid := []traffic.Route{r.set(1, r.route(0)).Route}
	for round := range rounds {
		routes := make([]traffic.Route, writers)
		for i := range routes {
			routes[i] = r.distinct(i)
		}
		valid = append(valid, routes...)
		errs := make([]error, writers)
		var wg, looking sync.WaitGroup
		var torn traffic.Route
		stop := make(chan struct{})
		looking.Go(func() { torn = r.watch(stop, valid) })
		for i := range writers {
			wg.Go(func() { errs[i] = r.Router.Apply(r.ctx, r.fence(2+round*writers+i), routes[i]) })
		}
		wg.Wait()
		close(stop)
		looking.Wait()
		if !torn.IsZero() {
			r.Fatalf("while %d writers applied Observe showed %v, which nobody asked for", writers, tell(torn))
		}
		r.oneWon(routes, errs)
	}
}

// distinct is the route of writer i: neighbours differ in arms, weight and match.
func (r *run) distinct(i int) traffic.Route {
	route := r.route(0)
	if i%2 == 1 {
		route.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
		route.Split.Candidate = traffic.Full
	}
	if !partial(r.caps) {
		return route
	}
	part := traffic.Weight(i+1) * (traffic.Full / 100) //nolint:gosec // i is below writers
	if i%2 == 1 {
		part = traffic.Full - part
	} else if r.caps.Match {
		route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	}
	route.Split.Candidate = part
	return r.near(route)
}

// watch looks until stop is closed, and returns a route that is none of valid.
func (r *run) watch(stop <-chan struct{}, valid []traffic.Route) traffic.Route {
	for {
		select {
		case <-stop:
			return traffic.Route{}
		default:
		}
		if seen, err := r.Router.Observe(r.ctx); err == nil && !contains(valid, seen.Route) {
			return seen.Route
		}
		r.pause(20 * time.Microsecond) // leave the writers their turn
	}
}

func (r *run) oneWon(routes []traffic.Route, errs []error) {
	r.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil:
			winner = i
		case !errors.Is(err, traffic.ErrFenced) && !errors.Is(err, traffic.ErrConflict):
			r.Fatalf("Apply while others apply: %v, want none, ErrFenced or ErrConflict", err)
		case errors.Is(err, traffic.ErrFenced) && i == writers-1:
			r.Fatalf("the highest fence was refused as stale: %v", err)
		}
	}
	if winner < 0 {
		r.Fatalf("of %d writers at once, none was accepted; want the one that came first to be", writers)
	}
	if r.caps.Fencing {
		r.comes(routes[winner])
		return
	}
	var seen traffic.Seen
	if !r.within(func() bool {
		seen = r.see()
		return contains(routes, seen.Route) && seen.Evidence >= r.caps.Evidence
	}) {
		r.Fatalf("after %d writers at once Observe shows %v, which none of them asked for", writers, tell(seen.Route))
	}
}

func contains(list []traffic.Route, route traffic.Route) bool {
	for _, r := range list {
		if r.Equal(route) {
			return true
		}
	}
	return false
}
