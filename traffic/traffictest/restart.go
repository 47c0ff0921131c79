// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"errors"

	"github.com/rheostat-go/rheostat/traffic"
)

// restart puts the next instance in the subject's place.
func (r *run) restart() {
	r.Helper()
	next, err := r.Restart(r.ctx)
	if err != nil {
		r.Fatalf("Subject.Restart: %v", err)
	}
	if next.Arms == (traffic.Arms{}) {
		next.Arms = r.Arms
	}
	r.Subject = next.withDefaults()
}

var restartCases = []testCase{
	{
		name: "a restart keeps the route and the fence",
		why: "After a crash the router is what it was: the same route in force before the first request, " +
			"the same fence, and stale writers still refused.",
		needs: []need{needRestart},
		run: func(r *run) {
			route := r.route(r.some())
			if r.caps.Match {
				route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Cookie: "ring"}}
			}
			if r.caps.Sticky {
				route.Split.Sticky.Cookie = "side"
			}
			seen := r.set(5, route)
			r.restart()
			r.comes(route)
			r.stays(seen, "a restart")
			if r.caps.Fencing {
				if err := r.Router.Apply(r.ctx, r.fence(4), r.route(0)); !errors.Is(err, traffic.ErrFenced) {
					r.Fatalf("a stale Apply after a restart: %v, want ErrFenced", err)
				}
			}
			r.apply(5, route)
			r.stays(seen, "the same Apply after a restart")
			r.set(6, r.route(0))
		},
	},
}
