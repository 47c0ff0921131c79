// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// defaultTimeout bounds one question unless Options say otherwise. HAProxy
// answers within a millisecond.
const defaultTimeout = 5 * time.Second

// Options are what New has a default for.
type Options struct {
	// File is where the map is kept for the next start of HAProxy: the path, as
	// this process sees it, of the file that Config.Map names. It is replaced by a
	// rename after each change that is in force, never before; the folder must be
	// writable. The default keeps no file, and then a reload or a restart of
	// HAProxy begins with the file as it was, and without the fence.
	File string
	// Timeout bounds each question to HAProxy, of which an Apply asks about five.
	// The default is five seconds.
	Timeout time.Duration
}

// Router is one map of a running HAProxy. It holds no connection and no state,
// so any number of them, in any number of processes, may turn the same map; it
// is safe for concurrent use.
type Router struct {
	config Config
	file   string
	ask    asker
}

var (
	_ traffic.Router = (*Router)(nil)
	_ traffic.Meter  = (*Router)(nil)
)

// New is the router for the map that c names, through the stats socket at
// address: network is "unix" for a path, or "tcp" for a host and a port. The
// socket must be one of "level admin". New asks HAProxy nothing; an error names
// the argument that cannot be right.
func New(network, address string, c Config, o Options) (*Router, error) {
	c, err := c.validate()
	switch {
	case err != nil:
		return nil, err
	case network != "unix" && network != "tcp":
		return nil, fmt.Errorf("haproxy: network: %q: want \"unix\" or \"tcp\"", network)
	case address == "":
		return nil, errors.New("haproxy: address: name the stats socket")
	case o.Timeout < 0:
		return nil, fmt.Errorf("haproxy: options.timeout: %v: want more than 0, or 0 for %v", o.Timeout, defaultTimeout)
	case o.Timeout == 0:
		o.Timeout = defaultTimeout
	}
	return &Router{config: c, file: o.File, ask: socket{network, address, o.Timeout}.ask}, nil
}

// Caps is what the rules of Config can do: any part per million, matches and
// stickiness on the names that it declares, no copies. The workers of HAProxy read
// the map that Observe reads, so the evidence is Programmed; [traffic.Verify]
// makes more of what Meter counts.
func (r *Router) Caps() traffic.Caps {
	keyed := len(r.config.keys()) > 0
	return traffic.Caps{
		Granularity: 1,
		Match:       keyed,
		Query:       len(r.config.Queries) > 0,
		Sticky:      keyed,
		Fencing:     true,
		Room:        true,
		Evidence:    traffic.Programmed,
	}
}

// Apply implements [traffic.Router]. Beyond that contract it refuses an arm that
// is no backend of HAProxy, with an error that names it, and with
// errors.ErrUnsupported a name that Config does not declare and a fence of 2⁶² or
// above. After an error that leaves the outcome open, such as a lost answer, the
// same Apply can be asked again. A route that is in force but could not be
// written to Options.File is an error, too; asked again, Apply writes the file.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.apply(ctx, fence, route); err != nil {
		return fmt.Errorf("haproxy: apply: %w", err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return err
	}
	value, err := r.config.encode(route)
	if err != nil {
		return err
	}
	if fence >= pivot {
		return fmt.Errorf("fence %d: want less than %d: %w", fence, uint64(pivot), errors.ErrUnsupported)
	}
	list, err := r.look(ctx, route.Arms)
	if err != nil {
		return err
	}
	saved, err := r.saved()
	if err != nil {
		return err
	}
	if err := refuse(append(list, saved), fence, value); err != nil {
		return err
	}
	if !holds(list, fence, value) {
		if err := r.put(ctx, fence, value); err != nil {
			return err
		}
	}
	return r.save(ctx)
}

// Observe implements [traffic.Router] with the entry that HAProxy itself finds
// for a request. Its room is by the servers of each arm that are ready, weighed
// as HAProxy does: 2 of 3 like servers carry two thirds. A route that was
// accepted but is not yet in Options.File, which a reload would undo, or whose
// arms are not there, is only Written.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	seen, err := r.observe(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("haproxy: observe: %w", err)
	}
	return seen, nil
}

func (r *Router) observe(ctx context.Context) (traffic.Seen, error) {
	now, err := r.inForce(ctx)
	if err != nil {
		return traffic.Seen{}, err
	}
	seen := traffic.Seen{Evidence: traffic.Programmed}
	if now == (entry{}) {
		return seen, nil // never given a route
	}
	if seen.Route, err = decode(now.value); err != nil {
		return traffic.Seen{}, fmt.Errorf("the map %s holds %s, which is not a route: %w", r.config.Map, quote(now.value), err)
	}
	if now.ours() {
		seen.Fence, _, _ = now.fence()
		saved, err := r.saved()
		if err != nil {
			return traffic.Seen{}, err
		}
		if r.file != "" && saved != now {
			seen.Evidence = traffic.Written
		}
	}
	arms := seen.Route.Arms
	loads, err := r.loads(ctx, arms)
	switch {
	case errors.Is(err, errNoArm):
		seen.Evidence = traffic.Written
	case err != nil:
		return traffic.Seen{}, err
	default:
		seen.Room = traffic.Room{Known: true, Stable: loads[arms.Stable].room, Candidate: loads[arms.Candidate].room}
	}
	return seen, nil
}

// Meter implements [traffic.Meter] for the arms of the route in force, with what
// HAProxy counts for each backend as a whole: requests that wait in a queue are
// active, retries and health checks are not counted. A reload begins at 0.
func (r *Router) Meter(ctx context.Context) (map[string]traffic.Reading, error) {
	readings, err := r.meter(ctx)
	if err != nil {
		return nil, fmt.Errorf("haproxy: meter: %w", err)
	}
	return readings, nil
}

func (r *Router) meter(ctx context.Context) (map[string]traffic.Reading, error) {
	readings := map[string]traffic.Reading{}
	now, err := r.inForce(ctx)
	if err != nil || now == (entry{}) {
		return readings, err
	}
	route, err := decode(now.value)
	if err != nil {
		return nil, fmt.Errorf("the map %s holds %s, which is not a route: %w", r.config.Map, quote(now.value), err)
	}
	loads, err := r.loads(ctx, route.Arms)
	if err != nil {
		return nil, err
	}
	for arm, l := range loads {
		readings[arm] = l.reading
	}
	return readings, nil
}
