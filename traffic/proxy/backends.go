// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// arm is one backend by name. It lives as long as the name is known; its
// address may change.
type arm struct {
	name     string
	target   atomic.Pointer[url.URL]
	handler  *httputil.ReverseProxy
	inFlight inFlight
	counters counters
}

// SetBackend adds the backend name at u, or gives a known one another address,
// as when an arm is used again for the next version. Requests under way finish
// where they are; the arm's counters go on. The URL's scheme is http or https,
// its path goes in front of each request's. Addresses are not kept in
// Options.File: give New the backends that are there when it starts.
func (p *Proxy) SetBackend(name string, u *url.URL) error {
	switch {
	case name == "":
		return errors.New("proxy: backend: give it a name")
	case u == nil:
		return fmt.Errorf("proxy: backend %q: give it a URL", name)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("proxy: backend %q: scheme %q of %s: want http or https", name, u.Scheme, u.Redacted())
	case u.Host == "":
		return fmt.Errorf("proxy: backend %q: %s names no host", name, u.Redacted())
	}
	target := *u
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if known := (*p.arms.Load())[name]; known != nil {
		known.target.Store(&target)
		return nil
	}
	a := newArm(p, name)
	a.target.Store(&target)
	p.changeArms(func(arms map[string]*arm) { arms[name] = a })
	return nil
}

// RemoveBackend forgets the backend name and its counters. One that the route in
// force names, or that requests are under way to, is refused.
func (p *Proxy) RemoveBackend(name string) error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	a := (*p.arms.Load())[name]
	now := p.plan.Load()
	switch {
	case a == nil:
		return fmt.Errorf("proxy: %w", p.unknown(name))
	case a == now.stable || a == now.candidate:
		return fmt.Errorf("proxy: backend %q: the route in force names it: apply another route first", name)
	case a.inFlight.count() > 0:
		return fmt.Errorf("proxy: backend %q: %d requests are under way: wait for Drained", name, a.inFlight.count())
	}
	p.changeArms(func(arms map[string]*arm) { delete(arms, name) })
	return nil
}

// Arms names the backends in alphabetical order.
func (p *Proxy) Arms() []string { return slices.Sorted(maps.Keys(*p.arms.Load())) }

// changeArms edits a copy, so that nobody who reads is held up. The turn is the caller's.
func (p *Proxy) changeArms(edit func(map[string]*arm)) {
	arms := maps.Clone(*p.arms.Load())
	edit(arms)
	p.arms.Store(&arms)
	if !p.plan.Load().routed {
		p.plan.Store(p.unrouted())
	}
}

// unrouted is the plan before any route.
func (p *Proxy) unrouted() *plan {
	arms := *p.arms.Load()
	if p.options.Default != "" {
		return &plan{stable: arms[p.options.Default]}
	}
	if len(arms) == 1 {
		for _, a := range arms {
			return &plan{stable: a}
		}
	}
	return &plan{}
}

// unknown is the error about a name that no backend has.
func (p *Proxy) unknown(name string) error {
	known := p.Arms()
	if len(known) == 0 {
		return fmt.Errorf("no backend %q: there are none; add it with SetBackend", name)
	}
	return fmt.Errorf("no backend %q: known are %s", name, strings.Join(known, ", "))
}
