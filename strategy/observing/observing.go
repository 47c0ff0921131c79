// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package observing tells rollouts to package observe, so that neither strategy
// nor observe knows the other.
package observing

import (
	"context"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/strategy"
)

// Options say what a transition does not know of itself. The zero Options name
// no environment.
type Options struct {
	// Environment is where the rollouts happen, such as "production".
	Environment string
}

// To is a strategy.Observer that tells o every transition as an event. An event
// that is told again, after a restart, has the same Key.
func To(o observe.Observer, opts Options) strategy.Observer {
	return strategy.ObserverFunc(func(ctx context.Context, s strategy.State, t strategy.Transition) error {
		return o.Observe(ctx, Event(s, t, opts))
	})
}

// Event is the transition that led to s as an event.
func Event(s strategy.State, t strategy.Transition, opts Options) observe.Event {
	e := observe.Event{
		Service: s.Service, Environment: opts.Environment, Run: t.Run, Rev: t.Rev, At: t.At,
		Kind: kinds[t.Kind], Phase: s.Phase.String(), Plan: s.Plan.Name(), Lane: t.Lane, Step: t.Step,
		Version: s.Release.Candidate.Version, From: s.Release.Stable.Version,
		Cause: causes[s.Cause], Reason: t.Reason, By: t.By, Started: s.Began, Failing: failing(s),
	}
	if e.Kind == observe.Unknown {
		e.Kind = observe.Noted
		e.Reason = strings.TrimSuffix(t.Kind.String()+" "+t.Subject+": "+t.Reason, ": ")
	}
	for _, target := range s.Targets {
		if target.Fence > 0 {
			e.Shares = append(e.Shares, observe.Share{Target: target.Name, Candidate: uint32(target.Route.Split.Candidate)})
		}
	}
	switch t.Kind {
	case strategy.VerdictChanged:
		e.Check, e.Verdict = t.Subject, t.Verdict.String()
	case strategy.Paged:
		e.Page = true
	case strategy.RunPromoted:
		e.Outcome = observe.OutcomePromoted
	case strategy.RunStranded:
		e.Outcome = observe.OutcomeRollbackFailed
	case strategy.RunPartial:
		e.Outcome, e.Page = observe.OutcomePartial, true
	case strategy.RunRolledBack:
		e.Outcome = observe.OutcomeRolledBack
		if s.Cause == strategy.CauseSuperseded {
			e.Kind, e.Outcome = observe.Superseded, observe.OutcomeSuperseded
		}
	default: // the kind says it all
	}
	return e
}

// failing is when the first failing verdict of the run was given.
func failing(s strategy.State) time.Time {
	var first time.Time
	for _, c := range s.Checks {
		if at := c.Finding.At; c.Finding.Verdict == analysis.Fail && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// kinds has no entry for what an observer need not tell apart.
var kinds = map[strategy.TransitionKind]observe.Kind{
	strategy.RunStarted:     observe.Started,
	strategy.StepEntered:    observe.StepEntered,
	strategy.DialsTurned:    observe.StepEntered,
	strategy.TaskFinished:   observe.TaskDone,
	strategy.StepSettled:    observe.Settled,
	strategy.VerdictChanged: observe.Judged,
	strategy.HoldBegan:      observe.Held,
	strategy.HoldEnded:      observe.Resumed,
	strategy.Paged:          observe.Paged,
	strategy.Resumed:        observe.Resumed,
	strategy.DriftRepaired:  observe.Repaired,
	strategy.ReturnBegan:    observe.RollingBack,
	strategy.RunPromoted:    observe.Promoted,
	strategy.RunRolledBack:  observe.RolledBack,
	strategy.RunStranded:    observe.RollbackFailed,
	strategy.RunPartial:     observe.Paged,
}

var causes = map[strategy.Cause]observe.Cause{
	strategy.CauseCheck:      observe.CauseCheck,
	strategy.CauseTask:       observe.CauseTask,
	strategy.CauseDeadline:   observe.CauseDeadline,
	strategy.CauseAbort:      observe.CauseOperator,
	strategy.CauseSuperseded: observe.CauseSuperseded,
}
