// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Events is what one arm has done so far: running totals that only rise until the
// counter starts over.
type Events struct {
	// Events is how often it happened: crashes, restarts, lines of the error log.
	Events uint64
	// Requests is how many requests the arm answered, which is what its share of
	// the traffic is read from. One request may bring several events, or none.
	Requests uint64
	// Since is when counting began, zero where that is not known.
	Since time.Time
}

// EventSource reads the totals of both arms, named in c, as of one moment. It must be
// safe for concurrent use, and return an error where it does not know, never zeros.
type EventSource func(ctx context.Context, c Check) (stable, candidate Events, err error)

// RatioOptions shape a [Ratio]. The zero RatioOptions are safe.
type RatioOptions struct {
	// Name is what is counted, in the plural, for reasons. "" is "events".
	Name string
	// Tolerance is how many times as often per request as to stable it may happen
	// to the candidate. 0 is 1.5.
	Tolerance float64
	// Risk is the chance, over a whole rollout, of failing a candidate that is
	// within the tolerance. 0 is 0.01.
	Risk float64
	// Pace is when the source is read.
	Pace Pace
}

// Ratio is a judge of things that happen beside requests and are no share of them:
// crashes, restarts, lines of an error log. Of the events of both arms the candidate
// should have no more than its share of their requests, times the tolerance; its
// verdicts are those of [Compare], without Safe: that hardly anything happens shows
// nothing.
//
// Whatever the load does and however often things happen, it happens to both arms
// alike, so given that an event happened only the split says to whom (Lindon and
// Malek, "Anytime-valid inference for multinomial count data", 2022). That holds for
// events that come on their own; of a crash that takes ten others with it,
// count the first. A candidate that happens to be hit by one such burst is not failed: it
// takes evidence in two blocks.
//
// Blocks in which one arm got no requests say nothing, so at 100% the verdict stays
// as it is. A Ratio is safe for concurrent use and cannot be changed.
type Ratio struct{ blocks }

var _ Judge = (*Ratio)(nil)

// NewRatio is a Ratio of what src counts. The error names the field that is wrong.
func NewRatio(src EventSource, o RatioOptions) (*Ratio, error) {
	if src == nil {
		return nil, errors.New("analysis: ratio: it has no source")
	}
	if o.Name == "" {
		o.Name = "events"
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1.5
	}
	if o.Risk == 0 {
		o.Risk = Default().Risk
	}
	p, err := o.Pace.filledField()
	switch {
	case err != nil:
	case !(o.Tolerance > 0 && o.Tolerance <= 1000):
		err = fmt.Errorf("Tolerance %v: want more than 0, up to 1000", o.Tolerance)
	default:
		err = checkChance("Risk", o.Risk)
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: ratio: %w", err)
	}
	counts := SourceFunc(func(ctx context.Context, c Check) (stable, candidate Counts, err error) {
		s, e, err := src(ctx, c)
		return s.counts(), e.counts(), err
	})
	return &Ratio{blocks{source: counts, pace: p, of: fingerprintOf("ratio", o), gather: func() gatherer { return &ratioGate{o: &o} }}}, nil
}

func (e Events) counts() Counts {
	return Counts{Requests: e.Requests, Errors: e.Events, Since: e.Since}
}

// times are how many times more than tolerated it may happen to a bad candidate.
var times = [...]float64{1.25, 1.5, 2, 3, 5, 10, 30, 100}

// ratioGate is what a Ratio has gathered.
type ratioGate struct {
	o *RatioOptions
	// Log is the logarithm of the evidence for each of times.
	Log [len(times)]float64 `json:"log"`
	// Candidate and Stable are requests and events.
	Candidate happened `json:"candidate"`
	Stable    happened `json:"stable"`
	// Raised counts the blocks that have raised the evidence.
	Raised int `json:"raised,omitempty"`
}

// happened is how many events there were in how many requests.
type happened struct {
	N      float64 `json:"n"`
	Events float64 `json:"events"`
}

func (h *happened) add(c *Counts) {
	h.N += float64(c.Requests)
	h.Events += float64(c.Errors)
}

func (h *happened) each() float64 { return h.Events / max(h.N, 1) }

var _ gatherer = (*ratioGate)(nil)

func (g *ratioGate) begin(*Counts) {}
func (g *ratioGate) step()         {}

func (g *ratioGate) observe(candidate, stable *Counts) {
	g.Candidate.add(candidate)
	g.Stable.add(stable)
	if candidate.Requests == 0 || stable.Requests == 0 {
		return
	}
	before := g.evidence()
	share := float64(candidate.Requests) / (float64(candidate.Requests) + float64(stable.Requests))
	g.weigh(float64(candidate.Errors), float64(stable.Errors), share)
	if g.evidence() > before+raise {
		g.Raised++
	}
}

// weigh takes events into account of which the candidate would have this share if it
// had its share of requests: given that one happened, it is the candidate's with
// probability share·r/(share·r+1-share), if it happens r times as often to it.
func (g *ratioGate) weigh(candidate, stable, share float64) {
	r0 := g.o.Tolerance
	for i, t := range times {
		least := share*r0 + 1 - share
		more := share*r0*t + 1 - share
		g.Log[i] += candidate*math.Log(t) + (candidate+stable)*math.Log(least/more)
	}
}

func (g *ratioGate) evidence() float64 { return logMean(g.Log[:], nil) }

func (g *ratioGate) failed() bool { return g.Raised >= 2 && g.evidence() >= -math.Log(g.o.Risk) }

func (g *ratioGate) judge() (Verdict, string) {
	said := fmt.Sprintf("candidate had %s %s in %s requests, stable %s in %s", grouped(g.Candidate.Events), g.o.Name, grouped(g.Candidate.N), grouped(g.Stable.Events), grouped(g.Stable.N))
	if s := g.Stable.each(); s > 0 && g.Candidate.N > 0 {
		said += fmt.Sprintf(", %s times as many per request (limit %s)", plainNumber(g.Candidate.each()/s), plainNumber(g.o.Tolerance))
	}
	said += ": " + odds(g.evidence())
	if g.failed() {
		return Fail, said + "; it does harm"
	}
	return Pass, said
}

func (g *ratioGate) tell(f *Finding) {
	f.Value, f.Baseline = g.Candidate.each(), g.Stable.each()
	f.N, f.BaselineN = uint64(g.Candidate.N), uint64(g.Stable.N)
	f.Evidence = g.evidence()
}

func (g *ratioGate) sound(v Verdict) error {
	switch {
	case !finite(g.Log[:]...) || !finite(g.Candidate.N, g.Candidate.Events, g.Stable.N, g.Stable.Events) || g.Raised < 0,
		min(g.Candidate.N, g.Candidate.Events, g.Stable.N, g.Stable.Events) < 0:
		return errors.New("its evidence is not a number")
	case v == Safe || g.failed() != (v == Fail):
		return fmt.Errorf("its evidence does not bear out its verdict %v", v)
	}
	return nil
}
