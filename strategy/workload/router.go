// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/rheostat-go/rheostat/traffic"
)

// ErrNoRoom is returned by Apply of a Router for a route that would send an arm more than
// its pods can take at the moment of the write.
var ErrNoRoom = errors.New("workload: no room")

// Router is Options.Router with the room that the Deployments have: the part of stable's
// whole size that is available, and nothing for one that rests. Where the router itself
// says that an arm has none, since the Service of its arm selects nobody, that counts, too;
// how much more than none there is, is told by the Deployments, which know what was
// enough when the run began. Wire this one. It reads both Deployments with every Observe, and again in Apply: what
// has lost its pods since the look on which the route was decided gets no more
// traffic than it has.
func (x *Workload) Router() traffic.Router { return &roomy{x.o.Router, x} }

type roomy struct {
	traffic.Router
	x *Workload
}

// Unwrap is the router that does not know the Deployments.
func (r *roomy) Unwrap() traffic.Router { return r.Router }

func (r *roomy) Caps() traffic.Caps {
	caps := r.Router.Caps()
	caps.Room = true
	return caps
}

func (r *roomy) Observe(ctx context.Context) (traffic.Seen, error) {
	seen, err := r.Router.Observe(ctx)
	if err != nil || seen.Route.IsZero() {
		return seen, err
	}
	room, err := r.x.Room(ctx, seen.Route.Arms)
	if err != nil {
		room = traffic.Room{} // what was seen of the route still counts
	}
	if seen.Room.Known && seen.Room.Stable == 0 {
		room.Stable = 0
	}
	if seen.Room.Known && seen.Room.Candidate == 0 {
		room.Candidate = 0
	}
	seen.Room = room
	return seen, nil
}

// Apply looks at the room once more. What cannot be found out does not bar the way home.
func (r *roomy) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	room, err := r.x.Room(ctx, route.Arms)
	short := err == nil && (room.Stable < traffic.Full-route.Split.Candidate || room.Candidate < wanted(route.Split))
	if short {
		seen, err := r.Router.Observe(ctx)
		if err == nil && seen.Route.Arms == route.Arms && rises(seen.Route.Split, route.Split, room) {
			return fmt.Errorf("%w: %v, and room is %v for stable and %v for the candidate", ErrNoRoom, route, room.Stable, room.Candidate)
		}
	}
	return r.Router.Apply(ctx, fence, route)
}

// rises says that a side which has no room for its share would get more than it has.
func rises(from, to traffic.Split, room traffic.Room) bool {
	return to.Candidate < from.Candidate && room.Stable < traffic.Full-to.Candidate ||
		wanted(to) > wanted(from) && room.Candidate < wanted(to)
}

// Room is what each arm's Deployment can carry now. One that is not there can carry nothing.
func (x *Workload) Room(ctx context.Context, arms traffic.Arms) (traffic.Room, error) {
	stable, candidate, found, err := x.pair(ctx, arms)
	if err != nil {
		return traffic.Room{}, fmt.Errorf("workload: %w", err)
	}
	all := full(stable, candidate, found)
	if all <= 0 {
		return traffic.Room{}, fmt.Errorf("workload: Deployment %s has no replicas: what carries everything is not known", stable.GetName())
	}
	share := func(d deployment) traffic.Weight {
		return traffic.Weight(min(d.capacity()*int64(traffic.Full)/all, int64(traffic.Full)))
	}
	room := traffic.Room{Known: true, Stable: share(stable)}
	if found {
		room.Candidate = share(candidate)
	}
	return room, nil
}

// wanted is the share for which a split needs pods of the candidate: copies cost what
// requests do, and who is let in by a header needs somebody to be there.
func wanted(s traffic.Split) traffic.Weight {
	w := max(s.Candidate, s.Mirror)
	if w == 0 && s.Touches() {
		w = 1
	}
	return w
}

// idle says why an arm must keep its pods, nil if nothing goes to it, as far as can be
// told best. A route that was never set sends the candidate nothing.
func (x *Workload) idle(ctx context.Context, arms traffic.Arms, arm string) error {
	seen, err := x.o.Router.Observe(ctx)
	route := seen.Route
	switch {
	case err != nil:
		return fmt.Errorf("the route cannot be seen: %w", err)
	case route.IsZero() && arm == arms.Candidate:
		return nil
	case route.IsZero():
		return fmt.Errorf("no route is in force, so %s may have everything", arm)
	case seen.Evidence < x.o.Router.Caps().Evidence:
		return fmt.Errorf("that %v is in force is no more than %v", route, seen.Evidence)
	case arm == route.Arms.Candidate && route.Split.Touches(), arm == route.Arms.Stable && route.Split.Candidate < traffic.Full:
		return fmt.Errorf("it has traffic: the route in force is %v", route)
	}
	return nil
}
