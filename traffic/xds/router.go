// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/rheostat-go/rheostat/internal/durable"
	"github.com/rheostat-go/rheostat/traffic"
)

// defaultLag is several times what a busy machine has shown between a client's
// acknowledgement and the last call that went the old way.
const defaultLag = 250 * time.Millisecond

// RouterOptions shape a [Router]. Each zero value is a default that works.
type RouterOptions struct {
	// File keeps the route and its fence over a restart: Apply writes it, synced to
	// disk, before clients are sent the route, and Server.Router reads it. A file
	// belongs to one router at a time. "" keeps nothing, and clients get Default
	// again after a restart: use it in tests.
	File string

	// Default names the arm that gets everything as long as no route was ever
	// applied. "" is the only arm if there is but one; with more, clients are told
	// of no route until then, and their calls fail as codes.Unavailable.
	Default string

	// Envoy says that all clients are Envoys, so that mirrors and matches on the
	// query can be carried out. A gRPC client would ignore both.
	Envoy bool

	// Listen is where Envoys shall listen, an address and a port such as
	// "0.0.0.0:8080". "" leaves their listeners to their owner. It needs Envoy.
	Listen string

	// Edit may change each resource before it is served: a *clusterv3.Cluster for
	// TLS to the arms or HTTP/2, a *routev3.RouteConfiguration for timeouts and retries
	// (Envoys get none by default), a *listenerv3.Listener, a
	// *endpointv3.ClusterLoadAssignment. It must do the same each time, and change no names.
	Edit func(resource proto.Message)

	// Room tells what each arm could carry; its error makes it not known. nil
	// leaves Room out of Caps, for the server does not see the arms.
	Room func(ctx context.Context) (traffic.Room, error)

	// Lag is Caps.Lag: how long after its acknowledgement a client may still begin
	// calls on the old route. 0 is 250 milliseconds.
	Lag time.Duration
}

// Router is one service of a [Server]. It is safe for concurrent use; make it with
// [Server.Router].
type Router struct {
	server  *Server
	name    string
	options RouterOptions
	caps    traffic.Caps

	// turn guards what follows. It is a channel so that waiting for it ends with
	// the caller's context.
	turn     chan struct{}
	arms     map[string][]string // never changed, only exchanged
	last     traffic.Accepted    // what Apply accepted, and what outlives the process
	unpinned bool                // for a test that shows what the pins are good for
}

var _ traffic.Router = (*Router)(nil)

// Router makes the router of a service, which clients ask for by its name, between
// arms, each a name and the addresses of its backends, and restores the route of
// RouterOptions.File. A file that cannot be read, or that names an arm which is not
// there, is an error. From then on clients are served it.
func (s *Server) Router(name string, arms map[string][]string, o RouterOptions) (*Router, error) {
	r := &Router{server: s, name: name, options: o, turn: make(chan struct{}, 1), arms: map[string][]string{}}
	if o.Lag <= 0 {
		r.options.Lag = defaultLag
	}
	r.caps = traffic.Caps{
		Granularity: 1, Match: true, Query: o.Envoy, Mirror: o.Envoy,
		Fencing: true, Room: o.Room != nil, Evidence: traffic.Programmed, Lag: r.options.Lag,
	}
	for arm, addresses := range arms {
		if err := checkArm(arm, addresses); err != nil {
			return nil, fmt.Errorf("xds: router %q: %w", name, err)
		}
		r.arms[arm] = slices.Clone(addresses)
	}
	if err := s.add(r); err != nil {
		return nil, fmt.Errorf("xds: router %q: %w", name, err)
	}
	if err := r.begin(); err != nil {
		s.remove(r)
		return nil, fmt.Errorf("xds: router %q: %w", name, err)
	}
	return r, nil
}

