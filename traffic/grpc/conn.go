// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/rheostat-go/rheostat/internal/durable"
	"github.com/rheostat-go/rheostat/traffic"
)

// Options shape a [Conn]. Each zero value is a default that works.
type Options struct {
	// File keeps the route and its fence over a restart: Apply writes it, synced
	// to disk, before the route comes into force, and New reads it. A file belongs
	// to one Conn at a time. "" keeps nothing.
	File string

	// Default names the arm that is called as long as no route was ever applied.
	// "" is the only arm if there is but one; with more, calls fail as
	// codes.Unavailable until then.
	Default string

	// Failed tells which calls count as errors in Totals. nil is [Failed].
	Failed func(err error) bool

	// Room tells what each arm could carry. nil looks whether the arms' ClientConns
	// can connect; an arm that does is taken to have room for everything. Its
	// error makes the room not known.
	Room func(ctx context.Context) (traffic.Room, error)
}

// Conn is a router and its data plane in one, between the ClientConns of its arms.
// It is safe for concurrent use; make it with [New].
type Conn struct {
	options Options

	// turn is held by whoever changes arms or plan. It is a channel so that
	// waiting for it ends with the caller's context.
	turn chan struct{}
	arms atomic.Pointer[map[string]*arm]
	plan atomic.Pointer[plan]
}

var (
	_ traffic.Router           = (*Conn)(nil)
	_ traffic.Meter            = (*Conn)(nil)
	_ grpc.ClientConnInterface = (*Conn)(nil)
)

// New makes a Conn between arms, each a name and the ClientConn to its servers,
// and restores the route of Options.File. A file that cannot be read, or that
// names an arm which is not there, is an error. The ClientConns stay the caller's,
// who closes them when no call needs them any more.
func New(arms map[string]*grpc.ClientConn, o Options) (*Conn, error) {
	c := &Conn{options: o, turn: make(chan struct{}, 1)}
	if c.options.Failed == nil {
		c.options.Failed = Failed
	}
	c.arms.Store(&map[string]*arm{})
	c.plan.Store(&plan{})
	for _, name := range slices.Sorted(maps.Keys(arms)) {
		if err := c.SetArm(name, arms[name]); err != nil {
			return nil, err
		}
	}
	if o.Default != "" && c.arm(o.Default) == nil {
		return nil, fmt.Errorf("grpcsplit: Options.Default: %w", c.unknown(o.Default))
	}
	if o.File == "" {
		return c, nil
	}
	var was traffic.Accepted
	if ok, err := durable.Load(o.File, &was); err != nil {
		return nil, fmt.Errorf("grpcsplit: Options.File: %w", err)
	} else if !ok {
		return c, nil
	}
	next, err := c.compile(was)
	if err != nil {
		return nil, fmt.Errorf("grpcsplit: the route of %s cannot be restored: %w; give New every arm that the route names", o.File, err)
	}
	c.plan.Store(next)
	return c, nil
}

// caps has no Query, for a call has none, and no Mirror: a stream cannot be
// copied for somebody who may be slower.
var caps = traffic.Caps{Granularity: 1, Match: true, Sticky: true, Fencing: true, Room: true, Evidence: traffic.Effective}

// Caps is what a Conn can do: any part per million, matches on metadata,
// stickiness, fencing, room, and proof by being the data plane itself.
func (c *Conn) Caps() traffic.Caps { return caps }

// Apply implements [traffic.Router]. It returns after the route was written to
// Options.File and came into force; a call that begins later follows it. An error
// leaves the old route in force; if it speaks of the file, the new route may be
// the one that a restart finds, so apply it again.
func (c *Conn) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return fmt.Errorf("grpcsplit: apply: %w", context.Cause(ctx))
	}
	next, err := c.compile(traffic.Accepted{Fence: fence, Route: r})
	if err != nil {
		return fmt.Errorf("grpcsplit: apply: %w", err)
	}
	now := c.plan.Load()
	if err := now.Admit(fence, r); err != nil {
		return fmt.Errorf("grpcsplit: apply %w", err)
	}
	if now.routed() && now.Fence == fence {
		return nil // it is the same route, or it would not have been admitted
	}
	if c.options.File != "" {
		if err := durable.Save(c.options.File, next.Accepted); err != nil {
			return fmt.Errorf("grpcsplit: apply: Options.File: %w", err)
		}
	}
	c.plan.Store(next)
	return nil
}

// Observe implements [traffic.Router]. The route is certain, for the Conn is the
// data plane. Unless Options.Room is set, room is checked by connecting to both
// arms of the route, for a second at most; without a route, or if ctx ends
// meanwhile, it is not known.
func (c *Conn) Observe(ctx context.Context) (traffic.Seen, error) {
	if ctx.Err() != nil {
		return traffic.Seen{}, fmt.Errorf("grpcsplit: observe: %w", context.Cause(ctx))
	}
	now := c.plan.Load()
	seen := traffic.Seen{Route: now.Route, Fence: now.Fence, Evidence: traffic.Effective}
	seen.Route.Split = seen.Route.Split.Clone()
	seen.Room = c.room(ctx, now)
	return seen, nil
}

// SetArm adds the arm name, or gives a known one another ClientConn, as when an
// arm is used again for the next version. Calls under way finish on the old one,
// so close that later. The arm's counters go on.
func (c *Conn) SetArm(name string, to *grpc.ClientConn) error {
	switch {
	case name == "":
		return errors.New("grpcsplit: arm: give it a name")
	case to == nil:
		return fmt.Errorf("grpcsplit: arm %q: give it a ClientConn", name)
	}
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if known := c.arm(name); known != nil {
		known.to.Store(to)
		return nil
	}
	a := newArm(name)
	a.to.Store(to)
	c.changeArms(func(arms map[string]*arm) { arms[name] = a })
	return nil
}

// RemoveArm forgets the arm name and its counters. One that the route in force
// names, or that calls are under way to, is refused.
func (c *Conn) RemoveArm(name string) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	a, now := c.arm(name), c.plan.Load()
	switch {
	case a == nil:
		return fmt.Errorf("grpcsplit: %w", c.unknown(name))
	case a == now.stable || a == now.candidate:
		return fmt.Errorf("grpcsplit: arm %q: the route in force names it: apply another route first", name)
	case a.active.Load() > 0:
		return fmt.Errorf("grpcsplit: arm %q: %d calls are under way", name, a.active.Load())
	}
	c.changeArms(func(arms map[string]*arm) { delete(arms, name) })
	return nil
}

// Arms names the arms in alphabetical order.
func (c *Conn) Arms() []string { return slices.Sorted(maps.Keys(*c.arms.Load())) }

func (c *Conn) arm(name string) *arm { return (*c.arms.Load())[name] }

// changeArms edits a copy, so that nobody who reads is held up. The turn is the caller's.
func (c *Conn) changeArms(edit func(map[string]*arm)) {
	arms := maps.Clone(*c.arms.Load())
	edit(arms)
	c.arms.Store(&arms)
	if c.plan.Load().routed() {
		return
	}
	next := &plan{stable: arms[c.options.Default]}
	if c.options.Default == "" && len(arms) == 1 {
		for _, a := range arms {
			next.stable = a
		}
	}
	c.plan.Store(next)
}

// unknown is the error about a name that no arm has.
func (c *Conn) unknown(name string) error {
	known := c.Arms()
	if len(known) == 0 {
		return fmt.Errorf("no arm %q: there are none; add it with SetArm", name)
	}
	return fmt.Errorf("no arm %q: known are %s", name, strings.Join(known, ", "))
}
