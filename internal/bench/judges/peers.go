// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"slices"
)

// peer is a rule that compares a number of each of two metrics, errors and latency,
// with a limit, again and again, and counts how often it is above. All the peers are
// that; they differ in the number.
type peer struct {
	// every is how many ticks lie between two looks.
	every int
	// number is what is compared, of errors or of requests above a latency bound. ok
	// is false where there are no data.
	number func(ticks []tick, bad func(group) int) (v float64, ok bool)
	// limits are those of errors and of latency.
	limits [2]float64
	slow   func(group) int
	// strikes is how many looks above a limit are too many.
	strikes int
	// flagger is Flagger's way: a failed look holds the weight, having no data is one,
	// and what is too many is found out at the next look.
	flagger bool

	ticks  []tick
	failed int
	// holding says that the latest look failed, and holds the weight until the next.
	holding bool
	// highest are the numbers of errors that looks gave, for tuning.
	highest []float64
}

func failures(g group) int { return g.errors }
func slow250(g group) int  { return g.slower(over250) }
func slow500(g group) int  { return g.slower(over500) }

func (p *peer) begin([]tick) { p.ticks, p.failed, p.highest, p.holding = nil, 0, nil, false }
func (p *peer) step()        {}

func (p *peer) observe(t tick, _ bool) Verdict {
	if !t.lost {
		p.ticks = append(p.ticks, t)
	} else if n := len(p.ticks); n > 0 {
		// Counters only rise: what was not read now is read with the next.
		p.ticks = append(p.ticks, tick{weight: t.weight})
	}
	if len(p.ticks) == 0 || len(p.ticks)%p.every != 0 {
		return p.held()
	}
	if p.flagger && p.failed >= p.strikes {
		return Rollback
	}
	bad, none := p.look()
	p.holding = p.flagger && (bad || none)
	if bad || p.holding {
		p.failed++
	}
	if !p.flagger && p.failed >= p.strikes {
		return Rollback
	}
	return p.held()
}

func (p *peer) held() Verdict {
	if p.holding {
		return Hold
	}
	return Nothing
}

// look reports whether a number is above its limit, and whether there were no data.
func (p *peer) look() (bad, none bool) {
	v, ok := p.number(p.ticks, failures)
	if !ok {
		return false, true
	}
	p.highest = append(p.highest, v)
	if v > p.limits[0] {
		return true, false
	}
	if p.slow == nil {
		return false, false
	}
	v, ok = p.number(p.ticks, p.slow)
	return ok && v > p.limits[1], !ok
}

// worst is the least limit on errors at which the looks so far would not have been
// too many.
func (p *peer) worst() float64 {
	if len(p.highest) < p.strikes {
		return math.Inf(-1)
	}
	slices.Sort(p.highest)
	return p.highest[len(p.highest)-p.strikes]
}

// sums are the requests of both arms in ticks and how many of them were bad.
func sums(ticks []tick, bad func(group) int) (nC, xC, nS, xS float64) {
	for _, t := range ticks {
		s := t.stable()
		nC += float64(t.candidate.n)
		xC += float64(bad(t.candidate))
		nS += float64(s.n)
		xS += float64(bad(s))
	}
	return nC, xC, nS, xS
}

// share is the candidate's share of bad requests in a window of the latest ticks.
func share(window int) func([]tick, func(group) int) (float64, bool) {
	return func(ticks []tick, bad func(group) int) (float64, bool) {
		n, x, _, _ := sums(ticks[max(0, len(ticks)-window):], bad)
		return x / n, n > 0
	}
}

// burn is the lesser of the shares in a short and a long window.
func burn(short, long int) func([]tick, func(group) int) (float64, bool) {
	return func(ticks []tick, bad func(group) int) (float64, bool) {
		a, ok := share(short)(ticks, bad)
		b, _ := share(long)(ticks, bad)
		return min(a, b), ok
	}
}

// zScore is the pooled z of all ticks so far.
func zScore(ticks []tick, bad func(group) int) (float64, bool) {
	nC, xC, nS, xS := sums(ticks, bad)
	if nC == 0 || nS == 0 {
		return 0, false
	}
	p := (xC + xS) / (nC + nS)
	if p == 0 || p == 1 {
		return 0, true
	}
	return (xC/nC - xS/nS) / math.Sqrt(p*(1-p)*(1/nC+1/nS)), true
}

