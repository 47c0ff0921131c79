// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rheostat-go/rheostat/internal/answers"
	"github.com/rheostat-go/rheostat/traffic"
)

// arm is one side by name, and what it was given and has answered.
type arm struct {
	name  string
	since time.Time
	to    atomic.Pointer[grpc.ClientConn]

	given    atomic.Uint64
	active   atomic.Int64
	canceled atomic.Uint64
	answers  answers.Counter
}

func newArm(name string) *arm { return &arm{name: name, since: time.Now()} }

// record counts a call that has ended.
func (a *arm) record(ctx context.Context, took time.Duration, err error, failed func(error) bool) {
	if err != nil && status.Code(err) == codes.Canceled && ctx.Err() != nil {
		a.canceled.Add(1)
		return
	}
	a.answers.Record(took, err != nil && failed(err))
}

// Failed reports whether err is the server's failure: the codes that are an HTTP
// status of 500 or above, which are DataLoss, DeadlineExceeded, Internal,
// Unavailable, Unimplemented and Unknown. An error without a code is Unknown. The
// others, such as NotFound or ResourceExhausted, are answers.
func Failed(err error) bool {
	switch status.Code(err) {
	case codes.DataLoss, codes.DeadlineExceeded, codes.Internal, codes.Unavailable, codes.Unimplemented, codes.Unknown:
		return true
	default:
		return false
	}
}

// Meter implements [traffic.Meter]. A stream is one request, and under way until
// it ends.
func (c *Conn) Meter(ctx context.Context) (map[string]traffic.Reading, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	readings := map[string]traffic.Reading{}
	for name, a := range *c.arms.Load() {
		readings[name] = traffic.Reading{Requests: a.given.Load(), Active: uint64(max(a.active.Load(), 0))}
	}
	return readings, nil
}

// Bounds are the upper bounds of the latency counts of Totals, in rising order.
// They are the same for as long as the program runs.
func (c *Conn) Bounds() []time.Duration { return answers.Bounds() }

// Totals is what an arm has answered since it was added, for a judge:
// [github.com/rheostat-go/rheostat/analysis.FromTotals] reads it. All counts only rise.
//
// requests counts calls that have ended, errors those among them that
// Options.Failed holds for errors. A call that its caller canceled is in neither,
// for nobody knows what would have become of it; that is how many streams end. A
// deadline of the caller that passes counts as an answer, and an error.
//
// latency has one count for each of Bounds and one more: latency[i] counts the
// calls that took at most Bounds()[i] and longer than the bound before it, the
// last those that took longer than all. The time of a stream is that until its
// first message came.
//
// ok is false for an arm that does not exist.
func (c *Conn) Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool) {
	a := c.arm(arm)
	if a == nil {
		return 0, 0, nil, time.Time{}, false
	}
	requests, errors, latency = a.answers.Totals()
	return requests, errors, latency, a.since, true
}

// Canceled counts the calls to an arm that their callers canceled. It is 0 for an
// arm that does not exist.
func (c *Conn) Canceled(arm string) uint64 {
	if a := c.arm(arm); a != nil {
		return a.canceled.Load()
	}
	return 0
}
