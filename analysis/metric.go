// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Sample is what one measurement of a metric gave. The zero Sample is no data.
type Sample struct {
	// Known says that Value was measured. Without it there is no data, whatever
	// Value is.
	Known bool
	// Value is the candidate's and Baseline stable's, in the metric's own unit.
	Value, Baseline float64
	// N and BaselineN count what the two rest on. Baseline means nothing where
	// BaselineN is 0.
	N, BaselineN uint64
}

// Metric is a number that a [Threshold] can be put on. [ErrorRate], [LatencyAbove]
// and [Value] make one; the zero Metric is refused.
//
// A measurement covers a window of time, and no two windows overlap: what was
// counted is used once.
type Metric struct {
	name string
	// share says that values lie between 0 and 1, and are shown in percent.
	share bool
	// did says what the bad requests did, for reasons.
	did string
	// above is the latency that was asked for.
	above time.Duration
	// Either source and tally are set, or value.
	source Source
	tally  func(Counts) (tally, error)
	value  func(ctx context.Context, c Check) (Sample, error)
	err    error
}

// ErrorRate is the share of the candidate's requests that failed, from 0 to 1.
func ErrorRate(src Source) Metric {
	m := Metric{name: "error rate", share: true, did: "failed", source: src}
	m.tally = func(c Counts) (tally, error) {
		return tally{N: c.Requests, Bad: c.Errors, Began: c.Since}, nil
	}
	if src == nil {
		m.err = errors.New("Metric: ErrorRate has no source")
	}
	return m
}

// LatencyAbove is the share of the candidate's requests that took longer than
// bound, from 0 to 1: at most 1% above 500ms is a 99th percentile of at most 500ms,
// without the error of reading a percentile from buckets.
//
// Where bound is not a bound of the source's buckets it is rounded down to the next
// one below, which never lets a slower candidate pass, and the reason names the one
// that was used. A source without a bound at or below it gives an error.
func LatencyAbove(src Source, bound time.Duration) Metric {
	m := Metric{name: "share above " + bound.String(), share: true, did: "took longer than", above: bound, source: src}
	m.tally = func(c Counts) (tally, error) { return slower(c, bound) }
	switch {
	case src == nil:
		m.err = errors.New("Metric: LatencyAbove has no source")
	case bound <= 0:
		m.err = fmt.Errorf("Metric: LatencyAbove bound %v: want more than 0", bound)
	}
	return m
}

// slower counts the requests above the highest bucket bound that is not above bound.
func slower(c Counts, bound time.Duration) (tally, error) {
	if c.unknown() {
		return tally{}, nil
	}
	if len(c.Latency) == 0 {
		return tally{}, errors.New("analysis: the source counts no latency")
	}
	if err := c.checkBuckets(); err != nil {
		return tally{}, fmt.Errorf("analysis: %w", err)
	}
	at, exact := slices.BinarySearch(c.Bounds, bound)
	if !exact {
		at--
	}
	if at < 0 {
		return tally{}, fmt.Errorf("analysis: no latency bucket ends at or below %v: choose a bound that the source counts", bound)
	}
	t := tally{Bound: c.Bounds[at], Began: c.Since}
	for i, n := range c.Latency {
		t.N += n
		if i > at {
			t.Bad += n
		}
	}
	return t, nil
}

// Value is a number of the user's own under a name for reasons. measure is given
// the check with Since and Until set to the window of this measurement and without
// a state; it returns a Sample that is Known, the zero Sample where there is no data,
// or an error where it cannot tell. It must be safe for concurrent use.
func Value(name string, measure func(ctx context.Context, c Check) (Sample, error)) Metric {
	m := Metric{name: name, value: measure}
	switch {
	case name == "":
		m.err = errors.New("Metric: Value has no name")
	case measure == nil:
		m.err = fmt.Errorf("Metric: Value %q has no function", name)
	}
	return m
}

