// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"maps"
	"strconv"

	"github.com/rheostat-go/rheostat/traffic"
)

// clients is how many the sticky cases follow.
const clients = 400

// stickyLadder begins where a rollout does.
var stickyLadder = []traffic.Weight{
	traffic.Full / 100, traffic.Full / 20, traffic.Full / 4, traffic.Full / 2, traffic.Full,
}

// stickyBy makes a route sticky, and the request of a client known by id.
type stickyBy struct {
	sticky traffic.Sticky
	client func(id int) Request
}

var (
	byHeader = stickyBy{traffic.Sticky{Header: "X-User"}, func(id int) Request {
		return Request{Header: map[string]string{"X-User": "user-" + strconv.Itoa(id)}}
	}}
	byCookie = stickyBy{traffic.Sticky{Cookie: "side"}, func(id int) Request {
		return Request{Cookie: map[string]string{"other": "x", "side": "client-" + strconv.Itoa(id)}}
	}}
)

// population asks for each client and returns who is on the candidate.
func (r *run) population(by stickyBy) map[int]bool {
	r.Helper()
	on := map[int]bool{}
	for id := range clients {
		if r.ask(by.client(id)).Arm == r.Arms.Candidate {
			on[id] = true
		}
	}
	return on
}

func (r *run) sticky(w traffic.Weight, by stickyBy) traffic.Route {
	r.Helper()
	route := r.route(w)
	route.Split.Sticky = by.sticky
	return r.near(route)
}

var stickyNeeds = append([]need{needSticky, needPartial}, sending...)

var stickyCases = []testCase{
	{
		name:  "a client stays on its side",
		why:   "With Sticky set, the same cookie or header gives the same arm with every request at the same weight.",
		needs: stickyNeeds,
		run: func(r *run) {
			for i, by := range []stickyBy{byHeader, byCookie} {
				r.live(i+1, r.sticky(traffic.Full/2, by))
				first := r.population(by)
				for range looks {
					if again := r.population(by); !maps.Equal(first, again) {
						r.Fatalf("at 50%% sticky by %+v, %d clients were on the candidate and then %d others", by.sticky, len(first), differ(first, again))
					}
				}
			}
		},
	},
	{
		name: "stickiness is monotone from 1% upwards",
		why: "Whoever is on the candidate at 1% still is at 5% and above, so nobody sees the new version come and go while a rollout moves on, " +
			"and the way back frees the last to join first. The shares are met all the same.",
		needs: stickyNeeds,
		run:   growsMonotone,
	},
	{
		name: "stickiness survives a restart",
		why: "Clients stay on their side when the router restarts and on every replica of it: " +
			"the side comes from the client's key and the route, not from the memory or the seed of a process.",
		needs: append([]need{needRestart}, stickyNeeds...),
		run: func(r *run) {
			for i, by := range []stickyBy{byHeader, byCookie} {
				r.live(2*i+1, r.sticky(traffic.Full/2, by))
				before := r.population(by)
				r.restart()
				r.comes(r.sticky(traffic.Full/2, by))
				if after := r.population(by); !maps.Equal(before, after) {
					r.Fatalf("sticky by %+v, after a restart %d of %d clients are on another side", by.sticky, differ(before, after), clients)
				}
				r.live(2*i+2, r.sticky(traffic.Percent(75), by))
				more := r.population(by)
				for id := range before {
					if !more[id] {
						r.Fatalf("sticky by %+v, client %d was on the candidate at 50%%, and is not at 75%% after a restart", by.sticky, id)
					}
				}
			}
		},
	},
	{
		name: "a cookie that the router gives keeps its side",
		why: "A router that gives a client without the sticky cookie one keeps that client on the arm that answered, at this weight and at every higher one it was on the candidate. " +
			"A router that gives none is free to choose anew.",
		needs: stickyNeeds,
		run:   cookiesKeepTheirSide,
	},
}

func growsMonotone(r *run) {
	n := 0
	for _, by := range []stickyBy{byHeader, byCookie} {
		at := map[traffic.Weight]map[int]bool{}
		last := map[int]bool{}
		for _, w := range stickyLadder {
			n++
			route := r.sticky(w, by)
			r.live(n, route)
			on := r.population(by)
			for id := range last {
				if !on[id] {
					r.Fatalf("sticky by %+v, client %d was on the candidate at a lower weight and is not at %v", by.sticky, id, route.Split.Candidate)
				}
			}
			share := float64(route.Split.Candidate) / float64(traffic.Full)
			if !plausible(len(on), clients, share) {
				r.Fatalf("at %v sticky by %+v, %d of %d clients are on the candidate, which chance does not explain", route.Split.Candidate, by.sticky, len(on), clients)
			}
			last, at[w] = on, on
		}
		n++
		back := stickyLadder[1]
		r.live(n, r.sticky(back, by))
		if on := r.population(by); !maps.Equal(on, at[back]) {
			r.Fatalf("sticky by %+v, %d clients are on another side than before when the weight is back at %v", by.sticky, differ(on, at[back]), back)
		}
	}
}

func cookiesKeepTheirSide(r *run) {
	given := map[int]Request{}
	on := map[int]bool{}
	r.live(1, r.sticky(traffic.Full/2, byCookie))
	for id := range clients {
		answer := r.ask(Request{})
		if value := answer.Cookie[byCookie.sticky.Cookie]; value != "" {
			given[id] = Request{Cookie: map[string]string{byCookie.sticky.Cookie: value}}
			on[id] = answer.Arm == r.Arms.Candidate
		}
	}
	if len(given) == 0 {
		r.Skipf("skipped for want of a router that gives cookies")
	}
	if len(given) != clients {
		r.Fatalf("%d of %d clients were given a cookie, want all or none", len(given), clients)
	}
	for id, request := range given {
		if got := r.ask(request).Arm == r.Arms.Candidate; got != on[id] {
			r.Fatalf("a client that was given a cookie is on the candidate: %v, and was with its first request: %v", got, on[id])
		}
	}
	r.live(2, r.sticky(traffic.Percent(75), byCookie))
	for id, request := range given {
		if on[id] && r.ask(request).Arm != r.Arms.Candidate {
			r.Fatalf("a client that was given a cookie on the candidate at 50%% is on stable at 75%%")
		}
	}
}

func differ(a, b map[int]bool) int {
	n := 0
	for id := range clients {
		if a[id] != b[id] {
			n++
		}
	}
	return n
}
