// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Member is one router of a [Fanout].
type Member struct {
	// Name is what errors and drift call it: a region, a protocol.
	Name string
	// Router is turned together with the others.
	Router Router
}

// Fanout is several routers as one: the regions of a service, HTTP and gRPC, a
// proxy and a flag. All are given the same route under the same fence.
//
// Apply goes through the members in order, and through all of them even when
// some fail, so that a region that is down keeps no other from going home; the
// error names each that did. It stops at ErrFenced and ErrConflict, for then the
// caller was overtaken. After an error the members may differ, and the same Apply
// again makes them one; that much is all the atomicity there is.
//
// Observe asks all members at once and shows the one that is furthest behind: of
// those with the lowest fence, and among them the least evidence. So a route
// counts as in force when the last member has it, on the way up and on the way
// home, and a foreign write in one member is seen as what it is, with the
// member's name before the writer's. Room is the least of all. A member that
// cannot be observed makes the whole not known.
//
// Caps are what all members can do: the granularity that all can meet exactly,
// the least evidence, the longest lag. Each must fence: which of two members is
// behind is told by nothing else. Make one with [NewFanout].
type Fanout struct {
	members []Member
	caps    Caps
}

// NewFanout makes one router of several. It fails for none, for names that are
// missing or there twice, for a member without Fencing, which belongs in a plan as
// a target of its own, and for members that have no granularity in common.
func NewFanout(members ...Member) (*Fanout, error) {
	if len(members) == 0 {
		return nil, errors.New("traffic: fanout: give it a member")
	}
	f := &Fanout{members: members}
	seen := map[string]bool{}
	for i, m := range members {
		switch {
		case m.Name == "" || seen[m.Name]:
			return nil, fmt.Errorf("traffic: fanout: member %d: name %q is empty or there twice", i, m.Name)
		case m.Router == nil:
			return nil, fmt.Errorf("traffic: fanout: member %q has no Router", m.Name)
		}
		seen[m.Name] = true
		caps := m.Router.Caps()
		if caps.Granularity == 0 || !caps.Granularity.Valid() {
			return nil, fmt.Errorf("traffic: fanout: member %q declares no granularity", m.Name)
		}
		if !caps.Fencing {
			return nil, fmt.Errorf("traffic: fanout: member %q cannot fence, so nobody could tell whether it is behind; make it a target of its own: %w", m.Name, errors.ErrUnsupported)
		}
		if i == 0 {
			f.caps = caps
			continue
		}
		f.caps = f.caps.both(caps)
		if !f.caps.Granularity.Valid() {
			return nil, fmt.Errorf("traffic: fanout: member %q: its weights in steps of %v meet those before it nowhere between 0%% and 100%%", m.Name, caps.Granularity)
		}
	}
	return f, nil
}

// both is what routers can do together.
func (c Caps) both(o Caps) Caps {
	switched := func(c Caps) bool { return 2*c.Granularity > Full }
	granularity := max(c.Granularity, o.Granularity)
	if !switched(c) && !switched(o) {
		granularity = lcm(c.Granularity, o.Granularity)
	}
	return Caps{
		Granularity: granularity,
		Mirror:      c.Mirror && o.Mirror, Match: c.Match && o.Match, Query: c.Query && o.Query, Sticky: c.Sticky && o.Sticky,
		Fencing: true, Room: c.Room && o.Room,
		Evidence: min(c.Evidence, o.Evidence), Lag: max(c.Lag, o.Lag),
		Toggle: c.Toggle || o.Toggle, Drops: c.Drops || o.Drops,
	}
}

func lcm(a, b Weight) Weight {
	x, y := uint64(a), uint64(b)
	for y != 0 {
		x, y = y, x%y
	}
	if m := uint64(a) / x * uint64(b); m < uint64(Full) {
		return Weight(m) //nolint:gosec // below Full
	}
	return Full + 1 // none but the ends
}

// Caps implements Router.
func (f *Fanout) Caps() Caps { return f.caps }

// Apply implements Router.
func (f *Fanout) Apply(ctx context.Context, fence uint64, r Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("traffic: fanout: apply: %w", context.Cause(ctx))
	}
	r, err := f.caps.NearestRoute(r)
	if err != nil {
		return fmt.Errorf("traffic: fanout: apply: %w", err)
	}
	var failed []error
	for _, m := range f.members {
		err := m.Router.Apply(ctx, fence, r)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.Name, err))
		}
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrConflict) {
			break
		}
	}
	return errors.Join(failed...)
}

// Observe implements Router.
func (f *Fanout) Observe(ctx context.Context) (Seen, error) {
	looks := make([]Seen, len(f.members))
	failed := make([]error, len(f.members))
	var wg sync.WaitGroup
	for i, m := range f.members {
		wg.Go(func() {
			var err error
			if looks[i], err = m.Router.Observe(ctx); err != nil {
				failed[i] = fmt.Errorf("%s: %w", m.Name, err)
			}
			if looks[i].Writer != "" {
				looks[i].Writer = m.Name + ": " + looks[i].Writer
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return Seen{}, err
	}
	last := looks[0]
	room := last.Room
	for _, s := range looks[1:] {
		if s.behind(last) {
			last = s
		}
		room = Room{
			Known:     room.Known && s.Room.Known,
			Stable:    min(room.Stable, s.Room.Stable),
			Candidate: min(room.Candidate, s.Room.Candidate),
		}
	}
	if last.Evidence > f.caps.Evidence {
		last.Evidence = f.caps.Evidence
	}
	last.Room = room
	if !room.Known || !f.caps.Room {
		last.Room = Room{}
	}
	return last, nil
}

// behind reports whether a member that shows s is further behind than one that shows o.
func (s Seen) behind(o Seen) bool {
	if s.Fence != o.Fence {
		return s.Fence < o.Fence
	}
	return s.Evidence < o.Evidence
}

// counts reports whether all members do.
func (f *Fanout) counts() bool {
	return !slices.ContainsFunc(f.members, func(m Member) bool { _, ok := MeterOf(m.Router); return !ok })
}

// Meter implements Meter by adding the members up. Members that are no Meter are
// an error: what is not counted may be under way.
func (f *Fanout) Meter(ctx context.Context) (map[string]Reading, error) {
	total := map[string]Reading{}
	for _, m := range f.members {
		meter, ok := MeterOf(m.Router)
		if !ok {
			return nil, fmt.Errorf("traffic: fanout: member %q counts no requests: %w", m.Name, errors.ErrUnsupported)
		}
		readings, err := meter.Meter(ctx)
		if err != nil {
			return nil, fmt.Errorf("traffic: fanout: %s: %w", m.Name, err)
		}
		for arm, r := range readings {
			sum := total[arm]
			total[arm] = Reading{sum.Requests + r.Requests, sum.Active + r.Active}
		}
	}
	return total, nil
}
