// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
)

// block is what both arms counted over the same time: requests, and how many of
// them were bad. A block is used once.
type block struct {
	candidate, stable tallied
}

// tallied is requests and how many of them were bad.
type tallied struct{ n, bad float64 }

// share is the share of bad ones, 0 of none.
func (t tallied) share() float64 { return t.bad / max(t.n, 1) }

// counted reports whether it can have been counted.
func (t tallied) counted() bool { return finite(t.n, t.bad) && t.bad >= 0 && t.bad <= t.n }

// Margin is how much worse than stable the candidate may be: its share of bad
// requests may be Ratio times stable's, and Abs on top. Ratio 1 and Abs 0.005 is
// half a percentage point; Ratio 0 forgets stable and leaves a fixed limit.
type Margin struct {
	Ratio float64 `json:"ratio"`
	Abs   float64 `json:"abs"`
}

// check reports a margin that compares nothing.
func (m Margin) check(name string) error {
	if !(m.Ratio > 0 && m.Ratio <= 100) || !(m.Abs >= 0 && m.Abs < 1) {
		return fmt.Errorf("%s %+v: want a Ratio above 0 and up to 100, and an Abs from 0 to below 1", name, m)
	}
	return nil
}

// of is the highest share that is not too bad beside stable's.
func (m Margin) of(stable float64) float64 { return m.Ratio*stable + m.Abs }

// direction is what evidence is gathered for.
type direction uint8

const (
	harm direction = iota // the candidate is worse than the margin
	safe                  // it is better than the margin
)

const (
	// floor keeps shares away from 0 and 1, where one request would be infinite
	// evidence.
	floor = 1e-7
	// forget is what a block leaves of the guess at stable's share.
	forget = 0.94
	// alternatives is how many answers to "how bad is it, if it is bad" are tried.
	alternatives = 7
	// kept is the part of the stake on harm that is held back at first, and handOut
	// what of the rest of it each block stakes anew. A candidate that was good for
	// long has lost all that was staked on its being bad; what is staked later
	// remembers none of that, so that a defect that comes late is found.
	kept, handOut = 0.2, 0.05
)

// excess places the alternatives of harm between the margin and everything bad,
// and slack those of safety between the margin and nothing bad. The last
// alternative of each is what the candidate has shown so far.
var (
	excess = [alternatives - 1]float64{0.002, 0.006, 0.02, 0.06, 0.2, 0.5}
	slack  = [alternatives - 1]float64{0, 0.15, 0.3, 0.45, 0.6, 0.8}
)

// eprocess gathers evidence, block by block, that the candidate's share of bad
// requests is on one side of a margin over stable's, whatever stable's is and
// however it drifts.
//
// For each alternative the likelihood ratio of a block is taken against the point
// on the margin that the alternative is hardest to tell from. For requests that are
// independent given the block, that ratio has an expectation of at most 1 as long
// as the candidate is on the other side (the convex case of Turner, Ly and
// Grünwald, "Generic E-variables for exact sequential k-sample tests", 2021), so
// the product over blocks, averaged over alternatives, crosses 1/α with a chance of
// at most α, ever (Ville): asking often costs nothing. Alternatives are fixed
// before the block is seen.
type eprocess struct {
	// Log is the logarithm of the product, for each alternative.
	Log [alternatives]float64 `json:"log"`
	// Stable is the guess at stable's share for the next block.
	Stable float64 `json:"stable"`
	// N and Bad are what the candidate has shown so far, for the last alternative.
	N   float64 `json:"n"`
	Bad float64 `json:"bad"`
	// Kept is the logarithm of what is left of what was held back, of harm only.
	Kept float64 `json:"kept,omitempty"`
	// Bursts is evidence by another model, of harm only, which this is held to.
	Bursts burstEvidence `json:"bursts,omitzero"`
}

// evidence is how many times more likely, in nats: the lesser of what is proven for
// independent requests and of what the model of bursts says, if it is asked.
func (e *eprocess) evidence() float64 {
	proven := e.mean(&e.Log)
	if !e.Bursts.On {
		return proven
	}
	by := e.mean(&e.Bursts.Log)
	if e.Bursts.Swings {
		by = min(by, e.mean(&e.Bursts.Swing))
	}
	return min(proven, by+headStart*e.Bursts.Room)
}

// mean is the logarithm of the mean over alternatives, and over when they were
// staked on.
func (e *eprocess) mean(log *[alternatives]float64) float64 {
	top := max(log[0], e.Kept)
	for _, l := range log[1:] {
		top = max(top, l)
	}
	sum := 0.0
	for _, l := range log {
		if l >= top-40 { // less adds nothing; the strongest is equal where 40 is nothing beside it
			sum += math.Exp(l - top)
		}
	}
	return top + math.Log(sum/alternatives*(1-kept)+kept*math.Exp(e.Kept-top))
}

// stake stakes a part of what was held back, the same on each alternative. What was
// held back neither gains nor loses, so that all of it together is still a mixture
// of products that each gain nothing on average.
func (e *eprocess) stake() {
	part := e.Kept + math.Log(kept*handOut/(1-kept))
	stakeOn(&e.Log, part)
	if e.Bursts.On {
		stakeOn(&e.Bursts.Log, part)
		if e.Bursts.Swings {
			stakeOn(&e.Bursts.Swing, part)
		}
	}
	e.Kept += math.Log1p(-handOut)
}

func stakeOn(log *[alternatives]float64, part float64) {
	for i, l := range log {
		if l < part+40 {
			log[i] = part + math.Log1p(math.Exp(l-part))
		}
	}
}