// begin restores the route, and serves.
func (r *Router) begin() error {
	switch {
	case r.options.Default != "" && r.arms[r.options.Default] == nil:
		return fmt.Errorf("RouterOptions.Default: %w", r.unknown(r.options.Default))
	case r.options.Listen != "" && !r.options.Envoy:
		return errors.New("RouterOptions.Listen: it is for Envoys; say so with RouterOptions.Envoy")
	case r.options.Listen != "":
		if _, err := parseAddress(r.options.Listen); err != nil {
			return fmt.Errorf("RouterOptions.Listen: %w", err)
		}
	}
	if r.options.File != "" {
		if _, err := durable.Load(r.options.File, &r.last); err != nil {
			return fmt.Errorf("RouterOptions.File: %w", err)
		}
	}
	if was := r.current(); was != nil {
		if _, err := r.check(*was); err != nil {
			return fmt.Errorf("the route of %s cannot be restored: %w; give Router every arm that the route names", r.options.File, err)
		}
	}
	list, err := r.resources(r.arms, r.current())
	if err != nil {
		return err
	}
	r.server.publish(r.name, list)
	return nil
}

// Caps is what a route can be: any part per million, matches on headers and
// cookies, and for Envoys mirrors and matches on the query. It is fenced, and
// clients acknowledge it.
func (r *Router) Caps() traffic.Caps { return r.caps }

// lock takes the turn, or fails when ctx ends.
func (r *Router) lock(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		r.unlock()
		return context.Cause(ctx)
	}
	return nil
}

func (r *Router) unlock() { <-r.turn }

// Apply implements [traffic.Router]. It returns after the route was written to
// RouterOptions.File and is on its way to the clients; Observe tells whether they
// have it. An error leaves the old route in force; if it speaks of the file, the
// new route may be the one that a restart finds, so apply it again.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.lock(ctx); err != nil {
		return fmt.Errorf("xds: apply: %w", err)
	}
	defer r.unlock()
	route, err := r.check(route)
	if err != nil {
		return fmt.Errorf("xds: apply: %w", err)
	}
	if err := r.last.Admit(fence, route); err != nil {
		return fmt.Errorf("xds: apply %w", err)
	}
	if r.current() != nil && r.last.Fence == fence {
		return nil // it is the same route, or it would not have been admitted
	}
	next := traffic.Accepted{Fence: fence, Route: route}
	list, err := r.resources(r.arms, &next.Route)
	if err != nil {
		return fmt.Errorf("xds: apply: %w", err)
	}
	if r.options.File != "" {
		if err := durable.Save(r.options.File, next); err != nil {
			return fmt.Errorf("xds: apply: RouterOptions.File: %w", err)
		}
	}
	r.last = next
	r.server.publish(r.name, list)
	return nil
}

// check refuses routes that cannot be carried out. What it returns is a copy.
func (r *Router) check(route traffic.Route) (traffic.Route, error) {
	route, err := r.caps.NearestRoute(route)
	switch {
	case err != nil:
		return route, err
	case r.arms[route.Arms.Stable] == nil:
		return route, fmt.Errorf("arms.stable: %w", r.unknown(route.Arms.Stable))
	case r.arms[route.Arms.Candidate] == nil:
		return route, fmt.Errorf("arms.candidate: %w", r.unknown(route.Arms.Candidate))
	}
	return route, nil
}

// current is the route in force, nil before any.
func (r *Router) current() *traffic.Route {
	if r.last.Route.IsZero() {
		return nil
	}
	return &r.last.Route
}

// Observe implements [traffic.Router]. While a client refuses what it was sent it
// is an error that names the client and what it says: that client goes on by what
// it has accepted before, and nobody else knows what that is.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := r.lock(ctx); err != nil {
		return traffic.Seen{}, fmt.Errorf("xds: observe: %w", err)
	}
	seen := traffic.Seen{Route: r.last.Route, Fence: r.last.Fence, Evidence: traffic.Written}
	seen.Route.Split = seen.Route.Split.Clone()
	told, refused := r.server.told(r.name)
	r.unlock()
	if refused != nil {
		return traffic.Seen{}, fmt.Errorf("xds: observe: %w", refused)
	}
	if told {
		seen.Evidence = traffic.Programmed
	}
	if r.options.Room != nil {
		if room, err := r.options.Room(ctx); err == nil {
			seen.Room = room
		}
	}
	return seen, nil
}
