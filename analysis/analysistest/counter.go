// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Counter is a source whose counts a test sets. The zero Counter is ready: it knows
// no arm and counts no latency. It is safe for concurrent use.
type Counter struct {
	mu     sync.Mutex
	bounds []time.Duration
	arms   map[string]*analysis.Counts
	broken error
}

var (
	_ analysis.Source = (*Counter)(nil)
	_ analysis.Totals = (*Counter)(nil)
)

// NewCounter is a Counter that sorts what Slow adds into buckets with these upper
// bounds.
func NewCounter(bounds ...time.Duration) *Counter {
	bounds = slices.Clone(bounds)
	slices.Sort(bounds)
	return &Counter{bounds: bounds}
}

// Add counts requests of an arm, and how many of them failed. Add(arm, 0, 0) makes
// an arm known.
func (c *Counter) Add(arm string, requests, failed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.arm(arm)
	a.Requests += requests
	a.Errors += failed
}

// Took counts requests of an arm that did not fail and took so long each.
func (c *Counter) Took(arm string, requests uint64, latency time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.arm(arm)
	a.Requests += requests
	if len(a.Latency) > 0 {
		i, _ := slices.BinarySearch(c.bounds, latency)
		a.Latency[i] += requests
	}
}

// Restart begins an arm's counts anew at 0, as the restart of what counts does.
func (c *Counter) Restart(arm string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.arms, arm)
	c.arm(arm).Since = at
}

// Break makes Counts return err until it is called with nil.
func (c *Counter) Break(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
}

// arm is the arm's counts; the lock is held.
func (c *Counter) arm(name string) *analysis.Counts {
	if a := c.arms[name]; a != nil {
		return a
	}
	a := &analysis.Counts{}
	if len(c.bounds) > 0 {
		a.Bounds, a.Latency = slices.Clone(c.bounds), make([]uint64, len(c.bounds)+1)
	}
	if c.arms == nil {
		c.arms = make(map[string]*analysis.Counts)
	}
	c.arms[name] = a
	return a
}

// read is a copy of the arm's counts; the lock is held.
func (c *Counter) read(name string) analysis.Counts {
	a, ok := c.arms[name]
	if !ok {
		return analysis.Counts{}
	}
	r := *a
	r.Bounds, r.Latency = slices.Clone(a.Bounds), slices.Clone(a.Latency)
	return r
}

// Counts reads both arms at one moment.
func (c *Counter) Counts(ctx context.Context, check analysis.Check) (stable, candidate analysis.Counts, err error) {
	if err := ctx.Err(); err != nil {
		return stable, candidate, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return stable, candidate, c.broken
	}
	return c.read(check.Stable), c.read(check.Candidate), nil
}

// Totals makes a Counter stand in for a proxy. It does not break: a proxy in the
// same process has no way to.
func (c *Counter) Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.read(arm)
	_, ok = c.arms[arm]
	return a.Requests, a.Errors, a.Latency, a.Since, ok
}

// Bounds are the upper bounds of the latency buckets.
func (c *Counter) Bounds() []time.Duration { return slices.Clone(c.bounds) }
