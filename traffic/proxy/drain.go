// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// inFlight counts the requests under way to an arm and wakes who waits for none.
type inFlight struct {
	n       atomic.Int64
	waiting atomic.Int64
	mu      sync.Mutex
	idle    chan struct{} // closed and exchanged at 0
}

func (f *inFlight) begin()       { f.n.Add(1) }
func (f *inFlight) count() int64 { return f.n.Load() }

// done looks for waiters after it has counted down, and a waiter at the count
// after it has announced itself: one of them sees the other.
func (f *inFlight) done() {
	if f.n.Add(-1) > 0 || f.waiting.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

func (f *inFlight) wait(ctx context.Context) error {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	for {
		f.mu.Lock()
		if f.idle == nil {
			f.idle = make(chan struct{})
		}
		idle := f.idle
		f.mu.Unlock()
		if f.count() == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// InFlight is how many requests are under way to an arm, WebSockets, streams and the
// copies of a mirroring route included. It is 0 for an arm that does not exist.
func (p *Proxy) InFlight(arm string) int {
	if a := (*p.arms.Load())[arm]; a != nil {
		return int(a.inFlight.count())
	}
	return 0
}

// Cut breaks off what of an arm's answers has no end in sight, and tells how many:
// WebSockets and other upgraded connections, and streams of unknown length. It is for
// when Drained has waited long enough.
func (p *Proxy) Cut(arm string) int {
	if a := (*p.arms.Load())[arm]; a != nil {
		return a.open.cut()
	}
	return 0
}

// Drained waits until no request is under way to an arm, or ctx ends. After an
// Apply that sends the arm nothing, its nil means that the arm may be stopped;
// while the route still sends it requests, it says only that there was a moment
// without any. Open WebSockets hold it up: bound it with ctx, whose end is an error
// that says how many requests were left. Connections to the arm that are idle are
// closed then, so that a backend which waits for them can stop at once.
func (p *Proxy) Drained(ctx context.Context, arm string) error {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return fmt.Errorf("proxy: drained: %w", p.unknown(arm))
	}
	begun := time.Now()
	if err := a.inFlight.wait(ctx); err != nil {
		return fmt.Errorf("proxy: drained: %d requests are under way to %q after %v: %w",
			a.inFlight.count(), arm, time.Since(begun).Round(time.Millisecond), err)
	}
	for _, b := range a.pool.backends() {
		b.conns.closeIdle(false)
	}
	return nil
}
