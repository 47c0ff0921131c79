// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/internal/answers"
)

// arm is one side by name. It lives as long as the name is known; its backends
// may change.
type arm struct {
	name     string
	pool     *pool
	since    time.Time
	given    atomic.Uint64 // requests
	canceled atomic.Uint64
	inFlight inFlight
	answers  answers.Counter
	open     openSet
	copies   copyCounters
}

// SetArm adds the arm name with its backends, or gives a known one others, as
// when replicas come and go or an arm is used again for the next version. A
// backend that stays keeps what is known of it, requests under way finish where
// they are, and the arm's counters go on. Backends are told apart by their URLs:
// one that is named twice counts once. A backend's URL has the scheme http,
// https, or h2c for HTTP/2 without TLS, as gRPC servers speak it; its path goes in
// front of each request's. Addresses are not kept in
// Options.File: give New the arms that are there when it starts.
func (p *Proxy) SetArm(name string, backends ...*url.URL) error {
	switch {
	case name == "":
		return errors.New("proxy: arm: give it a name")
	case len(backends) == 0:
		return fmt.Errorf("proxy: arm %q: give it a backend", name)
	}
	for i, u := range backends {
		if err := checkBackend(u); err != nil {
			return fmt.Errorf("proxy: arm %q: backend %d: %w", name, i, err)
		}
	}
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	defer p.jury.wake()
	if known := (*p.arms.Load())[name]; known != nil {
		known.pool.set(backends)
		return nil
	}
	a := &arm{name: name, since: time.Now()}
	a.pool = newPool(name, p.options.Ejection, p.log)
	a.pool.set(backends)
	p.changeArms(func(arms map[string]*arm) { arms[name] = a })
	return nil
}

func checkBackend(u *url.URL) error {
	switch {
	case u == nil:
		return errors.New("give it a URL")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return fmt.Errorf("scheme %q of %s: want http, https or h2c", u.Scheme, u.Redacted())
	case u.Host == "":
		return fmt.Errorf("%s names no host", u.Redacted())
	}
	return nil
}

// RemoveArm forgets the arm name and its counters. One that the route in force
// names, or that requests are under way to, is refused.
func (p *Proxy) RemoveArm(name string) error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	a := (*p.arms.Load())[name]
	now := p.plan.Load()
	switch {
	case a == nil:
		return fmt.Errorf("proxy: %w", p.unknown(name))
	case a == now.stable || a == now.candidate:
		return fmt.Errorf("proxy: arm %q: the route in force names it: apply another route first", name)
	case a.inFlight.count() > 0:
		return fmt.Errorf("proxy: arm %q: %d requests are under way: wait for Drained", name, a.inFlight.count())
	}
	p.changeArms(func(arms map[string]*arm) { delete(arms, name) })
	a.pool.set(nil)
	p.jury.wake()
	return nil
}

// Arms names the arms in alphabetical order.
func (p *Proxy) Arms() []string { return slices.Sorted(maps.Keys(*p.arms.Load())) }

// changeArms edits a copy, so that nobody who reads is held up. The turn is the caller's.
func (p *Proxy) changeArms(edit func(map[string]*arm)) {
	arms := maps.Clone(*p.arms.Load())
	edit(arms)
	p.arms.Store(&arms)
	if !p.plan.Load().routed() {
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

// unknown is the error about a name that no arm has.
func (p *Proxy) unknown(name string) error {
	known := p.Arms()
	if len(known) == 0 {
		return fmt.Errorf("no arm %q: there are none; add it with SetArm", name)
	}
	return fmt.Errorf("no arm %q: known are %s", name, strings.Join(known, ", "))
}
