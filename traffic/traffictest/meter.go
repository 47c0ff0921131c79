// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// metered is how many requests a case of the meter sends.
const metered = 60

// readings asks the router's meter about both arms.
func (r *run) readings() (stable, candidate traffic.Reading) {
	r.Helper()
	m, ok := traffic.MeterOf(r.Router)
	if !ok {
		r.Fatalf("the router is no longer a traffic.Meter")
		return
	}
	all, err := m.Meter(r.ctx)
	if err != nil {
		r.Fatalf("Meter: %v, want no error", err)
	}
	return all[r.Arms.Stable], all[r.Arms.Candidate]
}

// rises wants the requests of each arm to come to be more by so many.
func (r *run) rises(stable, candidate traffic.Reading, by tally) {
	r.Helper()
	var told string
	right := func() bool {
		s, c := r.readings()
		told = fmt.Sprintf("%d to %s and %d to %s", s.Requests-stable.Requests, r.Arms.Stable, c.Requests-candidate.Requests, r.Arms.Candidate)
		return told == fmt.Sprintf("%d to %s and %d to %s", by.stable, r.Arms.Stable, by.candidate, r.Arms.Candidate)
	}
	ok := r.within(right)
	for range looks {
		r.pause(time.Millisecond)
		ok = ok && right()
	}
	if !ok {
		r.Fatalf("the meter tells %s, of %v", told, &by)
	}
}

var meterNeeds = slices.Concat(sending, []need{needMeter})

var meterCases = []testCase{
	{
		name: "the meter counts what each arm was given",
		why: "A split is proven by counts, so they must be right: one for each request, by the arm's own name, " +
			"whichever role it has in the route, and none for health checks or for requests that were sent elsewhere.",
		needs: meterNeeds,
		run: func(r *run) {
			exchanged := r.route(r.some())
			exchanged.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
			for i, route := range []traffic.Route{r.route(r.some()), exchanged, r.route(0)} {
				r.live(i+1, route)
				stable, candidate := r.readings()
				var sent tally
				for range metered {
					sent.add(r.Arms, r.ask(Request{}).Arm, nil)
				}
				r.rises(stable, candidate, sent)
			}
		},
	},
	{
		name:  "the meter does not count copies",
		why:   "Copies for a mirror tell nothing of the split. Counted as the candidate's requests they would prove a share that no client gets.",
		needs: slices.Concat(meterNeeds, []need{needMirror}),
		run: func(r *run) {
			route := r.route(0)
			route.Split.Mirror = traffic.Full
			r.live(1, route)
			var copies uint64
			if r.Copies != nil {
				copies = r.Copies()
			}
			stable, candidate := r.readings()
			var sent tally
			for range metered {
				sent.add(r.Arms, r.ask(Request{}).Arm, nil)
			}
			if r.Copies != nil {
				r.within(func() bool { return r.Copies() >= copies+metered })
			}
			r.rises(stable, candidate, sent)
		},
	},
	{
		name: "an arm is quiet when its requests have ended",
		why: "Active comes back to 0 when nothing is under way, for both arms, also after the route has turned away from one: " +
			"an arm is stopped when it is quiet, and one that never is can never be stopped.",
		needs: meterNeeds,
		run: func(r *run) {
			r.live(1, r.route(r.some()))
			l := r.load()
			defer l.end()
			l.collect(metered)
			r.live(2, r.route(0))
			l.end()
			var stable, candidate traffic.Reading
			if !r.within(func() bool { stable, candidate = r.readings(); return stable.Active == 0 && candidate.Active == 0 }) {
				r.Fatalf("%v after the last request %d of %s and %d of %s are said to be under way, want none",
					r.Settle, stable.Active, r.Arms.Stable, candidate.Active, r.Arms.Candidate)
			}
		},
	},
	{
		name: "an arm is not quiet while a request is under way",
		why: "Active counts what the arm has not answered yet. An arm that looks quiet too early is stopped under its last clients. " +
			"It is the arm that has the request that counts, also after the route has turned away from it.",
		needs: slices.Concat(meterNeeds, []need{needBreak}),
		run:   countsWhatHangs,
	},
}

func countsWhatHangs(r *run) {
	const hanging = 3
	r.live(1, r.route(traffic.Full))
	mend := r.breaks(CandidateHanging)
	ctx, cancel := context.WithCancel(r.ctx)
	var clients sync.WaitGroup
	defer func() { mend(); cancel(); clients.Wait() }()
	for range hanging {
		clients.Go(func() { _, _ = r.Send(ctx, Request{}) })
	}
	active := func(want uint64) {
		r.Helper()
		var candidate traffic.Reading
		if !r.within(func() bool { _, candidate = r.readings(); return candidate.Active == want }) {
			r.Fatalf("%d requests of %s are said to be under way, want %d", candidate.Active, r.Arms.Candidate, want)
		}
	}
	active(hanging)
	r.set(2, r.route(0))
	active(hanging)
	mend()
	cancel()
	clients.Wait()
	active(0)
}
