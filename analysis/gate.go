// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"slices"
	"time"
)

const (
	// maxBounds is how many latency bounds are compared at most.
	maxBounds = 4
	// most is the part of stable's requests that may be above a bound for it to tell
	// anything: one that nearly all are above says little about a slower candidate.
	// Of the bounds that fewer than least are above, the first is enough.
	most, least = 0.6, 0.0003
	// raise is how much evidence, in nats, a block must add to count as raising it.
	raise = 0.1
	// enough is how many of stable's requests show which bounds tell.
	enough = 100
	// failing is what failures weigh beside latency.
	failing = 0.75
)

// choice is how far the choice of latency bounds has come.
type choice uint8

const (
	// chosen is the choice made at once, with or without any bounds.
	chosen choice = iota
	// open is the choice put off until stable shows enough: bounds picked blindly may
	// all miss where its requests lie. What latency weighs is kept for it meanwhile.
	open
	// vain is the choice put off, when then none of the bounds told anything. What was
	// kept stays unused: to give it to failures now would raise what they have shown.
	vain
)

// question is one share that is compared: of the requests that failed, or that
// took longer than a bound.
type question struct {
	// Above is the bound; 0 is for failures.
	Above time.Duration `json:"aboveNs,omitempty"`
	// Harm goes through the whole run, Safe begins anew with each step.
	Harm eprocess `json:"harm"`
	Safe eprocess `json:"safe"`
	// StableN and StableBad go with Harm's N and Bad: what stable has shown.
	StableN   float64 `json:"stableN,omitempty"`
	StableBad float64 `json:"stableBad,omitempty"`
	// Paired is how far two halves of stable differ, Alone how far stable strays from
	// its own mean, which is HalvesBad of HalvesN, and Past what it did lately.
	Paired    dispersion `json:"paired,omitzero"`
	Alone     dispersion `json:"alone,omitzero"`
	HalvesN   float64    `json:"halvesN,omitempty"`
	HalvesBad float64    `json:"halvesBad,omitempty"`
	Past      memory     `json:"past,omitzero"`
}

// gate is all that a Compare asks, and what it has gathered.
type gate struct {
	o         *CompareOptions
	Questions []question `json:"questions"`
	// Latency says whether Questions hold all the bounds that there will be.
	Latency choice `json:"latency,omitempty"`
	// Raised counts the blocks that have raised the evidence of harm.
	Raised int `json:"raised,omitempty"`
	// sum is what harm comes to, where it has been weighed since the last block, and
	// worst the question that adds most to it.
	weighed bool
	sum     float64
	worst   int
}

var (
	_ learner = (*gate)(nil)
	_ chooser = (*gate)(nil)
)

// begin asks for failures, and for latency where stable's counts show which
// bounds tell something.
func (g *gate) begin(stable *Counts) {
	g.Questions = []question{about(stable, 0)}
	above, known := telling(stable)
	if !known {
		g.Latency = open
		return
	}
	g.ask(stable, above)
}

// choose asks for latency where that was put off and stable shows enough by now. It
// comes after the blocks that show it, so that no block is judged by a bound that was
// chosen for it.
func (g *gate) choose(stable *Counts) {
	if g.Latency != open {
		return
	}
	above, known := telling(stable)
	switch {
	case !known:
	case len(above) == 0:
		g.Latency = vain
	default:
		g.Latency = chosen
		g.ask(stable, above)
	}
}

func (g *gate) ask(stable *Counts, above []time.Duration) {
	for _, bound := range above {
		g.Questions = append(g.Questions, about(stable, bound))
	}
}

// about is a question of a bound. Stable's own past is the first guess, held back by a
// request that is a thousandth bad. A guess may be wrong: it costs time, not validity.
func about(stable *Counts, above time.Duration) (q question) {
	t := of(stable, above)
	q.Above = above
	q.Harm.Stable = (t.bad + 0.001) / (t.n + 1)
	q.Safe.Stable = q.Harm.Stable
	return q
}

// telling are the bounds that say something about these requests, evenly spread
// over those that do, and whether that can be known: a source that counts requests
// and has no bounds counts no latency.
func telling(c *Counts) (list []time.Duration, known bool) {
	if len(c.Bounds) == 0 || len(c.Latency) != len(c.Bounds)+1 {
		return nil, c.Requests > 0
	}
	for _, bound := range c.Bounds {
		t := of(c, bound)
		if t.n < enough {
			return nil, false
		}
		if t.share() <= most {
			list = append(list, bound)
		}
		if t.share() < least {
			break
		}
	}
	if len(list) <= maxBounds {
		return list, true
	}
	spread := make([]time.Duration, maxBounds)
	for i := range spread {
		spread[i] = list[i*(len(list)-1)/(maxBounds-1)]
	}
	return slices.Compact(spread), true
}

// of counts the requests that failed, or that took longer than a bound of c's.
func of(c *Counts, above time.Duration) tallied {
	if above == 0 {
		return tallied{float64(c.Requests), float64(min(c.Errors, c.Requests))}
	}
	var t tallied
	at, _ := slices.BinarySearch(c.Bounds, above)
	for i, n := range c.Latency {
		t.n += float64(n)
		if i > at {
			t.bad += float64(n)
		}
	}
	return t
}

