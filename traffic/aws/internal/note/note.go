// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package note is what the routers of this module have in common: the note that
// a target keeps beside its weights, and a route told from weights by name.
package note

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/rheostat-go/rheostat/traffic"
)

// Note is the route that was accepted last, and under which fence. It is kept in
// the target, in the same write as the weights, and outlives a foreign write.
// Of the route it has the arms and the candidate's weight; nothing else can be had.
type Note traffic.Accepted

// String is the note as text without blanks, quotes or letters beyond ASCII.
func (n Note) String() string {
	return fmt.Sprintf("fence=%d&stable=%s&candidate=%s&weight=%d", n.Fence,
		url.QueryEscape(n.Route.Arms.Stable), url.QueryEscape(n.Route.Arms.Candidate), n.Route.Split.Candidate)
}

// Parse reads what String writes. ok is false for anything else: a note that
// somebody has damaged counts as one that was taken away.
func Parse(s string) (n Note, ok bool) {
	fields, err := url.ParseQuery(s)
	if err != nil {
		return Note{}, false
	}
	fence, err := strconv.ParseUint(fields.Get("fence"), 10, 64)
	if err != nil {
		return Note{}, false
	}
	weight, err := strconv.ParseUint(fields.Get("weight"), 10, 32)
	if err != nil {
		return Note{}, false
	}
	n.Fence = fence
	n.Route.Arms = traffic.Arms{Stable: fields.Get("stable"), Candidate: fields.Get("candidate")}
	n.Route.Split.Candidate = traffic.Weight(weight)
	return n, n.Route.Validate() == nil
}

// Admit is that of [traffic.Accepted].
func (n Note) Admit(fence uint64, route traffic.Route) error {
	return traffic.Accepted(n).Admit(fence, route)
}

// Share is how many parts of the whole a name gets.
type Share struct {
	Arm   string
	Parts uint64
}

// Arrange is the route that the shares make, told in the names of known where
// those serve everything. Otherwise the bigger share is called stable, or the
// first of two that are equal.
func Arrange(known traffic.Arms, shares []Share) (traffic.Route, error) {
	var serving, idle []Share
	for _, s := range shares {
		if s.Parts > 0 {
			serving = append(serving, s)
		} else {
			idle = append(idle, s)
		}
	}
	switch {
	case len(serving) == 0:
		return traffic.Route{}, errors.New("nothing has a weight above 0")
	case len(serving) > 2:
		return traffic.Route{}, fmt.Errorf("%q, %q and %q all have weight; a route has two arms", serving[0].Arm, serving[1].Arm, serving[2].Arm)
	}
	strange := func(s Share) bool { return s.Arm != known.Stable && s.Arm != known.Candidate }
	if strange(serving[0]) || strange(serving[len(serving)-1]) {
		known = traffic.Arms{Stable: serving[0].Arm}
		switch {
		case len(serving) == 2 && serving[1].Parts > serving[0].Parts:
			known = traffic.Arms{Stable: serving[1].Arm, Candidate: serving[0].Arm}
		case len(serving) == 2:
			known.Candidate = serving[1].Arm
		case len(idle) == 1:
			known.Candidate = idle[0].Arm
		}
	}
	route := traffic.Route{Arms: known}
	var all, candidate uint64
	for _, s := range serving {
		all += s.Parts
		if s.Arm == known.Candidate {
			candidate += s.Parts
		}
	}
	route.Split.Candidate = part(candidate, all)
	return route, nil
}

// part is a share as a weight, to the nearest, and never an end that it is not.
func part(some, all uint64) traffic.Weight {
	if some == 0 || some == all {
		return traffic.Weight(some/all) * traffic.Full //nolint:gosec // 0 or 1
	}
	w := (some*uint64(traffic.Full) + all/2) / all
	return traffic.Weight(min(max(w, 1), uint64(traffic.Full)-1)) //nolint:gosec // below Full
}
