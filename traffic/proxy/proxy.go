// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/internal/durable"
	"github.com/rheostat-go/rheostat/traffic"
)

// Options shape a [Proxy]. Each zero value is a default that works.
type Options struct {
	// File keeps the route and its fence over a restart: Apply writes it, synced
	// to disk, before the route comes into force, and New reads it. A file belongs
	// to one process at a time. "" keeps nothing.
	File string

	// Default names the arm that answers as long as no route was ever
	// applied. "" is the only arm if there is but one; with more, requests
	// get 503 until then.
	Default string

	// Timeout bounds how long a backend may take until its answer begins; what
	// takes longer is a 504. 0 is one minute, below 0 is no bound. It has no
	// effect on a Transport of your own.
	Timeout time.Duration

	// Transport carries the requests to the backends. nil is one tuned for
	// proxying: many idle connections, no decompression, no proxy from the
	// environment, five seconds to connect.
	Transport http.RoundTripper

	// Health is a path such as "/healthz" that each backend is asked for, by Run and
	// by an Observe without a Run: 2xx and 3xx are well, anything else is not. ""
	// only connects.
	// An arm has room for as much as the part of its backends that are well.
	Health string

	// Checks say how Run looks after the backends.
	Checks Checks

	// Ejection says when a backend that fails is left alone.
	Ejection Ejection

	// Room tells what each arm could carry, instead of that check. Its error
	// makes the room not known.
	Room func(ctx context.Context) (traffic.Room, error)

	// Mirror bounds what the copies of a mirroring route may cost.
	Mirror MirrorLimits

	// CookieAge is how long a client keeps the sticky cookie. 0 is 30 days,
	// below 0 until the browser closes.
	CookieAge time.Duration

	// MaxBody is how many bytes a request's body may have. 0 is no limit.
	MaxBody int64

	// MaxInFlight is how many requests may be under way to one arm. Those above it
	// get a 503 with a Retry-After. 0 is no limit.
	MaxInFlight int

	// TrustForwarded passes on the X-Forwarded headers of whoever is in front
	// and adds to them. Without it they are replaced, since anybody can send them.
	TrustForwarded bool

	// Access is told of each request that the handler has answered, in the
	// request's goroutine. nil costs nothing.
	Access func(Access)

	// Logger hears of requests that a backend did not answer. nil discards.
	Logger *slog.Logger
}

// Proxy is a router and its data plane in one. It is safe for concurrent use;
// make it with [New].
type Proxy struct {
	options   Options
	log       *slog.Logger
	transport http.RoundTripper
	h2c       http.RoundTripper // for backends of that scheme
	own       bool              // plain requests go over connections of this package's
	timeout   time.Duration
	copying   copying
	jury      *jury

	// turn is held by whoever changes arms or plan. It is a channel so that
	// waiting for it ends with the caller's context.
	turn chan struct{}
	arms atomic.Pointer[map[string]*arm]
	plan atomic.Pointer[plan]
}

var (
	_ traffic.Router = (*Proxy)(nil)
	_ http.Handler   = (*Proxy)(nil)
)

// New makes a proxy between arms, each a name and its backends, and restores the
// route of Options.File before it returns, so that a server that starts to listen
// afterwards never sends a request another way. A file that cannot be read, or
// that names an arm which is not there, is an error.
func New(arms map[string][]*url.URL, o Options) (*Proxy, error) {
	p := &Proxy{options: o, log: o.Logger, transport: o.Transport, turn: make(chan struct{}, 1), jury: newJury(o.Checks)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.h2c = o.Transport; p.transport == nil {
		p.own, p.timeout = ownConns, max(cmp.Or(o.Timeout, headerTimeout), 0)
		p.transport = newTransport(p.timeout)
		p.h2c = newH2C(p.timeout)
	}
	p.copying.limits = o.Mirror
	if err := p.copying.limits.setDefaults(); err != nil {
		return nil, err
	}
	p.arms.Store(&map[string]*arm{})
	p.plan.Store(&plan{})
	for _, name := range slices.Sorted(maps.Keys(arms)) {
		if err := p.SetArm(name, arms[name]...); err != nil {
			return nil, err
		}
	}
	if o.Default != "" && (*p.arms.Load())[o.Default] == nil {
		return nil, fmt.Errorf("proxy: Options.Default: %w", p.unknown(o.Default))
	}
	if o.File == "" {
		return p, nil
	}
	var was traffic.Accepted
	if ok, err := durable.Load(o.File, &was); err != nil {
		return nil, fmt.Errorf("proxy: Options.File: %w", err)
	} else if !ok {
		return p, nil
	}
	next, err := p.compile(was)
	if err != nil {
		return nil, fmt.Errorf("proxy: the route of %s cannot be restored: %w; give New every arm that the route names", o.File, err)
	}
	p.plan.Store(next)
	return p, nil
}

// Caps is what the proxy can do: any part per million, matches, stickiness,
// mirroring, fencing, room, and proof by being the data plane itself.
func (p *Proxy) Caps() traffic.Caps { return caps }

var caps = traffic.Caps{Granularity: 1, Mirror: true, Match: true, Query: true, Sticky: true, Fencing: true, Room: true, Evidence: traffic.Effective}

// Apply implements [traffic.Router]. It returns after the route was written to
// Options.File and came into force; a request that begins later follows it. An
// error leaves the old route in force; if it speaks of the file, the new route
// may be the one that a restart finds, so apply it again.
func (p *Proxy) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return fmt.Errorf("proxy: apply: %w", context.Cause(ctx))
	}
	next, err := p.compile(traffic.Accepted{Fence: fence, Route: r})
	if err != nil {
		return fmt.Errorf("proxy: apply: %w", err)
	}
	now := p.plan.Load()
	if err := now.Admit(fence, r); err != nil {
		return fmt.Errorf("proxy: apply %w", err)
	}
	if now.routed() && now.Fence == fence {
		return nil // it is the same route, or it would not have been admitted
	}
	if p.options.File != "" {
		if err := durable.Save(p.options.File, next.Accepted); err != nil {
			return fmt.Errorf("proxy: apply: Options.File: %w", err)
		}
	}
	p.plan.Store(next)
	return nil
}

// Observe implements [traffic.Router]. The route is certain, for the proxy is
// the data plane. Unless Options.Room is set, room is checked by connecting to
// both arms of the route, for a second at most; without a route, or if ctx ends
// meanwhile, it is not known.
func (p *Proxy) Observe(ctx context.Context) (traffic.Seen, error) {
	if ctx.Err() != nil {
		return traffic.Seen{}, fmt.Errorf("proxy: observe: %w", context.Cause(ctx))
	}
	now := p.plan.Load()
	seen := traffic.Seen{Route: now.Route, Fence: now.Fence, Evidence: traffic.Effective}
	seen.Route.Split = seen.Route.Split.Clone()
	seen.Room = p.room(ctx, now)
	return seen, nil
}

// Route is the route in force and the fence that it was applied under, without
// the look at the backends that Observe takes. Both are zero before any.
func (p *Proxy) Route() (r traffic.Route, fence uint64) {
	now := p.plan.Load()
	r = now.Route
	return r, now.Fence
}
