// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Checks say how [Proxy.Run] looks after the backends. The zero value works.
type Checks struct {
	// Every is the time between two checks of a backend, give or take a tenth. 0 is
	// two seconds.
	Every time.Duration

	// Timeout is how long a backend may take to show that it is well, in Observe,
	// too. 0 is one second.
	Timeout time.Duration

	// Fall is how many checks in a row must fail until a backend gets no requests.
	// 0 is three. The first check after it was set decides by itself.
	Fall int

	// Rise is how many must pass until it gets requests again. 0 is two.
	Rise int
}

func (c Checks) withDefaults() Checks {
	if c.Every <= 0 {
		c.Every = 2 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Second
	}
	if c.Fall <= 0 {
		c.Fall = 3
	}
	if c.Rise <= 0 {
		c.Rise = 2
	}
	return c
}

// pause is the time until the next check. Chance keeps many proxies from asking
// one backend all at once.
func (c Checks) pause() time.Duration {
	return c.Every - c.Every/10 + rand.N(c.Every/5+1) //nolint:gosec // chance, no secret
}

// jury is the checks of a proxy while Run runs.
type jury struct {
	rules   Checks
	sits    chan struct{} // holds one while Run runs
	changed chan struct{} // holds one when arms or their backends have changed
}

func newJury(rules Checks) *jury {
	return &jury{rules.withDefaults(), make(chan struct{}, 1), make(chan struct{}, 1)}
}

func (j *jury) wake() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// Run checks the backends of all arms, as Options.Health and Options.Checks say,
// until ctx ends, which is no error. One whose checks fail gets no requests, and
// what refuses connections is tried again as soon as a check finds it there.
// Without Run all works, but only requests find out: a backend that hangs or
// says in its health check that it is not ready is found out late or not at
// all, and Observe has to check by itself. Only one Run may be under way.
func (p *Proxy) Run(ctx context.Context) error {
	select {
	case p.jury.sits <- struct{}{}:
		defer func() { <-p.jury.sits }()
	default:
		return errors.New("proxy: run: it is running already")
	}
	var wg sync.WaitGroup
	watched := map[*backend]context.CancelFunc{}
	defer func() {
		for _, stop := range watched {
			stop()
		}
		wg.Wait()
		for b := range watched {
			b.forget()
		}
	}()
	for {
		there := map[*backend]bool{}
		for _, a := range *p.arms.Load() {
			for _, b := range a.pool.backends() {
				there[b] = true
				if watched[b] == nil {
					mine, stop := context.WithCancel(ctx)
					watched[b] = stop
					wg.Go(func() { p.watch(mine, b) })
				}
			}
		}
		for b, stop := range watched {
			if !there[b] {
				stop()
				delete(watched, b)
			}
		}
		select {
		case <-p.jury.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// watch checks one backend until ctx ends.
func (p *Proxy) watch(ctx context.Context, b *backend) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		err := p.check(ctx, b)
		if ctx.Err() != nil {
			return // it was cut short
		}
		b.checked(p.jury.rules, begun, err)
		timer.Reset(p.jury.rules.pause())
	}
}

// checks is what the active checks know of a backend. The pool's lock guards it.
type checks struct {
	failing bool
	seen    bool // a check has ended
	passed  bool // the last one
	row     int  // how many in a row ended like it
}

// checked takes note of a check that began at begun.
func (b *backend) checked(rules Checks, begun time.Time, err error) {
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	now, passed, refuses := time.Now(), err == nil, blame(err) == refused
	b.row++
	if !b.seen {
		b.row = max(rules.Fall, rules.Rise)
	} else if passed != b.passed {
		b.row = 1
	}
	b.seen, b.passed = true, passed
	if err != nil {
		b.lastErr = err
	}
	changed := refuses != b.refused && !begun.Before(b.since)
	if changed {
		b.refused = refuses
		if b.ejected && !refuses && !b.tried {
			b.due = p.at(now) // what it was ejected for is over
		}
	}
	switch {
	case passed && b.failing && b.row >= rules.Rise:
		p.log.Info("backend passes its checks again", "arm", p.arm, "backend", b.url.Redacted(), "after", now.Sub(b.since))
		b.failing, b.since, changed = false, now, true
	case !passed && !b.failing && b.row >= rules.Fall:
		p.log.Warn("backend fails its checks", "arm", p.arm, "backend", b.url.Redacted(), "err", err)
		b.failing, b.since, changed = true, now, true
	}
	if changed {
		p.rebuild(now)
	}
}

// forget leaves the backend to its requests, when nobody checks it any more.
func (b *backend) forget() {
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	b.checks = checks{}
	p.rebuild(time.Now())
}