// tally is what a metric needs of the Counts of one arm: all that has to be
// remembered between two readings.
type tally struct {
	N     uint64        `json:"n,omitempty"`
	Bad   uint64        `json:"bad,omitempty"`
	Began time.Time     `json:"began,omitzero"`
	Bound time.Duration `json:"boundNs,omitempty"`
}

// after is what was counted after prev, which was read at the moment given; false
// if that cannot be known. Counts.After says why.
func (t tally) after(prev tally, read time.Time) (tally, bool) {
	if prev != (tally{}) && t.Bound != prev.Bound {
		return tally{}, false
	}
	switch succession(prev.Began, t.Began, read, t.N < prev.N || t.Bad < prev.Bad) {
	case anotherCounter:
		return tally{}, false
	case wentOn:
		t.N -= prev.N
		t.Bad -= prev.Bad
	case startedOver:
	}
	// A source that counts while it is read may have seen a failure before its request.
	t.Bad = min(t.Bad, t.N)
	return t, true
}

func (t tally) share() float64 {
	if t.N == 0 {
		return 0
	}
	return float64(t.Bad) / float64(t.N)
}

// mark is where a window began: the totals then. A metric without counts needs
// only the moment.
type mark struct {
	At        time.Time `json:"at"`
	Stable    tally     `json:"stable,omitzero"`
	Candidate tally     `json:"candidate,omitzero"`
}

// reading is one look at a metric.
type reading struct {
	mark   mark
	sample Sample
	// bad is how many of sample.N were bad, and bound the latency that divided them.
	bad   uint64
	bound time.Duration
	// lost says that the window cannot be known: see Counts.After.
	lost bool
}

// look reads the metric for the window that began with from.
func (m Metric) look(ctx context.Context, c Check, from mark) (reading, error) {
	if m.value != nil {
		c.Since, c.State = from.At, ""
		sample, err := m.value(ctx, c)
		return reading{mark: mark{At: c.Until}, sample: sample}, err
	}
	now, err := m.now(ctx, c)
	if err != nil {
		return reading{}, err
	}
	r := reading{mark: now}
	candidate, known := now.Candidate.after(from.Candidate, from.At)
	stable, baseline := now.Stable.after(from.Stable, from.At)
	if !known {
		r.lost = true
		return r, nil
	}
	r.bad, r.bound = candidate.Bad, candidate.Bound
	r.sample = Sample{Known: candidate.N > 0, Value: candidate.share(), N: candidate.N}
	if baseline && stable.Bound == candidate.Bound {
		r.sample.Baseline, r.sample.BaselineN = stable.share(), stable.N
	}
	return r, nil
}

// begin is the mark of the first window. A user's number can look back to when the
// split was in force. Counts begin when they are first read, but for an arm whose
// counter began after the split was in force: it has counted nothing else, so that
// its window begins at 0.
func (m Metric) begin(ctx context.Context, c Check) (mark, error) {
	if m.value != nil {
		if c.Since.IsZero() || c.Since.After(c.Until) {
			return mark{At: c.Until}, nil
		}
		return mark{At: c.Since}, nil
	}
	now, err := m.now(ctx, c)
	if err != nil {
		return mark{}, err
	}
	for _, arm := range [...]*tally{&now.Stable, &now.Candidate} {
		if !arm.Began.IsZero() && !c.Since.IsZero() && !arm.Began.Before(c.Since) {
			*arm = tally{Began: arm.Began, Bound: arm.Bound}
		}
	}
	return now, nil
}

func (m Metric) now(ctx context.Context, c Check) (mark, error) {
	stable, candidate, err := m.source.Counts(ctx, c)
	if err != nil {
		return mark{}, err
	}
	at := mark{At: c.Until}
	if at.Stable, err = m.tally(stable); err != nil {
		return mark{}, fmt.Errorf("stable: %w", err)
	}
	if at.Candidate, err = m.tally(candidate); err != nil {
		return mark{}, fmt.Errorf("candidate: %w", err)
	}
	return at, nil
}

// finite reports whether the sample's numbers are numbers.
func (s Sample) finite() bool {
	return !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) && !math.IsNaN(s.Baseline) && !math.IsInf(s.Baseline, 0)
}
