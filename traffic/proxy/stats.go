// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

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

// counters count what one arm answered. Plain atomics: a request costs tens of
// microseconds elsewhere, and sharding them by processor gains nothing that shows.
type counters struct {
	since    time.Time
	latency  [len(bounds) + 1]atomic.Uint64
	errors   atomic.Uint64
	canceled atomic.Uint64
}

func (c *counters) begin() { c.since = time.Now() }

// record counts an answer. The request is counted before its error, and read
// after it, so that errors never outnumber requests.
func (c *counters) record(took time.Duration, failed bool) {
	i, _ := slices.BinarySearch(bounds[:], took)
	c.latency[i].Add(1)
	if failed {
		c.errors.Add(1)
	}
}

// Bounds are the upper bounds of the latency counts of Totals, in rising order.
// They are the same for as long as the program runs.
func (p *Proxy) Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Totals is what an arm has answered since it was added. All counts only rise.
//
// requests counts answers, and requests that the arm left without one. errors
// counts those among them that ended in a status of 500 or above, could not
// be sent, were not answered in time, or broke off in the middle of the answer.
// A request that its client gave up before the answer began is in neither.
//
// latency has one count for each of Bounds and one more: latency[i] counts the
// requests that took at most Bounds()[i] and longer than the bound before it, the
// last those that took longer than all. They are not cumulative; together they
// are requests. The time is that from sending the request to the backend until
// the header of its answer was there, or until it failed.
//
// ok is false for an arm that does not exist.
func (p *Proxy) Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool) {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return 0, 0, nil, time.Time{}, false
	}
	errors = a.counters.errors.Load()
	latency = make([]uint64, len(a.counters.latency))
	for i := range a.counters.latency {
		latency[i] = a.counters.latency[i].Load()
		requests += latency[i]
	}
	return requests, errors, latency, a.counters.since, true
}

// Canceled counts the requests that clients gave up before an arm's answer
// began. It is 0 for an arm that does not exist.
func (p *Proxy) Canceled(arm string) uint64 {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return 0
	}
	return a.counters.canceled.Load()
}
