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

// LimitOptions shape a [Limit]. The zero LimitOptions are safe: at most 1% of the
// requests may fail.
type LimitOptions struct {
	// Most is the share of the candidate's requests that may be bad. 0 is 0.01.
	Most float64
	// Above makes a request bad that takes longer: with 500ms, and Most 0.01, the 99th
	// percentile may be half a second. Where it is no bound of the source's buckets it
	// is rounded down to the next one. 0 makes those bad that failed.
	Above time.Duration
	// Beside is how much worse than stable the candidate must be besides, while stable
	// gets requests. Zero is that of [Default] for failures or for latency.
	Beside Margin
	// Risk is the chance, over a whole rollout, of failing a candidate that keeps to
	// the limit, or is no worse than stable. 0 is 0.01.
	Risk float64
	// SafeRisk is the chance, in one step, of calling a candidate Safe that breaks
	// the limit. 0 is 0.05.
	SafeRisk float64
	// Pace is when the source is read.
	Pace Pace
}

// Limit is a judge that holds the candidate's share of bad requests against a fixed
// limit, by evidence whose error is bounded, and blames it only for what it does itself:
//
//   - Pending: no block of this step is complete yet.
//   - Pass: nothing shows so far that the limit is broken.
//   - Safe: it has been shown, in this step, that the candidate keeps to the limit.
//   - Fail: there is evidence, of 1 to Risk and in two blocks at least, that the
//     candidate breaks the limit and is worse than stable beyond Beside. It stays so
//     for the rest of the run.
//   - Inconclusive: the limit is broken in this step, but by stable too, which is a
//     problem of the service; or it is not clear yet who does it; or there is nothing
//     to judge by.
//
// A limit alone does not know who is guilty: when everything a service rests on is slow,
// both arms break it. So for Fail, of the evidence against the limit and of that
// against stable the smaller counts, which is evidence against either excuse.
// In blocks without requests of stable, as at 100%, the limit acts alone, at 1.25 times
// the 90th percentile of stable's latest blocks where that is more. That is a rule of thumb: Risk
// holds as far as stable's past is an excuse and no more.
//
// How far stable's own failures come in bursts weakens the evidence of both arms. Apart
// from that the bound on errors rests on what that of [Compare] does.
//
// A Limit is safe for concurrent use and cannot be changed.
type Limit struct{ blocks }

var _ Judge = (*Limit)(nil)

// NewLimit is a Limit of what src counts. The error names the field that is wrong.
func NewLimit(src Source, o LimitOptions) (*Limit, error) {
	d := Default()
	if o.Most == 0 {
		o.Most = 0.01
	}
	if o.Risk == 0 {
		o.Risk = d.Risk
	}
	if o.SafeRisk == 0 {
		o.SafeRisk = d.SafeRisk
	}
	if o.Beside == (Margin{}) {
		o.Beside = d.Errors.Harm
		if o.Above > 0 {
			o.Beside = d.Latency.Harm
		}
	}
	p, err := o.Pace.filledField()
	if err = errors.Join(err, checkChance("Risk", o.Risk), checkChance("SafeRisk", o.SafeRisk)); err == nil {
		err = o.check()
	}
	if src == nil {
		err = errors.New("it has no source")
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: limit: %w", err)
	}
	of := fingerprintOf("limit", o)
	if o.Above > 0 {
		src = slowerThan(src, o.Above)
	}
	return &Limit{blocks{source: src, pace: p, of: of, gather: func() gatherer { return &limitGate{o: &o} }}}, nil
}

func (o LimitOptions) check() error {
	switch {
	case !(o.Most > 0 && o.Most < 1):
		return fmt.Errorf("%s %v: want a share between 0 and 1; 1%% is 0.01", "Most", o.Most)
	case o.Above < 0:
		return fmt.Errorf("%s %v: want 0 for failures, or more", "Above", o.Above)
	}
	return o.Beside.check("Beside")
}

// slowerThan counts the requests that took longer than a bound as those that failed.
func slowerThan(src Source, bound time.Duration) Source {
	one := func(c Counts) (Counts, error) {
		t, err := slower(c, bound)
		if err != nil || c.unknown() {
			return Counts{}, err
		}
		// The bound goes along, so that other buckets are noticed.
		return Counts{
			Requests: t.N, Errors: t.Bad, Since: t.Began,
			Bounds: []time.Duration{t.Bound}, Latency: []uint64{t.N - t.Bad, t.Bad},
		}, nil
	}
	return SourceFunc(func(ctx context.Context, c Check) (stable, candidate Counts, err error) {
		if stable, candidate, err = src.Counts(ctx, c); err != nil {
			return Counts{}, Counts{}, err
		}
		if stable, err = one(stable); err != nil {
			return Counts{}, Counts{}, fmt.Errorf("stable: %w", err)
		}
		if candidate, err = one(candidate); err != nil {
			return Counts{}, Counts{}, fmt.Errorf("candidate: %w", err)
		}
		return stable, candidate, nil
	})
}

