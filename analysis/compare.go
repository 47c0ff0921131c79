// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
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
}

// CompareOptions shape a [Compare]. Zero fields are those of [Default].
type CompareOptions struct {
	// Interval is how long a block takes: how often the source is read. 0 is 10
	// seconds. With a source that is scraped, no shorter than a scrape.
	Interval time.Duration
	// Risk is the chance, over a whole rollout, of failing a candidate that is within
	// the margins. 0 is 0.01.
	Risk float64
	// SafeRisk is the chance, in one step, of calling a candidate Safe that is
	// beyond the safe margin. 0 is 0.05.
	SafeRisk float64
	// Errors and Latency are the tolerances for the share of requests that fail, and
	// for the share that takes longer than each bound.
	Errors, Latency Tolerance
	// Warmup is how long the candidate's requests are left out after each change of
	// the split: for caches to fill, for code to be compiled.
	Warmup time.Duration
	// IdleLimit is how many blocks in a row may hold no request of the candidate
	// before the verdict is Inconclusive. 0 is three.
	IdleLimit int
	// ConsecutiveErrorLimit is how many errors of the source in a row are tolerated
	// before the verdict is Inconclusive. 0 is four; negative is none.
	ConsecutiveErrorLimit int
}

// Default is what suits most services: the candidate may fail 0.05 percentage
// points more often than stable, and half a point more of its requests may be
// slower than any bound, five per cent of stable's share aside.
func Default() CompareOptions {
	return CompareOptions{
		Interval: 10 * time.Second, Risk: 0.01, SafeRisk: 0.05,
		Errors:    Tolerance{Harm: Margin{1, 0.0005}, Safe: Margin{1, 0.005}},
		Latency:   Tolerance{Harm: Margin{1.05, 0.005}, Safe: Margin{1.1, 0.03}},
		IdleLimit: 3, ConsecutiveErrorLimit: defaultErrorLimit,
	}
}

// Strict tolerates hardly any difference, for services where an error costs money.
// It needs more requests to call a candidate safe.
func Strict() CompareOptions {
	o := Default()
	o.Errors = Tolerance{Harm: Margin{1, 0.0001}, Safe: Margin{1, 0.001}}
	o.Latency = Tolerance{Harm: Margin{1, 0.001}, Safe: Margin{1.05, 0.01}}
	return o
}

// Tolerant lets a candidate fail half a percentage point more often, for services
// whose clients try again.
func Tolerant() CompareOptions {
	o := Default()
	o.Errors = Tolerance{Harm: Margin{1.2, 0.005}, Safe: Margin{1.5, 0.02}}
	o.Latency = Tolerance{Harm: Margin{1.2, 0.02}, Safe: Margin{1.3, 0.08}}
	return o
}

// Compare is a judge that holds the candidate against stable while both get
// traffic, by evidence whose error is bounded: with [CompareOptions.Risk] 0.01, one
// rollout in a hundred of a candidate that is as good as stable is failed, however
// often it is looked at, whatever the split, and however the rates of both drift
// together. Its verdicts:
//
//   - Pending: no block of this step is complete yet.
//   - Pass: nothing speaks against the candidate so far.
//   - Safe: it has been shown, in this step, that the candidate is within the safe
//     margins of stable in every respect; the step may end before its hold.
//   - Fail: there is evidence of harm, of 1 to Risk, in two blocks at least. It
//     stays so for the rest of the run.
//   - Inconclusive: the candidate got no requests for longer than IdleLimit blocks,
//     or the source could not be read.
//
// The evidence of harm goes through the whole run, that of safety begins with each
// step. What is compared: the share of requests that failed, and, where the source
// counts latency, the share above up to six bounds that tell something about stable.
//
// What the bound on errors rests on: that requests fail independently of each other
// within a block, given the rates in it. Bursts that hit one arm alone break that,
// as they break every test on counts. Without requests of stable in a block, such
// as at 100%, nothing is compared, and the verdict stays as it is.
//
// A source's error is part of the finding and not an error of Judge. What a Compare
// remembers goes with the rollout's state: a restart neither forgets evidence nor
// counts it twice. A state that it did not write, or wrote with other options, is
// not used, and the reason says so.
//
// A Compare is safe for concurrent use and cannot be changed.
type Compare struct {
	source Source
	o      CompareOptions
	of     string
}