// temper divides what each arm's requests say, for arms whose bad requests come in
// bursts: evidence of safety, and of harm where there is no stable to compare with. It
// is also the dispersion that the model of bursts takes. 1 is for requests that are
// independent; more keeps the evidence valid (Jensen) and makes it weaker.
type temper struct {
	candidate, stable float64
	// swing is what the candidate's would be at least, were it not bursts that stable
	// showed but swings of an arm: for harm beside stable only.
	swing float64
}

var independent = temper{candidate: 1, stable: 1, swing: 1}

// add takes a block into account.
func (e *eprocess) add(d direction, m Margin, b block, t temper) {
	if b.candidate.n > 0 && (b.stable.n > 0 || m.Ratio == 0) {
		e.weigh(d, m, b, t)
	}
	if b.stable.n > 0 {
		e.guess(b.stable)
	}
	e.N += b.candidate.n
	e.Bad += b.candidate.bad
}

// guess moves the guess at stable's share, by less for a block that is too small to
// hold a bad request of the rare ones: a guess that had sunk to nothing over many
// such blocks would take the next bad request of stable for a wonder.
func (e *eprocess) guess(stable tallied) {
	step := (1 - forget) * min(1, 2*stable.n*max(e.Stable, 0.001))
	e.Stable += step * (stable.bad/stable.n - e.Stable)
}

func (e *eprocess) weigh(d direction, m Margin, b block, t temper) {
	stable := clamp(e.Stable)
	edge := m.of(stable)
	if edge <= floor || edge >= 1-floor {
		return // everything is within such a margin, or nothing
	}
	proven, bursty := t, d == harm && m.Ratio > 0 && (e.Bursts.On || t != independent)
	if bursty {
		proven = independent
		e.Bursts.begin(e.Log, t)
		e.Bursts.Room = min(1, max(0, edge/stable-1)/roomy)
	}
	if d == harm {
		e.stake()
	}
	for i := range e.Log {
		candidate, ok := e.alternative(d, i, edge)
		if !ok {
			continue
		}
		l := ratio(m, b, candidate, stable, proven)
		e.Log[i] += l
		switch {
		case bursty:
			e.Bursts.add(i, m, b, candidate, stable, t)
		case e.Bursts.On: // without stable there is nothing to tell bursts by but t
			e.Bursts.Log[i] += l
			if e.Bursts.Swings {
				e.Bursts.Swing[i] += l
			}
		}
	}
}

// alternative is the candidate's share that evidence is gathered for.
func (e *eprocess) alternative(d direction, i int, edge float64) (share float64, ok bool) {
	switch {
	case i == alternatives-1:
		// What it has shown, held back by one request at the edge.
		share = (e.Bad + edge) / (e.N + 1)
	case d == harm:
		share = edge + (1-edge)*excess[i]
	default:
		share = edge * slack[i]
	}
	share = clamp(share)
	if d == harm {
		return share, share > edge
	}
	return share, share < edge
}

// ratio is the logarithm of the likelihood ratio of the block: the alternative
// against the nearest point on the margin.
func ratio(m Margin, b block, candidate, stable float64, t temper) float64 {
	c0, s0 := m.Abs, stable
	if m.Ratio > 0 {
		s0 = m.nearest(b.candidate.n/t.candidate, b.stable.n/t.stable, candidate, stable)
		c0 = m.of(s0)
	}
	if c0 <= 0 || c0 >= 1 || s0 <= 0 || s0 >= 1 {
		return 0 // there one request would be infinite evidence
	}
	l := b.candidate.log(candidate, c0) / t.candidate
	if m.Ratio > 0 {
		l += b.stable.log(stable, s0) / t.stable
	}
	return l
}

// log is the logarithm of the likelihood ratio of p against q.
func (t tallied) log(p, q float64) float64 {
	return t.bad*math.Log(p/q) + (t.n-t.bad)*math.Log((1-p)/(1-q))
}

// nearest is stable's share at the point on the margin that is hardest to tell
// from the alternative: where n·KL(candidate‖margin) + s·KL(stable‖q) is least. The
// derivative, times what is positive, is a cubic that changes its sign once
// between stable's share and where the margin meets the candidate's.
func (m Margin) nearest(n, s, candidate, stable float64) float64 {
	low, high := stable, min((candidate-m.Abs)/m.Ratio, 1)
	if high < low {
		low, high = max(high, 0), low
	}
	for at := m.near(n, s, candidate, stable); high-low > 1e-10*min(high, 1-low); {
		if !(at > low && at < high) {
			at = (low + high) / 2
			if !(at > low && at < high) {
				return at // no number lies between
			}
		}
		h := m.of(at)
		f := n*m.Ratio*(h-candidate)*at*(1-at) + s*(at-stable)*h*(1-h)
		if f < 0 {
			low = at
		} else {
			high = at
		}
		rise := n*m.Ratio*(m.Ratio*at*(1-at)+(h-candidate)*(1-2*at)) + s*(h*(1-h)+(at-stable)*m.Ratio*(1-2*h))
		step := f / rise
		at -= step
		// Newton's steps square what is left.
		if math.Abs(step) < 1e-6*min(at, 1-at, 1-h) && at >= low && at <= high {
			return at
		}
	}
	return high
}

// near is about where nearest is: with shares of good requests as they are at stable's
// share, which is right where bad ones are rare, the cubic is a parabola.
func (m Margin) near(n, s, candidate, stable float64) float64 {
	n *= m.Ratio * (1 - stable)
	s *= 1 - m.of(stable)
	a, b, c := m.Ratio*(n+s), n*(m.Abs-candidate)+s*(m.Abs-m.Ratio*stable), s*stable*m.Abs
	root := math.Sqrt(b*b + 4*a*c)
	if b > 0 {
		return 2 * c / (b + root)
	}
	return (root - b) / (2 * a)
}

func clamp(p float64) float64 { return min(max(p, floor), 1-floor) }