// limitGate is what a Limit has gathered.
type limitGate struct {
	o *LimitOptions
	// Breaks is the evidence, of the whole run, that the candidate breaks the limit,
	// and Beside that it is worse than stable.
	Breaks eprocess `json:"breaks"`
	Beside eprocess `json:"beside"`
	// Now and Service are the evidence, of this step, that the candidate and that
	// stable break the limit; Safe that the candidate does not.
	Now     eprocess `json:"now"`
	Service eprocess `json:"service"`
	Safe    eprocess `json:"safe"`
	// StableN and StableBad are what stable has shown, Past its latest blocks, Alone
	// how far they stray.
	StableN   float64    `json:"stableN,omitempty"`
	StableBad float64    `json:"stableBad,omitempty"`
	Past      memory     `json:"past,omitzero"`
	Alone     dispersion `json:"alone,omitzero"`
	// Raised counts the blocks that have raised the evidence.
	Raised int `json:"raised,omitempty"`
}

var _ gatherer = (*limitGate)(nil)

func (g *limitGate) begin(stable *Counts) {
	t := of(stable, 0)
	g.Beside.Stable = (t.bad + 0.001) / (t.n + 1)
}

func (g *limitGate) step() { g.Now, g.Service, g.Safe = eprocess{}, eprocess{}, eprocess{} }

func (g *limitGate) observe(candidate, stable *Counts) {
	b := block{of(candidate, 0), of(stable, 0)}
	phi := temper{
		candidate: g.Alone.factor(b.candidate.n), stable: g.Alone.factor(b.stable.n),
		swing: g.Alone.least(b.candidate.n, g.Beside.Stable),
	}
	limit := Margin{Abs: g.o.Most}
	before := g.evidence()
	g.Safe.add(safe, limit, b, phi)
	if b.stable.n > 0 {
		g.Alone.around(b.stable, g.Beside.Stable)
		g.Beside.add(harm, g.o.Beside, b, phi)
		g.Service.add(harm, limit, block{candidate: b.stable}, temper{candidate: phi.stable, stable: 1})
		g.Past.add(b.stable.share())
		g.StableN += b.stable.n
		g.StableBad += b.stable.bad
	} else {
		limit.Abs = max(limit.Abs, above*g.Past.high())
		g.Beside.add(harm, limit, b, phi)
	}
	g.Breaks.add(harm, limit, b, phi)
	g.Now.add(harm, limit, b, phi)
	if g.evidence() > before+raise {
		g.Raised++
	}
}

// evidence is how much speaks against either excuse: that the limit is kept to, and
// that stable is as bad.
func (g *limitGate) evidence() float64 { return min(g.Breaks.evidence(), g.Beside.evidence()) }

func (g *limitGate) failed() bool { return g.Raised >= 2 && g.evidence() >= -math.Log(g.o.Risk) }

func (g *limitGate) judge() (Verdict, string) {
	did := "fails"
	if g.o.Above > 0 {
		did = "takes longer than " + g.o.Above.String() + " for"
	}
	bad, n := g.Breaks.Bad, g.Breaks.N
	said := fmt.Sprintf("candidate %s %s of %s requests, limit %s", did, percent(bad/max(n, 1)), grouped(n), percent(g.o.Most))
	if g.StableN > 0 {
		said += fmt.Sprintf(", stable %s of %s", percent(g.StableBad/g.StableN), grouped(g.StableN))
	}
	said += ": "
	proof := -math.Log(g.o.Risk)
	switch {
	case g.failed():
		return Fail, said + odds(g.evidence()) + "; it breaks the limit, and stable does not do the same"
	case g.Now.evidence() >= proof && g.Service.evidence() >= proof:
		return Inconclusive, said + "both arms break the limit in this step: a problem of the service, and not of the candidate alone"
	case g.Now.evidence() >= proof:
		return Inconclusive, said + "it breaks the limit in this step, and whether stable does the same is not clear yet"
	case g.Safe.evidence() >= -math.Log(g.o.SafeRisk):
		return Safe, said + "it keeps to the limit"
	}
	return Pass, said + odds(g.evidence())
}

func (g *limitGate) tell(f *Finding) {
	f.N, f.BaselineN = uint64(g.Breaks.N), uint64(g.StableN)
	f.Baseline = g.StableBad / max(g.StableN, 1)
	f.Evidence = g.evidence()
	if g.Breaks.N > 0 {
		f.Value = g.Breaks.Bad / g.Breaks.N
		f.Low, f.High = confidence(g.Breaks.Bad, g.Breaks.N, g.o.SafeRisk)
	}
}

func (g *limitGate) sound(v Verdict) error {
	for _, e := range [...]*eprocess{&g.Breaks, &g.Beside, &g.Now, &g.Service, &g.Safe} {
		if !(tallied{e.N, e.Bad}).counted() || !(e.Stable >= 0 && e.Stable <= 1 && e.Kept <= 0) || math.IsNaN(e.evidence()) {
			return errors.New("its evidence is not a number")
		}
	}
	if !(tallied{g.StableN, g.StableBad}).counted() || !g.Past.sound() || !g.Alone.sound() || g.Raised < 0 {
		return errors.New("what it knows of stable is none")
	}
	if said, _ := g.judge(); g.failed() != (v == Fail) || (v == Pass || v == Safe) && v != said {
		return fmt.Errorf("its evidence does not bear out its verdict %v", v)
	}
	return nil
}