// step begins a step: what was shown to be safe at one weight may not be at another.
func (g *gate) step() {
	for i := range g.Questions {
		q := &g.Questions[i]
		q.Safe = eprocess{Stable: q.Harm.Stable}
	}
}

// observe takes a block into account.
func (g *gate) observe(candidate, stable *Counts) {
	if g.Latency == open && len(stable.Bounds) == 0 && stable.Requests > 0 && g.Questions[0].StableN == 0 {
		g.Latency = chosen // nothing is counted by latency, and nothing has been weighed yet
	}
	before := g.harm()
	g.weighed = false
	for i := range g.Questions {
		q := &g.Questions[i]
		t := &g.o.Errors
		if q.Above > 0 {
			t = &g.o.Latency
		}
		q.observe(t, block{of(candidate, q.Above), of(stable, q.Above)})
	}
	if g.harm() > before+raise {
		g.Raised++
	}
}

// observe takes a block into account for one question.
func (q *question) observe(t *Tolerance, b block) {
	if b.stable.n > 0 {
		phi := temper{
			candidate: q.Paired.factor(b.candidate.n), stable: q.Paired.factor(b.stable.n),
			swing: q.Paired.least(b.candidate.n, q.HalvesBad/max(q.HalvesN, 1)),
		}
		q.Harm.add(harm, t.Harm, b, phi)
		q.Safe.add(safe, t.Safe, b, phi)
		q.Past.add(b.stable.bad / b.stable.n)
		q.StableN += b.stable.n
		q.StableBad += b.stable.bad
		return
	}
	// Nothing to compare with: what stable did lately has to do, and every excuse
	// that a change of the hour gives counts.
	limit := max(t.Limit, t.Harm.of(above*q.Past.high()))
	phi := temper{candidate: max(q.Paired.factor(b.candidate.n), q.Alone.factor(b.candidate.n)), stable: 1}
	if q.StableN > 0 {
		q.Harm.add(harm, Margin{Abs: limit}, b, phi)
		q.Safe.add(safe, Margin{Abs: max(t.Limit, t.Safe.of(q.Past.high()))}, b, phi)
	}
}

// learn takes a block of two halves of stable into account.
func (g *gate) learn(a, b *Counts, before bool) {
	for i := range g.Questions {
		q := &g.Questions[i]
		x, y := of(a, q.Above), of(b, q.Above)
		q.Paired.between(x, y)
		both := tallied{x.n + y.n, x.bad + y.bad}
		if both.n <= 0 {
			continue
		}
		q.HalvesN += both.n
		q.HalvesBad += both.bad
		q.Alone.around(both, q.HalvesBad/q.HalvesN)
		if before {
			q.Past.add(both.bad / both.n)
			q.Harm.guess(both)
			q.Safe.Stable = q.Harm.Stable
		}
	}
}

// share is what a question weighs in the mean: failures most, the bounds the rest:
// latency has many requests to show itself by, failures few.
func (g *gate) share(i int) float64 {
	switch n := len(g.Questions); {
	case n == 1 && g.Latency == chosen:
		return 1
	case i == 0:
		return failing
	default:
		return (1 - failing) / float64(n-1)
	}
}

// harm is the logarithm of the mean over the questions of how many times more
// likely it is that the candidate does harm. A mean of e-values is one, whatever
// the questions have to do with each other.
func (g *gate) harm() float64 {
	if g.weighed {
		return g.sum
	}
	var logs, shares [maxBounds + 1]float64
	n, most := len(g.Questions), math.Inf(-1)
	for i := range n {
		logs[i], shares[i] = g.Questions[i].Harm.evidence(), g.share(i)
		if e := logs[i] + math.Log(shares[i]); e > most {
			g.worst, most = i, e
		}
	}
	if n == 1 && g.Latency != chosen {
		shares[1] = 1 - failing // kept for latency, at odds of 1 to 1
		n++
	}
	g.sum, g.weighed = logMean(logs[:n], shares[:n]), true
	return g.sum
}

// safe is the least evidence that any question has for safety: all must have it.
func (g *gate) safe() float64 {
	lowest := math.Inf(1)
	for i := range g.Questions {
		lowest = min(lowest, g.Questions[i].Safe.evidence())
	}
	return lowest
}

// judge says what the evidence so far comes to.
func (g *gate) judge() (Verdict, string) {
	switch {
	case g.failed():
		return Fail, g.sentence("; it does harm")
	case g.shownSafe():
		return Safe, g.sentence("; it is safe within the margins")
	case g.Questions[0].StableN == 0:
		return Inconclusive, g.sentence("; begin with a step in which stable takes traffic, or judge by a Limit")
	}
	if chance := g.chance(); chance < 1 {
		return Pending, g.sentence("; " + tooFew(chance, g.o.Worth))
	}
	if g.Latency == open {
		return Pass, g.sentence("; which latencies tell is not known yet")
	}
	return Pass, g.sentence("")
}

// shownSafe reports evidence of safety in every respect, once it is known which those are.
func (g *gate) shownSafe() bool {
	return g.Latency != open && g.safe() >= -math.Log(g.o.SafeRisk)
}

// failed reports evidence of harm that more than one block has given.
func (g *gate) failed() bool { return g.Raised >= 2 && g.harm() >= -math.Log(g.o.Risk) }
