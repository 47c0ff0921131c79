// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Tolerance is how much worse than stable a candidate may be.
type Tolerance struct {
	// Harm is the margin beyond which the candidate does harm: evidence that it is
	// worse than that fails it.
	Harm Margin
	// Safe is the margin within which it is harmless: evidence that it is better
	// than that lets a step end early. It is wider than Harm, for between them
	// nothing can be shown with few requests.
	Safe Margin
	// Limit is a share that is never called harm while stable gets no traffic to
	// compare with, as at 100%: there the candidate is held against the higher of
	// this and what stable did lately. Slowness is high by default: when a machine or
	// a database slows down, nothing tells any more whose fault it is.
	Limit float64
}

// CompareOptions shape a [Compare]. Zero fields are those of [Default].
type CompareOptions struct {
	// Pace is when the source is read, and how long that may come to nothing.
	Pace Pace
	// Risk is the chance, over a whole rollout, of failing a candidate that is within
	// the margins. 0 is 0.01.
	Risk float64
	// SafeRisk is the chance, in one step, of calling a candidate Safe that is
	// beyond the safe margin. 0 is 0.05.
	SafeRisk float64
	// Errors and Latency are the tolerances for the share of requests that fail, and
	// for the share that takes longer than each bound.
	Errors, Latency Tolerance
	// Worth is a regression that must have had its chance to show before there is a
	// Pass: how far the share of requests that fail lies beyond Errors.Harm, 0.01 for a
	// percentage point. Until the run has seen about as many requests as Needed says,
	// the verdict is Pending, so that a step of a quiet service lasts longer, up to
	// its deadline. 0 is no such regression: a Pass is that nothing speaks for harm.
	Worth float64
}

// Default is what suits most services: the candidate may fail 0.05 percentage
// points more often than stable, and half a point more of its requests may be
// slower than any bound, five per cent of stable's share aside.
func Default() CompareOptions {
	return CompareOptions{
		Pace: Pace{Interval: 10 * time.Second, IdleLimit: 3, ConsecutiveErrorLimit: defaultErrorLimit},
		Risk: 0.01, SafeRisk: 0.05,
		Errors:  Tolerance{Harm: Margin{1, 0.0005}, Safe: Margin{1, 0.005}, Limit: 0.01},
		Latency: Tolerance{Harm: Margin{1.05, 0.005}, Safe: Margin{1.1, 0.03}, Limit: 0.5},
	}
}

// Strict tolerates hardly any difference, for services where an error costs money.
// It needs more requests to call a candidate safe.
func Strict() CompareOptions {
	o := Default()
	o.Errors = Tolerance{Harm: Margin{1, 0.0001}, Safe: Margin{1, 0.001}, Limit: 0.002}
	o.Latency = Tolerance{Harm: Margin{1, 0.001}, Safe: Margin{1.05, 0.01}, Limit: 0.2}
	return o
}

// Tolerant lets a candidate fail half a percentage point more often, for services
// whose clients try again.
func Tolerant() CompareOptions {
	o := Default()
	o.Errors = Tolerance{Harm: Margin{1.2, 0.005}, Safe: Margin{1.5, 0.02}, Limit: 0.03}
	o.Latency = Tolerance{Harm: Margin{1.2, 0.02}, Safe: Margin{1.3, 0.08}, Limit: 0.5}
	return o
}

