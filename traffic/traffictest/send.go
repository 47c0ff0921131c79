// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/rheostat-go/rheostat/traffic"
)

const (
	senders = 4 // that send at once
	tries   = 3 // at a split before it is called wrong
)

// live sets the route, and waits until no request goes another way any more.
func (r *run) live(n int, route traffic.Route) {
	r.Helper()
	r.set(n, route)
	if r.caps.Lag > 0 {
		r.pause(r.caps.Lag)
	}
}

// ask sends one request and returns the answer, which must come from an arm.
func (r *run) ask(request Request) Answer {
	r.Helper()
	answer, err := r.Send(r.ctx, request)
	if err != nil {
		r.Fatalf("Send(%v): %v, want an answer", request, err)
	}
	if answer.Arm != r.Arms.Stable && answer.Arm != r.Arms.Candidate {
		r.Fatalf("Send(%v) was answered by %q, want %q or %q", request, answer.Arm, r.Arms.Stable, r.Arms.Candidate)
	}
	return answer
}

// count sends n requests from several clients and counts what the candidate answered.
func (r *run) count(n int) int {
	r.Helper()
	var left, candidate, other atomic.Int64
	left.Store(int64(n))
	var failed atomic.Pointer[string]
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for left.Add(-1) >= 0 && failed.Load() == nil {
				answer, err := r.Send(r.ctx, Request{})
				switch {
				case err != nil:
					failed.Store(new(fmt.Sprintf("a request failed: %v", err)))
				case answer.Arm == r.Arms.Candidate:
					candidate.Add(1)
				case answer.Arm != r.Arms.Stable:
					other.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if text := failed.Load(); text != nil {
		r.Fatalf("%s", *text)
	}
	if k := other.Load(); k > 0 {
		r.Fatalf("%d of %d requests were answered by neither arm", k, n)
	}
	return int(candidate.Load())
}

// meets sends requests until their split is one that chance would give at w.
func (r *run) meets(w traffic.Weight) {
	r.Helper()
	share := float64(w) / float64(traffic.Full)
	var counts []int
	for range tries {
		k := r.count(r.Requests)
		if plausible(k, r.Requests, share) {
			return
		}
		counts = append(counts, k)
	}
	r.Fatalf("at %v the candidate answered %v of %d requests in %d tries, which chance does not explain", w, counts, r.Requests, tries)
}

var sending = []need{needSend, needHaste}

var sendCases = []testCase{
	{
		name:  "zero means zero",
		why:   "At a weight of 0, once it is in force as well as the router can tell and past its Lag, not one request goes to the candidate. It may be gone.",
		needs: sending,
		run: func(r *run) {
			r.live(1, r.route(traffic.Full))
			r.live(2, r.route(0))
			if k := r.count(r.Requests); k > 0 {
				r.Errorf("at 0%% the candidate answered %d of %d requests, want none", k, r.Requests)
			}
		},
	},
	{
		name:  "full means full",
		why:   "At a weight of 100%, once it is in force as well as the router can tell and past its Lag, not one request goes to stable. It may be gone.",
		needs: sending,
		run: func(r *run) {
			r.live(1, r.route(0))
			r.live(2, r.route(traffic.Full))
			if k := r.count(r.Requests); k < r.Requests {
				r.Errorf("at 100%% stable answered %d of %d requests, want none", r.Requests-k, r.Requests)
			}
		},
	},
	{
		name: "the split is met",
		why: "The candidate's share of the requests is its weight, but for chance. " +
			"A share that is off for good is a bias: servers counted instead of weights, a hash that is not even, the arms the wrong way round.",
		needs: append([]need{needPartial}, sending...),
		run: func(r *run) {
			for i, w := range []traffic.Weight{traffic.Percent(1), traffic.Percent(10), traffic.Percent(50), traffic.Percent(90)} {
				w = r.near(r.route(w)).Split.Candidate
				r.live(i+1, r.route(w))
				r.meets(w)
			}
		},
	},
	{
		name:  "arms are followed by name",
		why:   "With the arms exchanged, 100% goes to the backend that was stable before.",
		needs: sending,
		run: func(r *run) {
			r.live(1, r.route(traffic.Full))
			swapped := r.route(traffic.Full)
			swapped.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
			r.live(2, swapped)
			for range looks {
				if got := r.ask(Request{}).Arm; got != swapped.Arms.Candidate {
					r.Fatalf("at %v the request was answered by %q, want %q", swapped, got, swapped.Arms.Candidate)
				}
			}
		},
	},
	{
		name:  "matches win over the weight",
		why:   "A request with a header or a cookie that a match names goes to the candidate even at 0%; every other one does not. An empty value in a match is any value but none.",
		needs: append([]need{needMatch}, sending...),
		run:   matchesWin,
	},
	{
		name: "moving the weight loses no request",
		why: "Clients that send all the while see no error when the route changes. " +
			"A router whose changes can break requests says so in Caps.Drops.",
		needs: append([]need{needNoDrops}, sending...),
		run:   movesUnderLoad,
	},
}

func matchesWin(r *run) {
	route := r.route(0)
	route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Header: "X-Tester"}, {Cookie: "ring", Value: "internal"}, {Cookie: "beta"}}
	r.live(1, route)
	header := func(k, v string) Request { return Request{Header: map[string]string{k: v}} }
	cookie := func(k, v string) Request { return Request{Cookie: map[string]string{k: v}} }
	for _, tt := range []struct {
		request Request
		want    string
	}{
		{header("X-Preview", "yes"), r.Arms.Candidate},
		{header("X-Preview", "no"), r.Arms.Stable},
		{header("X-Tester", "anyone"), r.Arms.Candidate},
		{header("X-Other", "yes"), r.Arms.Stable},
		{cookie("ring", "internal"), r.Arms.Candidate},
		{cookie("ring", "outer"), r.Arms.Stable},
		{cookie("beta", "1"), r.Arms.Candidate},
		{cookie("other", "internal"), r.Arms.Stable},
		{Request{Header: map[string]string{"X-Preview": "no"}, Cookie: map[string]string{"other": "1", "beta": "1"}}, r.Arms.Candidate},
		{Request{}, r.Arms.Stable},
	} {
		for range looks {
			if got := r.ask(tt.request).Arm; got != tt.want {
				r.Fatalf("at %s the request %v was answered by %q, want %q", tell(route), tt.request, got, tt.want)
			}
		}
	}
}

// movesUnderLoad applies the ladder there and back while others send.
func movesUnderLoad(r *run) {
	r.live(1, r.route(0))
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	var sent, failed atomic.Int64
	var last atomic.Pointer[string]
	send := func() {
		// With the case's own context: a request under way when the load ends is not cut off.
		_, err := r.Send(r.ctx, Request{})
		sent.Add(1)
		if err != nil {
			failed.Add(1)
			last.Store(new(err.Error()))
		}
	}
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for ctx.Err() == nil {
				send()
				runtime.Gosched() // a router in memory leaves no pause for the writer
			}
		})
	}
	n := 1
	for range rounds {
		for _, w := range ladder {
			if w == 0 || w == traffic.Full || partial(r.caps) {
				n++
				if err := r.Router.Apply(r.ctx, r.fence(n), r.route(w)); err != nil {
					r.Errorf("Apply(%v) under load: %v", r.route(w), err)
				}
				for range senders {
					send()
				}
			}
		}
	}
	stop()
	wg.Wait()
	if k := failed.Load(); k > 0 {
		r.Errorf("%d of %d requests failed while the weight moved, the last with: %s", k, sent.Load(), *last.Load())
	}
}
