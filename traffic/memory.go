// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// defaultHistory bounds what a Memory remembers unless its Options say otherwise.
const defaultHistory = 1024

// Options shape a [Memory]. The zero Options give a router that can do everything.
type Options struct {
	// Caps are what the router declares, and keeps to. The zero Caps mean
	// everything: any part per million, mirror, match, sticky, fencing, room, and
	// evidence up to Effective. Lag, Toggle and Drops are declared only.
	Caps Caps
	// Settle is how often Observe shows a new route as Written before it shows
	// it with the best evidence. 0 is at once; below 0 is not before Settle is called.
	Settle int
	// History bounds how many accepted routes are remembered, the newest first
	// to stay. 0 is 1024.
	History int
}

// Memory is a Router without a data plane: for tests, and as the reference of
// what a Router does. It keeps one route in memory, refuses what its Caps rule
// out, and refuses writers that were overtaken.
//
// What it does not emulate: it carries no requests, so nothing proves that its
// matches match or that its split is met; it takes no time, so that a deadline
// never passes inside it; it never drops connections, whatever its Caps declare;
// and it forgets everything with the process. Wrap it in the doubles of package
// traffictest for failures, and use package proxy where requests matter.
//
// The zero Memory is NewMemory(Options{}). A Memory is safe for concurrent use
// and must not be copied after its first use.
type Memory struct {
	options Options

	mu        sync.Mutex
	route     Route // in force
	fence     uint64
	writer    string
	unsettled int // looks until the best evidence; below 0 for ever
	room      *Room
	written   Accepted // the last that Apply accepted
	history   []Accepted
}

var _ Router = (*Memory)(nil)

// NewMemory makes a Memory that has never been given a route.
func NewMemory(o Options) *Memory { return &Memory{options: o} }

// Caps is what Options declared.
func (m *Memory) Caps() Caps {
	if m.options.Caps == (Caps{}) {
		return Caps{Granularity: 1, Mirror: true, Match: true, Query: true, Sticky: true, Fencing: true, Room: true, Evidence: Effective}
	}
	return m.options.Caps
}

// Apply implements Router. A context that has ended is an error, and then
// nothing is changed. Where a foreign writer has changed the route, the route
// accepted last may be applied again under its fence, which puts it back.
func (m *Memory) Apply(ctx context.Context, fence uint64, r Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("traffic: apply: %w", context.Cause(ctx))
	}
	r, err := m.Caps().NearestRoute(r)
	if err != nil {
		return fmt.Errorf("traffic: apply: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.Caps().Fencing {
		fence = 0
	} else if err := m.written.Admit(fence, r); err != nil {
		return fmt.Errorf("traffic: apply %w", err)
	}
	if m.writer == "" && m.fence == fence && m.route.Equal(r) {
		return nil
	}
	m.written = Accepted{Fence: fence, Route: r}
	m.remember(m.written)
	m.set(r, fence, "")
	return nil
}

// Observe implements Router. What it returns shares nothing with the Memory.
func (m *Memory) Observe(ctx context.Context) (Seen, error) {
	if err := ctx.Err(); err != nil {
		return Seen{}, fmt.Errorf("traffic: observe: %w", context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	caps := m.Caps()
	seen := Seen{Route: m.route.clone(), Evidence: caps.Evidence, Fence: m.fence, Writer: m.writer}
	if m.unsettled != 0 {
		seen.Evidence = min(Written, caps.Evidence)
		m.unsettled = max(m.unsettled-1, -1)
	}
	switch {
	case !caps.Room:
	case m.room != nil:
		seen.Room = *m.room
	default:
		seen.Room = Plenty
	}
	return seen, nil
}

// Foreign puts r in force the way somebody else would who knows nothing of
// fences: nothing is checked, Observe then shows no fence and names writer, and
// the fence accepted last still keeps out whoever is behind it. The writer is
// called "foreign" if no name is given.
func (m *Memory) Foreign(r Route, writer string) {
	if writer == "" {
		writer = "foreign"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(r.clone(), 0, writer)
}

// Settle lets Observe show the route in force with the best evidence from now on.
func (m *Memory) Settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsettled = 0
}

// SetRoom is what Observe reports as room from now on, if Caps say Room. It is
// Plenty before the first call.
func (m *Memory) SetRoom(room Room) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = &room
}

// History is the routes that Apply accepted, oldest first, at most as many as
// Options.History. A route that was in force already under its fence is not
// listed again; what Foreign wrote is not listed at all.
func (m *Memory) History() []Accepted {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.history)
	for i := range list {
		list[i].Route = list[i].Route.clone()
	}
	return list
}

func (m *Memory) set(r Route, fence uint64, writer string) {
	m.route, m.fence, m.writer, m.unsettled = r, fence, writer, m.options.Settle
}

func (m *Memory) remember(a Accepted) {
	limit := m.options.History
	if limit <= 0 {
		limit = defaultHistory
	}
	m.history = append(m.history, a)
	if over := len(m.history) - limit; over > 0 {
		m.history = slices.Delete(m.history, 0, over)
	}
}