// msprt is the logarithm of the mixture sequential probability ratio of all ticks so
// far, with a normal mixture of sd 1 pp.
func msprt(ticks []tick, bad func(group) int) (float64, bool) {
	const tau2 = 0.01 * 0.01
	nC, xC, nS, xS := sums(ticks, bad)
	if nC == 0 || nS == 0 {
		return 0, false
	}
	// The variance is pooled: with one of its own each, a candidate with few requests
	// and many errors is taken for a noisy one, and an outage is found far later.
	p := (xC + xS) / (nC + nS)
	v := p * (1 - p) * (1/nC + 1/nS)
	d := xC/nC - xS/nS
	if v == 0 || d <= 0 {
		return 0, true
	}
	return 0.5*math.Log(v/(v+tau2)) + tau2*d*d/(2*v*(v+tau2)), true
}

// mannWhitney is Kayenta's measure of an increase: where the confidence interval of
// the shift between the ticks of both arms begins, in units of the shift itself. Its
// bounds are order statistics of the differences.
func mannWhitney(ticks []tick, bad func(group) int) (float64, bool) {
	const z = 2.326348 // of a two-sided 98%
	c, s := shares(ticks, bad)
	m, n := float64(len(c)), float64(len(s))
	if m == 0 {
		return 0, false
	}
	differences := make([]float64, 0, len(c)*len(s))
	sumC, sumS := 0.0, 0.0
	for i, x := range c {
		sumC += x
		sumS += s[i]
		for _, y := range s {
			differences = append(differences, x-y)
		}
	}
	slices.Sort(differences)
	at := math.Floor(m*n/2 - z*math.Sqrt(m*n*(m+n+1)/12))
	shift := math.Abs(differences[len(differences)/2])
	if at < 0 || sumC <= sumS || shift == 0 {
		return 0, true
	}
	return differences[int(at)] / shift, true
}

// shares are those of bad requests, tick by tick, of the ticks in which both arms have
// some.
func shares(ticks []tick, bad func(group) int) (candidate, stable []float64) {
	for _, t := range ticks {
		if s := t.stable(); t.candidate.n > 0 && s.n > 0 {
			candidate = append(candidate, float64(bad(t.candidate))/float64(t.candidate.n))
			stable = append(stable, float64(bad(s))/float64(s.n))
		}
	}
	return candidate, stable
}

// rankSum is the z of the rank-sum test of the latest minute's ticks, with the
// correction for ties.
func rankSum(ticks []tick, bad func(group) int) (float64, bool) {
	c, s := shares(ticks[max(0, len(ticks)-minute):], bad)
	if len(c) == 0 {
		return 0, false
	}
	all := slices.Sorted(slices.Values(slices.Concat(c, s)))
	ties := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	above := 0.0
	for _, x := range c {
		for _, y := range s {
			switch {
			case x > y:
				above++
			case x == y:
				above += 0.5
			}
		}
	}
	m, n := float64(len(c)), float64(len(s))
	variance := m * n / 12 * (m + n + 1 - ties/((m+n)*(m+n-1)))
	if variance <= 0 {
		return 0, true
	}
	return (above - m*n/2) / math.Sqrt(variance), true
}

// asymptotic is the difference of all ticks so far in half-widths of its asymptotic
// confidence sequence (Waudby-Smith and others, 2024), which is narrowest for 5,000
// requests.
func asymptotic(ticks []tick, bad func(group) int) (float64, bool) {
	const alpha, narrowest = 0.05, 5000
	nC, xC, nS, xS := sums(ticks, bad)
	if nC == 0 || nS == 0 {
		return 0, false
	}
	pC, pS, n := xC/nC, xS/nS, nC+nS
	v := n * (pC*(1-pC)/nC + pS*(1-pS)/nS)
	if v <= 0 || pC <= pS {
		return 0, true
	}
	a := -2 * math.Log(alpha)
	rho2 := (a + math.Log(a+1)) / narrowest
	spread := n*rho2 + 1
	return (pC - pS) / math.Sqrt(v*2*spread/(n*n*rho2)*math.Log(math.Sqrt(spread)/alpha)), true
}
