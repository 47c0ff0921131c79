// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"errors"

	"github.com/rheostat-go/rheostat/traffic"
)

var fenceCases = []testCase{
	{
		name: "a stale fence is refused and changes nothing",
		why: "A runner that stalled for an hour wakes up and writes what it decided then. " +
			"Apply under a fence below the highest accepted one returns ErrFenced and leaves route and fence alone, even if it brings a route that was in force once.",
		needs: []need{needFencing},
		run: func(r *run) {
			r.set(1, r.route(r.some()))
			seen := r.set(3, r.route(0))
			for _, n := range []int{1, 2} {
				for _, w := range []traffic.Weight{r.some(), traffic.Full, 0} {
					err := r.Router.Apply(r.ctx, r.fence(n), r.route(w))
					if !errors.Is(err, traffic.ErrFenced) {
						r.Fatalf("Apply(fence %d, %v) after fence %d: %v, want ErrFenced", r.fence(n), r.route(w), r.fence(3), err)
					}
					r.stays(seen, "a stale Apply")
				}
			}
		},
	},
	{
		name: "another route under the same fence is a conflict",
		why: "Two writers under one fence means that one of them is wrong. Apply of another route under the fence in force " +
			"returns ErrConflict and leaves the first one's route.",
		needs: []need{needFencing},
		run: func(r *run) {
			seen := r.set(1, r.route(0))
			swapped := r.route(0)
			swapped.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
			for _, other := range []traffic.Route{r.route(traffic.Full), swapped} {
				err := r.Router.Apply(r.ctx, r.fence(1), other)
				if !errors.Is(err, traffic.ErrConflict) {
					r.Fatalf("Apply(%v) under the fence of %v: %v, want ErrConflict", other, seen.Route, err)
				}
				r.stays(seen, "a conflicting Apply")
			}
		},
	},
	{
		name: "the same route under the same fence is accepted",
		why: "It is how a runner that crashed after writing begins again: the route is compared by what it says, " +
			"moved to the granularity, and also after others were refused.",
		needs: []need{needFencing},
		run: func(r *run) {
			route := r.route(traffic.Full)
			if partial(r.caps) {
				route = r.route(r.caps.Granularity/2 + 1)
			}
			seen := r.set(2, route)
			if err := r.Router.Apply(r.ctx, r.fence(1), r.route(0)); err == nil {
				r.Fatalf("a stale Apply was accepted")
			}
			for range 2 {
				r.apply(2, route)
				r.apply(2, r.near(route))
			}
			r.stays(seen, "the same Apply again")
		},
	},
	{
		name: "a higher fence wins, also with the same route",
		why: "A runner knows by Seen.Fence that its write arrived. A higher fence is kept although the route is the one in force already, " +
			"and from then on keeps out the lower one.",
		needs: []need{needFencing},
		run: func(r *run) {
			r.set(1, r.route(0))
			r.set(3, r.route(0))
			if seen := r.see(); seen.Fence != r.fence(3) {
				r.Errorf("Observe shows fence %d, want %d", seen.Fence, r.fence(3))
			}
			if err := r.Router.Apply(r.ctx, r.fence(2), r.route(0)); !errors.Is(err, traffic.ErrFenced) {
				r.Errorf("Apply under fence %d after %d: %v, want ErrFenced", r.fence(2), r.fence(3), err)
			}
			r.set(1000, r.route(traffic.Full))
		},
	},
}
