// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"errors"
	"slices"

	"github.com/rheostat-go/rheostat/traffic"
)

// broken is a way in which no route may be written.
type broken struct {
	name string
	edit func(*traffic.Route)
}

var malformed = []broken{
	{"a weight above everything", func(r *traffic.Route) { r.Split.Candidate = traffic.Full + 1 }},
	{"a mirror above everything", func(r *traffic.Route) { r.Split.Mirror = traffic.Full + 1 }},
	{"no stable arm", func(r *traffic.Route) { r.Arms.Stable = "" }},
	{"no candidate arm", func(r *traffic.Route) { r.Arms.Candidate = "" }},
	{"the same arm twice", func(r *traffic.Route) { r.Arms.Candidate = r.Arms.Stable }},
	{"a match on nothing", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Value: "x"}} }},
	{"a match on a header and the query", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "a", Query: "b"}} }},
	{"a match on two things", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "a", Cookie: "b"}} }},
	{"sticky by two things", func(r *traffic.Route) { r.Split.Sticky = traffic.Sticky{Cookie: "a", Header: "b"} }},
	{"no route at all", func(r *traffic.Route) { *r = traffic.Route{} }},
}

// unsupported is what the router's Caps rule out.
func (r *run) unsupported() (list []broken) {
	for _, c := range []struct {
		can  bool
		what broken
	}{
		{partial(r.caps), broken{"a weight in between", func(x *traffic.Route) { x.Split.Candidate = traffic.Full / 2 }}},
		{r.caps.Mirror, broken{"a mirror", func(x *traffic.Route) { x.Split.Mirror = traffic.Full }}},
		{r.caps.Match, broken{"a match", func(x *traffic.Route) { x.Split.Match = []traffic.Match{{Header: "X-Preview"}} }}},
		{r.caps.Query, broken{"a match on the query", func(x *traffic.Route) { x.Split.Match = []traffic.Match{{Query: "preview"}} }}},
		{r.caps.Sticky, broken{"sticky", func(x *traffic.Route) { x.Split.Sticky.Cookie = "side" }}},
	} {
		if !c.can {
			list = append(list, c.what)
		}
	}
	return list
}

// refused is all that the router must not carry out.
func (r *run) refused() []broken { return slices.Concat(malformed, r.unsupported()) }

var refuseCases = []testCase{
	{
		name: "a malformed route is refused and the old one stays",
		why:  "Apply checks the whole route (Route.Validate) before it touches anything, and returns an error that names the field. The fence is not used up.",
		run: func(r *run) {
			seen := r.set(1, r.route(0))
			for _, m := range malformed {
				route := r.route(traffic.Full)
				m.edit(&route)
				if err := r.Router.Apply(r.ctx, r.fence(2), route); err == nil {
					r.Fatalf("Apply with %s was accepted, want an error", m.name)
				}
				r.stays(seen, "an Apply with "+m.name)
			}
			r.set(2, r.route(traffic.Full))
		},
	},
	{
		name: "what caps rule out is unsupported",
		why: "A route that asks for more than Caps declare is refused with errors.ErrUnsupported, and the old route stays. " +
			"Carrying out the rest of it would be a rollout that does not do what its plan says.",
		needs: []need{needLimits},
		run: func(r *run) {
			seen := r.set(1, r.route(0))
			for _, m := range r.unsupported() {
				route := r.route(traffic.Full)
				m.edit(&route)
				if err := r.Router.Apply(r.ctx, r.fence(2), route); !errors.Is(err, errors.ErrUnsupported) {
					r.Fatalf("Apply with %s, which Caps rule out: %v, want errors.ErrUnsupported", m.name, err)
				}
				r.stays(seen, "an Apply with "+m.name)
			}
			r.set(2, r.route(traffic.Full))
		},
	},
}
