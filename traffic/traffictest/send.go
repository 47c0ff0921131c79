// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"fmt"
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
		name: "what is refused leaves the old side serving",
		why: "An Apply that is refused has touched nothing: not the split, not a backend, not a connection. " +
			"Requests are answered by the side that answered before, without a failure.",
		needs: sending,
		run:   refusesWithoutARipple,
	},
}

func refusesWithoutARipple(r *run) {
	r.live(2, r.route(traffic.Full))
	l := r.load()
	defer l.end()
	for _, m := range r.refused() {
		route := r.route(0)
		m.edit(&route)
		if err := r.Router.Apply(r.ctx, r.fence(3), route); err == nil {
			r.Fatalf("Apply with %s was accepted, want an error", m.name)
		}
		if got := l.collect(senders); got.stable > 0 || got.failed > 0 {
			r.Fatalf("after an Apply with %s was refused, of %v; want all by the candidate, as before", m.name, &got)
		}
	}
	l.loses("while routes were refused")
}