var _ Judge = (*Compare)(nil)

// NewCompare is a Compare of what src counts. The error names the field that is wrong.
func NewCompare(src Source, o CompareOptions) (*Compare, error) {
	if src == nil {
		return nil, errors.New("analysis: compare: it has no source")
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("analysis: compare: %w", err)
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%+v", o) // a hash takes everything
	return &Compare{source: src, o: o, of: strconv.FormatUint(h.Sum64(), 36)}, nil
}

func (o CompareOptions) withDefaults() CompareOptions {
	d := Default()
	if o.Interval == 0 {
		o.Interval = d.Interval
	}
	if o.Risk == 0 {
		o.Risk = d.Risk
	}
	if o.SafeRisk == 0 {
		o.SafeRisk = d.SafeRisk
	}
	if o.Errors == (Tolerance{}) {
		o.Errors = d.Errors
	}
	if o.Latency == (Tolerance{}) {
		o.Latency = d.Latency
	}
	if o.IdleLimit == 0 {
		o.IdleLimit = d.IdleLimit
	}
	switch {
	case o.ConsecutiveErrorLimit == 0:
		o.ConsecutiveErrorLimit = d.ConsecutiveErrorLimit
	case o.ConsecutiveErrorLimit < 0:
		o.ConsecutiveErrorLimit = 0
	}
	return o
}

func (o CompareOptions) check() error {
	for _, p := range [...]struct {
		name  string
		value float64
	}{{"Risk", o.Risk}, {"SafeRisk", o.SafeRisk}} {
		if !(p.value > 0 && p.value < 1) {
			return fmt.Errorf("%s %v: want a number between 0 and 1", p.name, p.value)
		}
	}
	for _, t := range [...]struct {
		name string
		Tolerance
	}{{"Errors", o.Errors}, {"Latency", o.Latency}} {
		for _, m := range [...]struct {
			name string
			Margin
		}{{"Harm", t.Harm}, {"Safe", t.Safe}} {
			if !(m.Ratio > 0 && m.Ratio <= 100) || !(m.Abs >= 0 && m.Abs < 1) {
				return fmt.Errorf("%s.%s %+v: want a Ratio above 0 and up to 100, and an Abs from 0 to below 1", t.name, m.name, m.Margin)
			}
		}
		if t.Safe.Ratio < t.Harm.Ratio || t.Safe.Abs <= t.Harm.Abs {
			return fmt.Errorf("%s.Safe %+v: want it wider than Harm %+v, or nothing can be shown to be safe", t.name, t.Safe, t.Harm)
		}
	}
	switch {
	case o.Interval < 0 || o.Interval > 24*time.Hour:
		return fmt.Errorf("%s %v: want 0 for 10 seconds, or more", "Interval", o.Interval)
	case o.Warmup < 0:
		return fmt.Errorf("%s %v: want 0 or more", "Warmup", o.Warmup)
	case o.IdleLimit < 0 || o.IdleLimit > maxLimit:
		return fmt.Errorf("IdleLimit %d: want 0 for three, up to %d", o.IdleLimit, maxLimit)
	case o.ConsecutiveErrorLimit > maxLimit:
		return fmt.Errorf("ConsecutiveErrorLimit %d: want at most %d", o.ConsecutiveErrorLimit, maxLimit)
	}
	return nil
}

// Judge answers c: see Compare.
func (j *Compare) Judge(ctx context.Context, c Check) (Finding, error) {
	if err := ended(ctx); err != nil {
		return Finding{}, err
	}
	s, unusable := j.recall(c)
	stepped := !s.Since.Equal(c.Since)
	if s.Verdict == Fail || !stepped && j.early(s, c.Until) {
		return j.finding(s, c), nil
	}
	stable, candidate, err := j.source.Counts(ctx, c)
	if err == nil {
		err = errors.Join(stable.latencyError(), candidate.latencyError())
	}
	switch {
	case err != nil && ended(ctx) != nil:
		return Finding{}, ended(ctx) // the caller's doing, not the source's
	case err != nil:
		j.failedToRead(&s, c, err)
	default:
		j.take(&s, c, stable, candidate, stepped)
	}
	if unusable != nil {
		s.Reason = sentence(fmt.Sprintf("what was remembered of this check cannot be used (%v), gathering anew; %s", unusable, s.Reason))
	}
	if c.State, err = remember(s); err != nil {
		return Finding{}, err
	}
	return j.finding(s, c), nil
}

// early reports whether the moment lies before the end of the running block. A
// clock that was set back by more than an interval does not count as early.
func (j *Compare) early(s compareState, now time.Time) bool {
	return now.Before(s.Next) && !now.Before(s.At.Add(-j.o.Interval))
}

// take ends the running block with these totals and begins the next.
func (j *Compare) take(s *compareState, c Check, stable, candidate Counts, stepped bool) {
	s.SourceErrors = 0
	s.Next = c.Until.Add(j.o.Interval)
	if s.Mark == nil {
		s.Gate = newGate(stable)
		s.Mark = &countsMark{At: c.Until, Stable: stable.from(c), Candidate: candidate.from(c)}
	}
	dStable, known := stable.After(s.Mark.Stable, s.Mark.At)
	dCandidate, also := candidate.After(s.Mark.Candidate, s.Mark.At)
	elapsed := c.Until.Sub(s.Mark.At)
	s.Mark = &countsMark{At: c.Until, Stable: stable, Candidate: candidate}
	switch lost := !known || !also; {
	case lost: // of another counter: what it counted meanwhile, nobody knows
	case elapsed > 0 && !j.warm(s, c):
		s.Gate.observe(&j.o, &dCandidate, &dStable)
		s.idle(dCandidate.Requests)
	}
	if stepped {
		s.Gate.step()
		s.Since, s.Idle = c.Since, 0
	}
	j.judge(s, c)
}

// warm reports whether the block that ends now holds requests of a candidate that
// is still warming up.
func (j *Compare) warm(s *compareState, c Check) bool {
	return j.o.Warmup > 0 && c.Until.Before(s.Since.Add(j.o.Warmup))
}

// judge says what the evidence so far comes to.
func (j *Compare) judge(s *compareState, c Check) {
	harm, safe := s.Gate.harm(), s.Gate.safe()
	switch {
	case harm >= -math.Log(j.o.Risk) && s.Gate.Raised >= 2:
		s.say(c, Fail, s.Gate.tell(harm)+"; it does harm")
	case s.Idle > j.o.IdleLimit:
		s.say(c, Inconclusive, fmt.Sprintf("no request has reached the candidate for %d blocks of %v", s.Idle, j.o.Interval))
	case s.Gate.StepN == 0:
		s.say(c, Pending, fmt.Sprintf("no block of this step is complete yet; a block takes %v", j.o.Interval))
	case safe >= -math.Log(j.o.SafeRisk):
		s.say(c, Safe, s.Gate.tell(harm)+"; it is safe within the margins")
	default:
		s.say(c, Pass, s.Gate.tell(harm))
	}
}

// failedToRead counts an error of the source. The block goes on, so that nothing is
// lost when the source comes back.
func (j *Compare) failedToRead(s *compareState, c Check, err error) {
	limit := j.o.ConsecutiveErrorLimit
	s.SourceErrors = min(s.SourceErrors+1, limit+1) // more are not told apart
	v := Pending
	if s.SourceErrors > limit {
		v = Inconclusive
	}
	s.say(c, v, fmt.Sprintf("the source could not be read (%d in a row, limit %d): %v", s.SourceErrors, limit, err))
	s.Next = c.Until.Add(min(j.o.Interval, retryAfter))
}
