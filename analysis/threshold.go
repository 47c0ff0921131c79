// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// NoData says what a measurement means that found nothing new in a whole interval.
type NoData uint8

const (
	// NoDataInconclusive counts it towards InconclusiveLimit.
	NoDataInconclusive NoData = iota
	// NoDataFail counts it as a failure. A service that is idle then fails too.
	NoDataFail
	// NoDataPending waits: the measurement goes on until there is data.
	NoDataPending
)

// String is the policy in lower case.
func (n NoData) String() string {
	switch n {
	case NoDataInconclusive:
		return "inconclusive"
	case NoDataFail:
		return "fail"
	case NoDataPending:
		return "pending"
	default:
		return fmt.Sprintf("nodata(%d)", uint8(n))
	}
}

const (
	defaultInterval   = time.Minute
	defaultErrorLimit = 4
	// retryAfter is how soon a source that failed is asked again, where the
	// interval is not shorter.
	retryAfter = 10 * time.Second
	// maxLimit bounds the limits, and with them the numbers in a state.
	maxLimit = 1_000_000
)

// ThresholdOptions may be left zero.
type ThresholdOptions struct {
	// Interval is how long a measurement takes. 0 is one minute. With a source
	// that is scraped, it should be at least two scrapes long.
	Interval time.Duration
	// MinRequests is the fewest samples (Sample.N, requests of the candidate) that a
	// measurement may rest on. One that has fewer goes on for another interval.
	// With 0, any that are there will do: then one failed request out of three is a
	// rate of 33%, so give a number for small weights.
	MinRequests uint64
	// FailureLimit is how many failed measurements of a step are tolerated. With 0
	// the first one fails the candidate.
	FailureLimit int
	// InconclusiveLimit is how many measurements in a row may come to nothing, for
	// want of data or because the metric was not a number, before the verdict is
	// Inconclusive.
	InconclusiveLimit int
	// ConsecutiveErrorLimit is how many errors of the source in a row are tolerated
	// before the verdict is Inconclusive. 0 is four; negative is none. A source
	// that failed is asked again after 10 seconds, or Interval if that is shorter.
	ConsecutiveErrorLimit int
	// NoData says what it means when nothing new was counted in an interval.
	NoData NoData
}

// Threshold is a judge that holds one metric of the candidate against fixed bounds,
// one measurement after the other. Its verdicts:
//
//   - Pending: no measurement of this step is finished; or the last one was bad or
//     came to nothing, within the limits; or the source failed, within the limit.
//   - Pass: the last measurement kept to the bounds.
//   - Fail: more measurements of this step were bad than FailureLimit. It stays so
//     until the step changes.
//   - Inconclusive: more measurements in a row came to nothing than
//     InconclusiveLimit, or the source failed more often in a row than
//     ConsecutiveErrorLimit. It ends with the next measurement that finds data.
//
// It never says Safe: a value on the right side of a limit proves nothing about
// harm. And it does not know who is guilty: where stable breaks the limit too, a
// threshold blames the candidate for it.
//
// A measurement begins where the one before ended, so no request is counted twice;
// the first one begins when a step is first asked about. A question before its end
// gets the last verdict and changes no state. One that comes late ends a window
// that is longer than Interval.
//
// A source's error is not an error of Judge but part of the finding, since it must be
// counted; Judge returns an error only when its context has ended or its state
// cannot be written. What a Threshold remembers is for one run and one step (one
// Check.Since), about 600 bytes. A state that it did not write, or wrote with another
// metric, other bounds or other options, is not used: the step is measured anew,
// and the reason says so.
//
// A Threshold is safe for concurrent use and cannot be changed.
type Threshold struct {
	metric Metric
	bounds Bounds
	o      ThresholdOptions
	of     string
}

var _ Judge = (*Threshold)(nil)

// NewThreshold is a Threshold. The error names the field that is wrong.
func NewThreshold(m Metric, b Bounds, o ThresholdOptions) (*Threshold, error) {
	if m.err != nil {
		return nil, fmt.Errorf("analysis: threshold: %w", m.err)
	}
	if m.name == "" {
		return nil, errors.New("analysis: threshold: Metric: none given: use ErrorRate, LatencyAbove or Value")
	}
	if err := b.check(m.share); err != nil {
		return nil, fmt.Errorf("analysis: threshold: %w", err)
	}
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("analysis: threshold: %w", err)
	}
	of := fingerprintOf("threshold", []any{m.name, m.share, b.hasLow, b.low, b.hasHigh, b.high, o})
	return &Threshold{metric: m, bounds: b, o: o, of: of}, nil
}

// filled is o with its defaults. The error names the field that is wrong.
func (o ThresholdOptions) filled() (ThresholdOptions, error) {
	o.Interval = cmp.Or(o.Interval, defaultInterval)
	o.ConsecutiveErrorLimit = errorLimit(o.ConsecutiveErrorLimit)
	if o.Interval < 0 {
		return o, fmt.Errorf("%s %v: want 0 for one minute, or more", "Interval", o.Interval)
	}
	for _, l := range [...]struct {
		name  string
		value int
	}{
		{"FailureLimit", o.FailureLimit},
		{"InconclusiveLimit", o.InconclusiveLimit},
		{"ConsecutiveErrorLimit", o.ConsecutiveErrorLimit},
	} {
		if l.value < 0 || l.value > maxLimit {
			return o, fmt.Errorf("%s %d: want 0 to %d", l.name, l.value, maxLimit)
		}
	}
	if o.NoData > NoDataPending {
		return o, fmt.Errorf("%s %v: want one of NoDataInconclusive, NoDataFail, NoDataPending", "NoData", o.NoData)
	}
	return o, nil
}

