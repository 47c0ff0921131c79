// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package answers counts what an arm has answered: how often, after how long, and
// how much of it was an error. The data planes of this module share it, so that
// their counts can be added up and judged by the same rules.
package answers

import (
	"slices"
	"sync/atomic"
	"time"
)

// bounds are dense where services live and coarse above, and hit the usual objectives
// (100 ms, 250 ms, 500 ms, 1 s) exactly.
var bounds = [...]time.Duration{
	500 * time.Microsecond, 1 * time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond,
	7500 * time.Microsecond, 10 * time.Millisecond, 15 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond,
	50 * time.Millisecond, 75 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond,
	250 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond,
	1 * time.Second, 1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond, 3 * time.Second,
	5 * time.Second, 7500 * time.Millisecond, 10 * time.Second, 15 * time.Second, 30 * time.Second,
}

// Bounds are the upper bounds of the latency counts, in rising order.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Counter counts the answers of one arm. Plain atomics: a request costs tens of
// microseconds elsewhere, and sharding them by processor gains nothing that shows.
// The zero Counter works, and is safe for concurrent use.
type Counter struct {
	latency [len(bounds) + 1]atomic.Uint64
	errors  atomic.Uint64
}

// Record counts an answer. It is counted before its error, and read after it, so
// that errors never outnumber requests.
func (c *Counter) Record(took time.Duration, failed bool) {
	i, _ := slices.BinarySearch(bounds[:], took)
	c.latency[i].Add(1)
	if failed {
		c.errors.Add(1)
	}
}

// Fail makes an error of an answer that was recorded as none.
func (c *Counter) Fail() { c.errors.Add(1) }

// Totals is what was counted. latency has a count for each of [Bounds], of what
// took at most that and longer than the bound before it, and a last one of what
// took longer than all; requests is their sum.
func (c *Counter) Totals() (requests, errors uint64, latency []uint64) {
	errors = c.errors.Load()
	latency = make([]uint64, len(c.latency))
	for i := range c.latency {
		latency[i] = c.latency[i].Load()
		requests += latency[i]
	}
	return requests, errors, latency
}
