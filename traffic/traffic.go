// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrFenced is returned by Apply when the target has accepted a higher fence:
	// the caller has been overtaken and must look at the world again.
	ErrFenced = errors.New("traffic: overtaken by a higher fence")
	// ErrConflict is returned by Apply when the target has accepted another route
	// under the same fence, or was changed between being read and being written.
	ErrConflict = errors.New("traffic: conflicting route")
)

// Router turns one target's traffic: a proxy, a load balancer, a mesh route, a
// DNS name, a feature flag. Implementations must be safe for concurrent use and
// must pass traffictest.Run.
type Router interface {
	// Caps says what this router can do. It does not block and never changes.
	Caps() Caps

	// Apply makes r the route in force, wholly or not at all. Applying the same
	// route under the same fence again is no change and no error, so that a
	// caller that lost a reply can ask again.
	//
	// fence orders the writers: a router whose Caps say Fencing returns
	// ErrFenced when it has accepted a higher one, and ErrConflict when it has
	// accepted another route under this one. A higher fence always wins, also
	// over changes made by others. A router without Fencing ignores it.
	//
	// A route that Caps rule out is refused with errors.ErrUnsupported, one that
	// is malformed with an error that names the field; the old route stays.
	// A nil error means accepted. Whether it is in effect is for Observe to say.
	Apply(ctx context.Context, fence uint64, r Route) error

	// Observe reports what is in force now and how sure that is. It never
	// writes. An error means not known; it is never a zero Seen.
	Observe(ctx context.Context) (Seen, error)
}

// Seen is what a look at a target showed.
type Seen struct {
	Route    Route    `json:"route"`
	Evidence Evidence `json:"evidence"`
	// Fence is the one the route was accepted under, 0 if it was written by
	// something that has none.
	Fence uint64 `json:"fence,omitempty"`
	// Writer names who wrote the route in force, where the target tells.
	Writer string `json:"writer,omitempty"`
	// Room is what each arm could carry at this moment.
	Room Room `json:"room,omitzero"`
}

// Room is the share of the traffic that each arm can carry now, by its ready
// capacity. The zero Room is not known: that blocks moving forward, and never
// the way home.
type Room struct {
	Known     bool   `json:"known,omitempty"`
	Stable    Weight `json:"stable,omitempty"`
	Candidate Weight `json:"candidate,omitempty"`
}

// Plenty is the room of a target whose arms can both carry everything.
var Plenty = Room{Known: true, Stable: Full, Candidate: Full}

// Evidence says how sure it is that a route is in force.
type Evidence uint8

const (
	// Unknown is the zero Evidence: nobody can tell.
	Unknown Evidence = iota
	// Written means that the target's configuration says so.
	Written
	// Programmed means that the data plane has acknowledged it.
	Programmed
	// Effective means that requests were seen to go where the route says, or
	// that the observer is the data plane itself.
	Effective
)

var evidenceNames = [...]string{"unknown", "written", "programmed", "effective"}

// String is the name in lower case.
func (e Evidence) String() string {
	if int(e) < len(evidenceNames) {
		return evidenceNames[e]
	}
	return fmt.Sprintf("evidence(%d)", uint8(e))
}

// MarshalText writes the name.
func (e Evidence) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads a name.
func (e *Evidence) UnmarshalText(text []byte) error {
	for i, name := range evidenceNames {
		if string(text) == name {
			*e = Evidence(i)
			return nil
		}
	}
	return fmt.Errorf("traffic: evidence %q: want one of %q", text, evidenceNames)
}

// Caps declares what a router can do. A plan is held against it when a rollout
// is accepted, so that nothing is silently ignored later. The zero Caps can do
// nothing and is refused.
type Caps struct {
	// Granularity is the smallest difference between two weights of the
	// candidate: 1 for any part per million, Full for a switch that knows only
	// all or nothing. 0 is not declared, and refused.
	Granularity Weight `json:"granularity"`
	// Mirror, Match and Sticky say which parts of a Split can be carried out.
	// Match is matches on headers and cookies; Query is those on the query.
	Mirror bool `json:"mirror,omitempty"`
	Match  bool `json:"match,omitempty"`
	Query  bool `json:"query,omitempty"`
	Sticky bool `json:"sticky,omitempty"`
	// Fencing says that the target itself refuses a stale writer. Without it two
	// runners can undo each other, so it takes an explicit word to use one.
	Fencing bool `json:"fencing,omitempty"`
	// Room says that Observe reports Room.
	Room bool `json:"room,omitempty"`
	// Evidence is the best that Observe can ever give.
	Evidence Evidence `json:"evidence"`
	// Lag bounds the time from that evidence until the last request goes the
	// new way: a DNS lifetime, a grace period of old workers.
	Lag time.Duration `json:"lag,omitempty"`
	// Toggle says that the target's own call swaps instead of setting. The
	// router must look before each write; callers need do nothing.
	Toggle bool `json:"toggle,omitempty"`
	// Drops says that a change can break requests that are under way.
	Drops bool `json:"drops,omitempty"`
}

// Nearest is the split that this router would carry out for s: the candidate's
// weight moved to its granularity, but never from something to nothing or from a
// part to the whole. The rest stays as it is. What cannot be carried out at all is an error that wraps
// errors.ErrUnsupported and names the field.
func (c Caps) Nearest(s Split) (Split, error) {
	if err := s.Validate(); err != nil {
		return Split{}, err
	}
	unsupported := func(field, why string) (Split, error) {
		return Split{}, fmt.Errorf("%s: %s: %w", field, why, errors.ErrUnsupported)
	}
	switch {
	case c.Granularity == 0 || !c.Granularity.Valid():
		return unsupported("candidate", "the router declares no granularity")
	case s.Mirror > 0 && !c.Mirror:
		return unsupported("mirror", "the router cannot copy requests")
	case !c.Match && slices.ContainsFunc(s.Match, func(m Match) bool { return m.Query == "" }):
		return unsupported("match", "the router cannot match headers or cookies")
	case !c.Query && slices.ContainsFunc(s.Match, func(m Match) bool { return m.Query != "" }):
		return unsupported("match", "the router cannot match a parameter of the query")
	case s.Sticky != (Sticky{}) && !c.Sticky:
		return unsupported("sticky", "the router cannot keep a client on one side")
	case s.Candidate > 0 && s.Candidate < Full && 2*c.Granularity > Full:
		return unsupported("candidate", fmt.Sprintf("the router knows only all or nothing, not %v", s.Candidate))
	}
	near := s.Clone()
	near.Candidate = c.nearest(s.Candidate)
	return near, nil
}

// NearestRoute is the route that this router would carry out for r: as Nearest, and
// an error, too, if r is malformed. It shares nothing with r.
func (c Caps) NearestRoute(r Route) (Route, error) {
	if err := r.Validate(); err != nil {
		return Route{}, err
	}
	near, err := c.Nearest(r.Split)
	return Route{Arms: r.Arms, Split: near}, err
}

func (c Caps) nearest(w Weight) Weight {
	if w == 0 || w == Full {
		return w
	}
	g := c.Granularity
	near := (w + g/2) / g * g
	return min(max(near, g), (Full-1)/g*g)
}
