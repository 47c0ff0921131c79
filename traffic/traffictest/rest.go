// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

var restCases = []testCase{{
	name: "the rest of the configuration is left alone",
	why: "The target belongs to its owner. Whatever route comes and goes, and whoever else writes, all that is not the router's own stays as it was, byte for byte: " +
		"the rules of others and their order, fields that a later version brings, comments. Read, change the part that is yours, write under the version that was read.",
	needs: []need{needRest},
	run:   leavesTheRest,
}}

func leavesTheRest(r *run) {
	before := r.rest()
	unchanged := func(after string) {
		r.Helper()
		if now := r.rest(); now != before {
			was, is := difference(before, now)
			r.Fatalf("after %s the rest of the configuration has %q where it had %q", after, is, was)
		}
	}
	n := 0
	for _, route := range r.everyKind() {
		n++
		r.set(n, route)
		unchanged("Apply(" + tell(route) + ")")
	}
	for _, m := range r.refused() {
		route := r.route(0)
		m.edit(&route)
		_ = r.Router.Apply(r.ctx, r.fence(n+1), route)
	}
	unchanged("routes that were refused")
	if r.Foreign == nil {
		return
	}
	r.foreign(r.route(0))
	unchanged("a foreign write")
	r.set(n+1, r.route(traffic.Full))
	unchanged("an Apply over a foreign write")
}

// everyKind is the ladder, and a route with each part that the router knows.
func (r *run) everyKind() (list []traffic.Route) {
	for _, w := range ladder {
		if w == 0 || w == traffic.Full || partial(r.caps) {
			list = append(list, r.route(w))
		}
	}
	add := func(can bool, edit func(*traffic.Split)) {
		if can {
			route := r.route(0)
			edit(&route.Split)
			list = append(list, route, r.route(0))
		}
	}
	add(r.caps.Match, func(s *traffic.Split) {
		s.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Cookie: "ring"}}
	})
	add(r.caps.Query, func(s *traffic.Split) { s.Match = []traffic.Match{{Query: "preview"}} })
	add(r.caps.Mirror, func(s *traffic.Split) { s.Mirror = traffic.Full })
	add(r.caps.Sticky, func(s *traffic.Split) { s.Sticky.Header = "X-User" })
	return list
}

func (r *run) rest() string {
	r.Helper()
	text, err := r.Rest(r.ctx)
	if err != nil {
		r.Fatalf("Subject.Rest: %v", err)
	}
	return text
}

// difference is the first lines in which two texts differ.
func difference(a, b string) (was, is string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		was, is = "", ""
		if i < len(x) {
			was = x[i]
		}
		if i < len(y) {
			is = y[i]
		}
		if was != is {
			break
		}
	}
	return was, is
}
