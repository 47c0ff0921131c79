// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// web is the service that is released, and the target that is turned for it.
const web = "web"

// The versions. Each has a backend of its own, named like it.
const (
	first = "v1"
	good  = "v2"
	bad   = "v3"
)

// failsFrom is the weight at which the bad candidate begins to fail.
const failsFrom = traffic.Full / 4

// checkName is the one check there is.
const checkName = "error rate"

// release is one of the two rollouts, and how it should end.
type release struct {
	stable, candidate string
	what              string
	want              strategy.Phase
}

// releases is what is shown, in order.
func releases() []release {
	return []release{
		{first, good, "a good candidate", strategy.Promoted},
		{good, bad, "a bad candidate", strategy.RolledBack},
	}
}

// plan is the same for both: the classic canary, judged by errors.
func plan(hold time.Duration) (strategy.Plan, error) {
	return strategy.Canary{
		Target: web,
		Hold:   hold,
		Checks: []string{checkName},
		Back:   strategy.Back{Drain: hold / 4},
	}.Plan()
}

// judge compares the candidate with stable as a service of yours would be, but for
// the interval: it looks four times a step, and a step takes seconds here.
func judge(p *proxy.Proxy, hold time.Duration) (analysis.Judge, error) {
	o := analysis.Default()
	o.Pace.Interval = max(hold/4, 50*time.Millisecond)
	return analysis.NewCompare(analysis.FromTotals(p), o)
}

// outcome is how one rollout ended.
type outcome struct {
	release
	phase  strategy.Phase
	cause  strategy.Cause
	reason string
	// lasted is 0 if it ended before this process began.
	lasted time.Duration
	// home is the time from the first failing verdict until 0% was seen in force.
	home      time.Duration
	homeKnown bool
}

// carryOut carries out what is left of the two rollouts, and says how each ended.
// A rollout that ends otherwise than it should is the last.
func carryOut(ctx context.Context, runner *strategy.Runner, store strategy.Store, p strategy.Plan) ([]outcome, error) {
	var outcomes []outcome
	for _, r := range releases() {
		s, err := store.Load(ctx, web)
		if err != nil {
			return outcomes, err
		}
		now := s.Release.Candidate.Version
		if r.candidate == good && now == bad {
			// v3 begins only after v2 was promoted.
			outcomes = append(outcomes, outcome{release: r, phase: strategy.Promoted})
			continue
		}
		if now != r.candidate {
			_, err := runner.Start(ctx, web, strategy.Request{Plan: p, Release: strategy.Release{
				Stable: strategy.Revision{Version: r.stable}, Candidate: strategy.Revision{Version: r.candidate},
			}})
			if err != nil {
				return outcomes, err
			}
		}
		s, err = runner.Run(ctx, web)
		if ended := (*strategy.Outcome)(nil); err != nil && !errors.As(err, &ended) {
			return outcomes, err
		}
		outcomes = append(outcomes, outcomeOf(r, s))
		if s.Phase != r.want {
			break
		}
	}
	return outcomes, nil
}

// outcomeOf reads all of it from the state, so that it does not matter which
// process saw it happen.
func outcomeOf(r release, s strategy.State) outcome {
	o := outcome{release: r, phase: s.Phase, cause: s.Cause, reason: s.Reason, lasted: s.Ended.Sub(s.Began)}
	var failed time.Time
	for _, c := range s.Checks {
		if f := c.Finding; f.Verdict == analysis.Fail && (failed.IsZero() || f.At.Before(failed)) {
			failed = f.At
		}
	}
	for _, t := range s.Journal() {
		if t.Run == s.Run && t.Kind == strategy.ReturnSettled && !failed.IsZero() {
			o.home, o.homeKnown = t.At.Sub(failed), true
		}
	}
	return o
}
