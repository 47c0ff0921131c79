// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"time"

	"github.com/rheostat-go/rheostat/internal/answers"
)

// Bounds are the upper bounds of the latency counts of Totals, in rising order.
// They are the same for as long as the program runs.
func (p *Proxy) Bounds() []time.Duration { return answers.Bounds() }

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
	requests, errors, latency = a.answers.Totals()
	return requests, errors, latency, a.since, true
}

// Canceled counts the requests that clients gave up before an arm's answer
// began. It is 0 for an arm that does not exist.
func (p *Proxy) Canceled(arm string) uint64 {
	a := (*p.arms.Load())[arm]
	if a == nil {
		return 0
	}
	return a.canceled.Load()
}