// Judge answers c: see Threshold.
func (t *Threshold) Judge(ctx context.Context, c Check) (Finding, error) {
	if err := ended(ctx); err != nil {
		return Finding{}, err
	}
	s, unusable := t.recall(c)
	if s.given() && (s.Verdict == Fail || s.early(c.Until, t.o.Interval)) {
		return s.finding(c), nil
	}
	if err := t.measure(ctx, c, &s); err != nil {
		return Finding{}, err
	}
	if unusable != nil {
		s.Reason = sentence(fmt.Sprintf("what was remembered of this check cannot be used (%v), measuring anew; %s", unusable, s.Reason))
	}
	state, err := remember(s)
	if err != nil {
		return Finding{}, err
	}
	c.State = state
	return s.finding(c), nil
}

// measure reads the metric and takes the result into s. Its error is that the
// context has ended.
func (t *Threshold) measure(ctx context.Context, c Check, s *thresholdState) error {
	if s.Mark == nil || c.Until.Before(s.At) {
		began, err := t.metric.begin(ctx, c)
		if err != nil {
			return t.failedToRead(ctx, s, c, err)
		}
		s.Mark, s.Unfinished, s.Nothing, s.SourceErrors = &began, 0, 0, 0
		if end := began.At.Add(t.o.Interval); c.Until.Before(end) {
			s.say(c, Pending, Sample{}, fmt.Sprintf("nothing is measured yet; a measurement takes %v", t.o.Interval))
			s.Next = end
			return nil
		}
	}
	r, err := t.metric.look(ctx, c, *s.Mark)
	if err != nil {
		return t.failedToRead(ctx, s, c, err)
	}
	s.SourceErrors = 0
	t.take(s, c, r)
	s.Next = c.Until.Add(t.o.Interval)
	return nil
}

// failedToRead counts an error of the source. The window goes on, so that nothing
// is lost when the source comes back.
func (t *Threshold) failedToRead(ctx context.Context, s *thresholdState, c Check, err error) error {
	if gone := ended(ctx); gone != nil {
		return gone // the caller's doing, not the source's
	}
	limit := t.o.ConsecutiveErrorLimit
	s.SourceErrors = min(s.SourceErrors+1, limit+1) // more are not told apart
	v := Pending
	if s.SourceErrors > limit || s.Nothing > t.o.InconclusiveLimit {
		v = Inconclusive
	}
	s.say(c, v, Sample{}, fmt.Sprintf("the %s could not be read (%d in a row, limit %d): %v", t.metric.name, s.SourceErrors, limit, err))
	s.Next = c.Until.Add(min(t.o.Interval, retryAfter))
	return nil
}

// take judges what the window gave.
func (t *Threshold) take(s *thresholdState, c Check, r reading) {
	sample := r.sample
	enough := sample.Known && sample.N >= t.o.MinRequests
	switch {
	case r.lost:
		t.nothing(s, c, "the counts are not those of the counter that was read before, so the measurement begins anew")
	case sample.Known && !sample.finite():
		t.nothing(s, c, fmt.Sprintf("the %s was not a number", t.metric.name))
	case !enough && sample.Known && sample.N != s.Unfinished:
		s.Unfinished, s.Nothing = sample.N, 0
		s.say(c, Pending, sample, fmt.Sprintf("the measurement goes on: it rests on %d of the %d requests that it needs", sample.N, t.o.MinRequests))
		return
	case !enough:
		t.noData(s, c, sample)
		return
	case t.bounds.Keeps(sample.Value):
		s.Nothing = 0
		s.say(c, Pass, sample, t.describe(r)+t.failures(s))
	default:
		t.failed(s, c, sample, t.describe(r))
	}
	s.Mark, s.Unfinished = &r.mark, 0
}

// noData follows the policy. The window goes on: what it has is not lost.
func (t *Threshold) noData(s *thresholdState, c Check, sample Sample) {
	what := fmt.Sprintf("nothing was measured of the candidate since %v", s.Mark.At.UTC().Format(time.RFC3339))
	if s.Unfinished > 0 {
		what = fmt.Sprintf("the measurement rests on %d of the %d requests that it needs, and no more came", sample.N, t.o.MinRequests)
	}
	switch t.o.NoData {
	case NoDataFail:
		t.failed(s, c, Sample{}, what)
	case NoDataPending:
		s.Nothing = 0
		s.say(c, Pending, Sample{}, what)
	case NoDataInconclusive:
		t.nothing(s, c, what)
	}
}

// nothing counts a measurement that came to nothing.
func (t *Threshold) nothing(s *thresholdState, c Check, why string) {
	s.Nothing = min(s.Nothing+1, t.o.InconclusiveLimit+1) // more are not told apart
	v := Pending
	if s.Nothing > t.o.InconclusiveLimit {
		v = Inconclusive
	}
	s.say(c, v, Sample{}, why)
}

// failed counts a bad measurement.
func (t *Threshold) failed(s *thresholdState, c Check, sample Sample, why string) {
	s.Failed++
	s.Nothing = 0
	v := Pending
	if s.Failed > t.o.FailureLimit {
		v = Fail
	}
	s.say(c, v, sample, why+t.failures(s))
}