// Compare is a judge that holds the candidate against stable while both get
// traffic, by evidence whose error is bounded: with [CompareOptions.Risk] 0.01, at most one
// rollout in a hundred of a candidate that is as good as stable is failed, however
// often it is looked at, whatever the split, and however the rates of both drift
// together. Its verdicts:
//
//   - Pending: no block of this step is complete yet, or too few requests came for
//     what CompareOptions.Worth asks.
//   - Pass: nothing speaks against the candidate so far.
//   - Safe: it has been shown, in this step, that the candidate is within the safe
//     margins of stable in every respect; the step may end before its hold.
//   - Fail: there is evidence of harm, of 1 to Risk, in two blocks at least. It
//     stays so for the rest of the run.
//   - Inconclusive: stable got no requests since the run began, the candidate none for
//     longer than IdleLimit blocks, or the source could not be read.
//
// The evidence of harm goes through the whole run, that of safety begins with each
// step. What is compared: the share of requests that failed, and, where the source
// counts latency, the share above up to four bounds that tell something about stable.
// They are chosen once stable has answered a hundred requests, and nothing is Safe before.
//
// What is proven: as long as requests fail independently of each other within a
// block, given the rates in it, the chance of failing a candidate that is within the
// margins in every block is at most Risk, for all blocks in which stable gets
// traffic. Failures that come in bursts on one arm alone break that, as they break
// every test on counts. Against them evidence of harm is gathered a second time, by a
// model of bursts as large as those in which two halves of stable's replicas differ,
// where the source can tell them apart ([Halves], [History]), and the lesser of both
// counts; evidence of safety is divided by how much more the halves differ than
// independent requests would. That is learned from earlier blocks only. The lesser
// keeps what is proven; that it suffices where requests fail together holds in
// simulations and is not proven: bursts that stable never had cannot be learned, and
// few errors teach little. A source that cannot tell halves apart is taken at its word.
//
// Without requests of stable in a block, such as at 100%, the candidate is held
// against what stable did in its latest blocks and against [Tolerance.Limit],
// whichever is higher. That is a rule of thumb. Where stable got no traffic in the
// whole run, nothing is compared, nobody is blamed, and nothing passes: give a
// blue-green release a hold before its switch, or take a [Limit] there.
//
// A source's error is part of the finding and not an error of Judge. What a Compare
// remembers goes with the rollout's state: a restart neither forgets evidence nor
// counts it twice. A state that it did not write, or wrote with other options, is
// not used, and the reason says so.
//
// A Compare is safe for concurrent use and cannot be changed.
type Compare struct{ blocks }

var _ Judge = (*Compare)(nil)

// NewCompare is a Compare of what src counts. The error names the field that is wrong.
func NewCompare(src Source, o CompareOptions) (*Compare, error) {
	if src == nil {
		return nil, errors.New("analysis: compare: it has no source")
	}
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("analysis: compare: %w", err)
	}
	return &Compare{blocks{
		source: src, pace: o.Pace, of: fingerprintOf("compare", o),
		gather: func() gatherer { return &gate{o: &o} },
	}}, nil
}

// filled is o with its defaults. The error names the field that is wrong.
func (o CompareOptions) filled() (CompareOptions, error) {
	d := Default()
	o.Risk = cmp.Or(o.Risk, d.Risk)
	o.SafeRisk = cmp.Or(o.SafeRisk, d.SafeRisk)
	o.Errors = cmp.Or(o.Errors, d.Errors)
	o.Latency = cmp.Or(o.Latency, d.Latency)
	p, err := o.Pace.filledField()
	o.Pace = p
	if err == nil {
		err = errors.Join(checkChance("Risk", o.Risk), checkChance("SafeRisk", o.SafeRisk))
	}
	switch {
	case err != nil:
	case !(o.Worth >= 0 && o.Worth < 1):
		err = fmt.Errorf("%s %v: want 0 for none, or a share below 1", "Worth", o.Worth)
	default:
		err = errors.Join(o.Errors.check("Errors"), o.Latency.check("Latency"))
	}
	return o, err
}

// check reports margins that cannot be meant.
func (t Tolerance) check(name string) error {
	if err := errors.Join(t.Harm.check(name+".Harm"), t.Safe.check(name+".Safe")); err != nil {
		return err
	}
	switch {
	case !(t.Limit >= 0 && t.Limit < 1):
		return fmt.Errorf("%s.Limit %v: want 0 or more, and below 1", name, t.Limit)
	case t.Safe.Ratio < t.Harm.Ratio || t.Safe.Abs <= t.Harm.Abs:
		return fmt.Errorf("%s.Safe %+v: want it wider than Harm %+v, or nothing can be shown to be safe", name, t.Safe, t.Harm)
	}
	return nil
}
