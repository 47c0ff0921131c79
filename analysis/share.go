// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// ShareOptions shape a [Share].
type ShareOptions struct {
	// Weight is the share of the requests, from 0 to 1, that the candidate should be
	// getting at the step that c asks about: what the plan or the router says. It is
	// called when the source is read, must be safe for concurrent use, and must
	// be given. Requests that a match sends to the candidate whatever the weight do not
	// belong into the source's counts.
	Weight func(ctx context.Context, c Check) (float64, error)
	// Tolerance is by how much the share may be off, relative to it (to stable's,
	// above one half). 0 is 0.2: for 10%, 8% to 12%. Balancers that split
	// connections and not requests need more.
	Tolerance float64
	// Risk is the chance, in one step, of doubting a split that is as asked for. 0 is
	// 0.001.
	Risk float64
	// Pace is when the source is read.
	Pace Pace
}

// Share is a judge of the split itself: it says Inconclusive where the candidate gets
// another share of the requests than was asked for, since then neither the hold nor
// what other judges say is about the step that was planned. It never blames the candidate:
//
//   - Pending: no block of this step is complete yet.
//   - Pass: the share is as asked for, as far as can be told.
//   - Inconclusive: there is evidence, of 1 to Risk, that the share is another one, and
//     it is off by more than Tolerance; or there is nothing to judge by.
//
// The evidence begins with each step, and anew when the weight changes in it; asking often
// costs nothing (the test for a sample ratio mismatch of Lindon and Malek, 2022).
// A weight of 100% is taken for 99%: a few requests on old connections are no
// mismatch. A Share is safe for concurrent use and cannot be changed.
type Share struct {
	blocks
	o ShareOptions
}

var _ Judge = (*Share)(nil)

// NewShare is a Share of what src counts. The error names the field that is wrong.
func NewShare(src Source, o ShareOptions) (*Share, error) {
	if o.Tolerance == 0 {
		o.Tolerance = 0.2
	}
	if o.Risk == 0 {
		o.Risk = 0.001
	}
	p, err := o.Pace.filledField()
	switch {
	case src == nil:
		err = errors.New("it has no source")
	case o.Weight == nil:
		err = fmt.Errorf("%s: nil: without it there is nothing to compare with", "Weight")
	case err != nil:
	case !(o.Tolerance > 0 && o.Tolerance < 1):
		err = fmt.Errorf("Tolerance %v: want a number between 0 and 1", o.Tolerance)
	default:
		err = checkChance("Risk", o.Risk)
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: share: %w", err)
	}
	of := fingerprintOf("share", struct {
		tolerance, risk float64
		pace            Pace
	}{o.Tolerance, o.Risk, p})
	return &Share{blocks{source: src, pace: p, of: of}, o}, nil
}

// Judge answers c: see Share.
func (j *Share) Judge(ctx context.Context, c Check) (Finding, error) {
	b := j.blocks
	var want float64 // of this question alone
	b.source = SourceFunc(func(ctx context.Context, c Check) (stable, candidate Counts, err error) {
		if want, err = j.o.Weight(ctx, c); err != nil {
			return stable, candidate, fmt.Errorf("weight: %w", err)
		}
		if !(want >= 0 && want <= 1) {
			return stable, candidate, fmt.Errorf("weight %v: want a share between 0 and 1", want)
		}
		return j.source.Counts(ctx, c)
	})
	b.gather = func() gatherer { return &shareGate{o: &j.o, want: &want} }
	return b.Judge(ctx, c)
}

// concentration is how firmly shares near to the one asked for are expected, in
// requests.
const concentration = 20

// shareGate is what a Share has gathered in a step.
type shareGate struct {
	o    *ShareOptions
	want *float64
	// Want is the share asked for in the blocks that were counted.
	Want      float64 `json:"want"`
	Candidate float64 `json:"candidate,omitempty"`
	Stable    float64 `json:"stable,omitempty"`
}

var _ gatherer = (*shareGate)(nil)

func (g *shareGate) begin(*Counts) { g.Want = *g.want }

// step forgets: the block before holds requests of two splits.
func (g *shareGate) step() { g.Candidate, g.Stable, g.Want = 0, 0, *g.want }

func (g *shareGate) observe(candidate, stable *Counts) {
	if *g.want != g.Want {
		g.step() // and this block holds requests of both
		return
	}
	g.Candidate += float64(candidate.Requests)
	g.Stable += float64(stable.Requests)
}

// expected is the share that is wanted, as far as requests can be expected to keep to it.
func (g *shareGate) expected() float64 { return min(max(g.Want, 0.0001), 0.99) }

// evidence is how much speaks for another share: the mixture over all shares, with
// weights Beta around the one that is wanted, against that one.
func (g *shareGate) evidence() float64 {
	w := g.expected()
	a, b := concentration*w, concentration*(1-w)
	return logBeta(a+g.Candidate, b+g.Stable) - logBeta(a, b) - g.Candidate*math.Log(w) - g.Stable*math.Log1p(-w)
}

func (g *shareGate) realised() float64 { return g.Candidate / max(g.Candidate+g.Stable, 1) }

// off reports a share that is another one, by more than is tolerated.
func (g *shareGate) off() bool {
	w := g.expected()
	if g.Want > w && g.realised() > w {
		return false
	}
	return math.Abs(g.realised()-w) > g.o.Tolerance*min(w, 1-w) && g.evidence() >= -math.Log(g.o.Risk)
}

func (g *shareGate) judge() (Verdict, string) {
	said := fmt.Sprintf("asked for %s, candidate got %s of %s requests", percent(g.Want), percent(g.realised()), grouped(g.Candidate+g.Stable))
	if g.off() {
		return Inconclusive, said + ": the split is not the one that the step asked for"
	}
	return Pass, said
}

func (g *shareGate) tell(f *Finding) {
	n := g.Candidate + g.Stable
	f.Value, f.Baseline = g.realised(), g.Want
	f.N, f.BaselineN = uint64(g.Candidate), uint64(g.Stable)
	if n > 0 {
		f.Low, f.High = confidence(g.Candidate, n, g.o.Risk)
	}
}

func (g *shareGate) sound(v Verdict) error {
	switch {
	case !finite(g.Want, g.Candidate, g.Stable) || g.Candidate < 0 || g.Stable < 0 || g.Want < 0 || g.Want > 1:
		return errors.New("its counts are none")
	case v == Fail || v == Safe || v == Pass && g.off():
		return fmt.Errorf("its counts do not bear out its verdict %v", v)
	}
	return nil
}
