// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import "math"

// Where failures come in bursts, evidence for requests that are independent is too
// strong, and that divided by the dispersion too weak: four bursts of six failures
// each are four events, not twenty-four, but a dispersion of eleven leaves two of
// them. So harm is gathered twice beside stable: once as if requests were independent,
// and once by a model of bursts, and the lesser of both counts. What is lesser than an
// e-process keeps its bound, so that for independent requests the proof holds whatever
// the model says. The model itself is calibrated by simulation (internal/bench/judges)
// and proven by nothing.
//
// Halves of one size cannot tell bursts from arms that swing as a whole. To the model a
// candidate with few requests has most often no burst at all, so that where its arm only
// swings, the few failures of each block would be news in each block. So the model is
// asked twice: with the dispersion that bursts have at any number of requests, and with
// the least that swings leave.
const (
	// single is how many nats a block may give for any alternative by the model, a third
	// of what 1 in 100 takes, for how large the largest burst is no history tells; more
	// only if what it says divided by the dispersion is more, as in an outage.
	single = 1.5
	// counted is how many bad requests of a block are taken apart into bursts. Of more,
	// the sum of many bursts is near enough to a normal law, for which dividing by the
	// dispersion is right.
	counted = 50
	// roomy is how far the margin is above stable's share, as a part of it, where the
	// model gets its whole head start: there the candidate may fail half as often again.
	roomy = 0.5
)

// headStart is what the model is spared, in nats: what the mixture over alternatives
// costs, which the proven evidence has paid already. More was tried: with a factor of
// two on top, two good candidates in a hundred are failed in the worst world.
var headStart = math.Log(alternatives)

// burstEvidence is evidence of harm by the model of bursts.
type burstEvidence struct {
	// On says that it is gathered: once stable has been seen to fail in bursts.
	On bool `json:"on"`
	// Log is as that of the eprocess.
	Log [alternatives]float64 `json:"log"`
	// Swing is the same by the least dispersion that the candidate's requests can have,
	// from when that was first less, which Swings says.
	Swings bool                  `json:"swings,omitempty"`
	Swing  [alternatives]float64 `json:"swing,omitzero"`
	// Room is how much of its head start the model gets, from 0 to 1. Its null has no
	// margin on top of stable's share, so that what keeps a good candidate from it is
	// the proven evidence, and that does so where the margin leaves room. Where stable
	// fails so often that the margin is nothing beside it, there is no head start.
	Room float64 `json:"room"`
}

// begin gathers from what has been gathered so far on.
func (s *burstEvidence) begin(log [alternatives]float64, t temper) {
	if !s.On {
		s.On, s.Log = true, log
	}
	if !s.Swings && t.swing < t.candidate {
		s.Swings, s.Swing = true, s.Log
	}
}

// sound reports evidence that add may have left.
func (s *burstEvidence) sound() bool {
	return s.Room >= 0 && s.Room <= 1 && (s.On || *s == burstEvidence{}) && (s.Swings || s.Swing == [alternatives]float64{})
}

// add takes a block into account, for one alternative.
func (s *burstEvidence) add(i int, m Margin, b block, candidate, stable float64, t temper) {
	beside := Margin{Ratio: m.Ratio} // that the rest is exceeded is for the proven evidence to show
	s0 := beside.nearest(b.candidate.n/t.candidate, b.stable.n/t.stable, candidate, stable)
	c0 := beside.of(s0)
	if c0 <= 0 || c0 >= 1 || s0 <= 0 || s0 >= 1 {
		return
	}
	most, stables := single, b.stable.bursts(stable, s0, t.stable)
	l := b.candidate.bursts(candidate, c0, t.candidate) + stables
	by := l
	if s.Swings && t.swing < t.candidate {
		by = b.candidate.bursts(candidate, c0, t.swing) + stables
	}
	if max(l, by) > single {
		most = max(single, ratio(m, b, candidate, stable, t))
	}
	s.Log[i] += min(l, most)
	if s.Swings {
		s.Swing[i] += min(by, most)
	}
}

// bursts is the logarithm of the likelihood ratio of p against q for bad requests that
// come in bursts: as many as a Poisson law says, of sizes that are geometric, so that
// the variance is phi times the mean (the law of Pólya and Aeppli). The chance of x bad
// requests over that of one fewer is r with
//
//	x·r(x) = 2g(x-1) + λ(1-g) - g²(x-2)/r(x-1), r(1) = λ(1-g)
//
// where λ bursts are expected, and g is the chance that a burst goes on.
func (t tallied) bursts(p, q, phi float64) float64 {
	if phi <= 1 || t.bad > counted {
		return t.log(p, q) / phi
	}
	ends := 2 / (phi + 1)
	g := 1 - ends
	of, against := -t.n*ends*math.Log1p(-p), -t.n*ends*math.Log1p(-q)
	l := against - of
	of, against = of*ends, against*ends
	for x, r, s := 1.0, 1.0, 1.0; x <= t.bad; x++ {
		grown := g * g * max(x-2, 0)
		r = (2*g*(x-1) + of - grown/r) / x
		s = (2*g*(x-1) + against - grown/s) / x
		l += math.Log(r / s)
	}
	return l
}
