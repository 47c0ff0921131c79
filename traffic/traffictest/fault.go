// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// breaks makes the fault, or skips the case if the subject cannot.
func (r *run) breaks(f Fault) (mend func()) {
	r.Helper()
	mend, err := r.Break(r.ctx, f)
	if errors.Is(err, errors.ErrUnsupported) {
		r.Skipf("skipped for want of Subject.Break(%v)", f)
	}
	if err != nil {
		r.Fatalf("Subject.Break(%v): %v", f, err)
	}
	return mend
}

// tryApply applies under a deadline that a right router keeps.
func (r *run) tryApply(n int, route traffic.Route, limit time.Duration) error {
	r.Helper()
	return r.bounded("Apply", limit, func(ctx context.Context) error { return r.Router.Apply(ctx, r.fence(n), route) })
}

// recovers waits until Observe works again, and wants one of the routes, whole.
func (r *run) recovers(wants ...traffic.Route) {
	r.Helper()
	for i := range wants {
		wants[i] = r.near(wants[i])
	}
	var err error
	if !r.within(func() bool { _, err = r.Router.Observe(r.ctx); return err == nil }) {
		r.Fatalf("%v after the fault was mended Observe says: %v", r.Settle, err)
	}
	for range looks {
		r.pause(r.patience() / looks) // for what was put off to come after all
		if seen := r.see(); !contains(wants, seen.Route) {
			r.Fatalf("after the fault was mended Observe shows %v, want one of %v", tell(seen.Route), wants)
		}
	}
}

// elsewhere is a route that has no name in its place and no weight in common with others.
func (r *run) elsewhere() traffic.Route {
	route := r.route(traffic.Full)
	route.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
	return route
}

var faultCases = []testCase{
	notKnown(Down, "that is down"),
	notKnown(Hanging, "that hangs"),
	notKnown(Garbage, "that answers garbage"),
	{
		name: "a lost reply is asked again",
		why: "The target has done what it was asked, and the reply was lost. Apply may only say so, with an error, unless it has looked. " +
			"The same Apply again leaves exactly the wanted route in force: a backend that swaps must look before it acts, each time.",
		needs: []need{needBreak},
		run:   asksAgain,
	},
	{
		name: "a deadline that passes midway leaves old or new",
		why: "Apply under a deadline, while the target answers nothing, returns an error when the deadline has passed. " +
			"Afterwards the old route is in force or the new one, never the arms of one with the weight of the other, and the same Apply works again.",
		needs: []need{needBreak},
		run: func(r *run) {
			before := r.route(0)
			r.set(1, before)
			mend := r.breaks(Hanging)
			defer mend()
			if err := r.tryApply(2, r.elsewhere(), r.patience()); err == nil {
				r.Fatalf("Apply against a target that answers nothing: no error, want one")
			}
			mend()
			r.recovers(before, r.elsewhere())
			r.set(2, r.elsewhere())
			r.set(3, before)
		},
	},
}

// notKnown is the case of a control plane that is broken by f.
func notKnown(f Fault, how string) testCase {
	return testCase{
		name: "of a control plane " + how + " nothing is known",
		why: "Observe is an error, never a zero Seen, and never the route that this process remembers as if it had just been seen. " +
			"Apply is an error, and is not carried out by itself later. Once the target works again, so do both, without a new router.",
		needs: []need{needBreak},
		run: func(r *run) {
			before := r.route(r.some())
			r.set(1, before)
			mend := r.breaks(f)
			defer mend()
			for range looks {
				var seen traffic.Seen
				err := r.bounded("Observe", r.patience(), func(ctx context.Context) (err error) { seen, err = r.Router.Observe(ctx); return err })
				if err == nil {
					r.Fatalf("Observe of a control plane %s: %v and no error, want one", how, tell(seen.Route))
				}
			}
			if err := r.tryApply(2, r.elsewhere(), r.patience()); err == nil {
				r.Fatalf("Apply to a control plane %s: no error, want one", how)
			}
			mend()
			if f == Hanging {
				// What it was asked it may still find in its queue.
				r.recovers(before, r.elsewhere())
			} else {
				r.recovers(before)
			}
			r.set(2, r.elsewhere())
			r.set(3, before)
		},
	}
}

func asksAgain(r *run) {
	n := 1
	before := r.route(0)
	r.set(n, before)
	for _, next := range []traffic.Route{r.route(traffic.Full), r.elsewhere(), r.route(r.some()), r.route(0)} {
		n++
		mend := r.breaks(Deaf)
		err := r.tryApply(n, next, min(r.Settle, time.Second)) // it is to arrive
		mend()
		if err == nil {
			r.recovers(next)
		} else {
			r.recovers(before, next)
		}
		for range 2 {
			r.apply(n, next)
			r.comes(next)
		}
		before = next
	}
}

var outageCases = []testCase{
	servesOn(Down, "that is down"),
	servesOn(Hanging, "that hangs"),
	servesOn(Garbage, "that answers garbage"),
}

// servesOn is the case of a data plane whose control plane is broken by f.
func servesOn(f Fault, how string) testCase {
	return testCase{
		name: "the data plane outlives a control plane " + how,
		why: "Requests go on by the route that was last in force while nobody can read or write it, whatever is tried meanwhile, and none fails. " +
			"A router that gives up its route when it is blind turns an outage of the control plane into one of the service.",
		needs: append([]need{needBreak}, sending...),
		run: func(r *run) {
			r.live(1, r.route(traffic.Full))
			l := r.load()
			defer l.end()
			mend := r.breaks(f)
			defer mend()
			serves := func(when string) {
				r.Helper()
				if got := l.collect(r.Requests / 20); got.stable > 0 || got.other > 0 || got.failed > 0 && !r.caps.Drops {
					r.Fatalf("%s a control plane %s, of %v; want all by the candidate, as before", when, how, &got)
				}
			}
			serves("under")
			_ = r.bounded("Observe", r.patience(), func(ctx context.Context) error { _, err := r.Router.Observe(ctx); return err })
			if f != Hanging { // it may find what it was asked in its queue
				_ = r.tryApply(2, r.route(0), r.patience())
			}
			serves("after questions to")
			mend()
			r.recovers(r.route(traffic.Full))
			serves("after the end of")
			r.live(2, r.route(0))
			if got := l.collect(r.Requests / 20); got.candidate > 0 {
				r.Fatalf("at 0%%, after a control plane %s was mended, of %v; want all by stable", how, &got)
			}
			l.loses("through a control plane " + how)
		},
	}
}
