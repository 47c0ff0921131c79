// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"math/rand/v2"
	"testing"
)

// probability is that of x bad among n.
func probability(x, n int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(x + 1))
	c, _ := math.Lgamma(float64(n - x + 1))
	l := a - b - c
	if x > 0 {
		l += float64(x) * math.Log(p)
	}
	if x < n {
		l += float64(n-x) * math.Log1p(-p)
	}
	return math.Exp(l)
}

// expectation is that of one block's factor over all that can happen in it.
func expectation(d direction, m Margin, before eprocess, nC, nS int, pC, pS float64, t temper) (mean, worst float64) {
	var sum [alternatives]float64
	staked := before
	if edge := m.of(clamp(before.Stable)); d == harm && edge > floor && edge < 1-floor {
		staked.stake()
	}
	for xC := range nC + 1 {
		for xS := range nS + 1 {
			e := before
			e.add(d, m, block{tallied{float64(nC), float64(xC)}, tallied{float64(nS), float64(xS)}}, t)
			p := probability(xC, nC, pC) * probability(xS, nS, pS)
			mean += p * math.Exp(e.evidence()-before.evidence())
			for i := range sum {
				sum[i] += p * math.Exp(e.Log[i]-staked.Log[i])
			}
		}
	}
	for _, s := range sum {
		worst = max(worst, s)
	}
	return mean, max(worst, mean)
}

// TestABlockGainsNothingOnAverageUnlessTheCandidateIsBeyondTheMargin adds up all
// outcomes of a block, so it is a proof for these shares and no sample.
func TestABlockGainsNothingOnAverageUnlessTheCandidateIsBeyondTheMargin(t *testing.T) {
	t.Parallel()
	highest := 0.0
	for _, d := range []direction{harm, safe} {
		for _, m := range []Margin{{1, 0.0005}, {1, 0.005}, {1.05, 0.005}, {1.5, 0}, {2, 0.01}, {0, 0.01}, {0, 0.2}} {
			for _, n := range [][2]int{{1, 30}, {7, 23}, {20, 20}, {30, 3}} {
				for _, guess := range []eprocess{{Stable: 0.001}, {Stable: 0.2, N: 10, Bad: 4}, {Stable: 0, N: 100, Bad: 1}} {
					for _, tm := range []temper{independent, {3, 1.5, 3}} {
						for _, pS := range []float64{1e-9, 0.001, 0.05, 0.3, 0.7} {
							edge := m.of(pS)
							for _, share := range []float64{0, 0.5, 1, 1.5} {
								pC := edge * share
								if d == safe {
									pC = edge + (1-edge)*share/1.5
								}
								if pC > 1 || edge > 1 || d == harm && share > 1 {
									continue
								}
								pC = min(max(pC, 1e-12), 1-1e-12)
								_, worst := expectation(d, m, guess, n[0], n[1], pC, pS, tm)
								highest = max(highest, worst)
								if worst > 1+1e-6 {
									t.Fatalf("direction %d, margin %v, block %v, guess %+v, %v: at %v against %v a block gains %v on average",
										d, m, n, guess, tm, pC, pS, worst)
								}
							}
						}
					}
				}
			}
		}
	}
	if highest < 0.99 {
		t.Errorf("the highest expectation is %v, want nearly 1 somewhere: the evidence is weaker than it may be", highest)
	}
}

// TestTheNearestPointIsWhereTheSlopeIsNone looks for the change of sign by halving.
func TestTheNearestPointIsWhereTheSlopeIsNone(t *testing.T) {
	t.Parallel()
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	spread := func(low, high float64) float64 { return low * math.Pow(high/low, r.Float64()) }
	for range 20_000 {
		m := Margin{spread(0.1, 20), spread(1e-6, 0.9)}
		if r.IntN(4) == 0 {
			m.Abs = 0
		}
		n, s := spread(0.1, 1e9), spread(0.1, 1e9)
		stable, candidate := clamp(spread(1e-8, 1)), clamp(spread(1e-8, 1))
		if edge := m.of(stable); edge <= floor || edge >= 1-floor || edge == candidate {
			continue // as weigh and alternative do
		}
		low, high := stable, min((candidate-m.Abs)/m.Ratio, 1)
		if high < low {
			low, high = max(high, 0), low
		}
		bottom, top := low, high
		for range 200 {
			q := (low + high) / 2
			h := m.of(q)
			if n*m.Ratio*(h-candidate)*q*(1-q)+s*(q-stable)*h*(1-h) < 0 {
				low = q
			} else {
				high = q
			}
		}
		got := m.nearest(n, s, candidate, stable)
		if got < bottom || got > top || math.Abs(got-high) > 1e-9*min(high, 1-m.of(high))+4e-16 {
			t.Fatalf("%+v.nearest(%v, %v, %v, %v) = %v, want %v", m, n, s, candidate, stable, got, high)
		}
	}
}

// TestBeyondTheMarginABlockGains is the other side: evidence grows when it should.
func TestBeyondTheMarginABlockGains(t *testing.T) {
	t.Parallel()
	m := Margin{1, 0.0005}
	before := eprocess{Stable: 0.001}
	if mean, _ := expectation(harm, m, before, 30, 30, 0.5, 0.001, independent); mean < 80 {
		t.Errorf("half of thirty failing gains %v, want much more", mean)
	}
	if mean, _ := expectation(safe, Margin{1, 0.2}, before, 30, 30, 0.001, 0.001, independent); mean < 10 {
		t.Errorf("none of thirty failing gains %v for safety within 20%%, want more", mean)
	}
}

// TestFalseAlarmsKeepToTheirPrice lets the rate walk and the split change, and
// looks after every block for as long as a day of rollouts would.
func TestFalseAlarmsKeepToTheirPrice(t *testing.T) {
	t.Parallel()
	const seed, streams, alpha = 11, 3000, 0.05
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	crossed := 0
	for range streams {
		e := eprocess{Stable: 0.002}
		p := 0.02
		for range 120 {
			p = min(max(p*math.Exp(0.3*r.NormFloat64()), 0.0005), 0.3)
			m := Margin{1, 0}
			weight := r.Float64()
			b := block{drawn(r, int(200*weight), p), drawn(r, int(200*(1-weight)), p)}
			e.add(harm, m, b, independent)
			if e.evidence() >= -math.Log(alpha) {
				crossed++
				break
			}
		}
	}
	if rate, limit := float64(crossed)/streams, alpha+3*math.Sqrt(alpha/streams); rate > limit {
		t.Errorf("seed %d: %.4f of the streams crossed, want at most %v", seed, rate, alpha)
	}
}

// drawn is how many of n requests are bad.
func drawn(r *rand.Rand, n int, p float64) tallied {
	t := tallied{n: float64(n)}
	for range n {
		if r.Float64() < p {
			t.bad++
		}
	}
	return t
}

// TestStakingGainsAndLosesNothing: only counts make evidence.
func TestStakingGainsAndLosesNothing(t *testing.T) {
	t.Parallel()
	e := eprocess{Log: [alternatives]float64{-300, -5, 0, 1, -60, 2, -1}}
	before := e.evidence()
	for range 500 {
		e.stake()
		if got := e.evidence(); math.Abs(got-before) > 1e-9 {
			t.Fatalf("evidence %v became %v", before, got)
		}
	}
}

// TestTheStrongestEvidenceIsNeverLeftOut: beside a number so large, 40 less is the same.
func TestTheStrongestEvidenceIsNeverLeftOut(t *testing.T) {
	t.Parallel()
	for _, nats := range []float64{700, 1e9, 1e18, 1e300} {
		e := eprocess{Log: [alternatives]float64{nats, -5}, Kept: -300}
		if got := e.evidence(); !(got >= nats-5) {
			t.Errorf("%v nats for one alternative: evidence %v", nats, got)
		}
	}
}

// TestADefectThatComesLateIsFoundNearlyAsSoon is what holding back is for.
func TestADefectThatComesLateIsFoundNearlyAsSoon(t *testing.T) {
	t.Parallel()
	blocks := func(good int) (bad int) {
		e := eprocess{Stable: 0.001}
		for range good {
			e.add(harm, Margin{1, 0.0005}, block{tallied{2500, 2}, tallied{2500, 2}}, independent)
		}
		for ; e.evidence() < 5; bad++ {
			e.add(harm, Margin{1, 0.0005}, block{tallied{2500, 15}, tallied{2500, 2}}, independent)
		}
		return bad
	}
	if soon, late := blocks(0), blocks(60); late > soon+3 {
		t.Errorf("found after %d blocks at first, and after %d once 60 were good", soon, late)
	}
}

func TestABlockWithoutBothArmsIsNoEvidence(t *testing.T) {
	t.Parallel()
	full := tallied{100, 50}
	for _, b := range []block{{full, tallied{}}, {tallied{}, full}, {}} {
		e := eprocess{Stable: 0.01}
		e.add(harm, Margin{1, 0.001}, b, independent)
		if got := e.evidence(); got != 0 {
			t.Errorf("%+v: evidence %v, want none", b, got)
		}
	}
	e := eprocess{}
	if e.add(harm, Margin{0, 0.01}, block{candidate: full}, independent); e.evidence() < 10 {
		t.Errorf("a fixed limit needs no stable: %v", e.evidence())
	}
}

func TestMoreBadRequestsNeverLowerTheEvidenceOfHarm(t *testing.T) {
	t.Parallel()
	for _, m := range []Margin{{1, 0.0005}, {1.05, 0.005}, {0, 0.01}} {
		before := math.Inf(-1)
		safety := math.Inf(1)
		for bad := range 101 {
			h, s := eprocess{Stable: 0.01}, eprocess{Stable: 0.01}
			b := block{tallied{100, float64(bad)}, tallied{900, 9}}
			h.add(harm, m, b, independent)
			s.add(safe, m, b, independent)
			// The mixture may lose what its harmless alternatives say; its best may not.
			if got := h.evidence(); bad > 3 && got < before {
				t.Errorf("margin %v: %d bad of 100 is less evidence (%v) than one fewer (%v)", m, bad, got, before)
			} else {
				before = got
			}
			if got := s.evidence(); got > safety {
				t.Errorf("margin %v: %d bad of 100 is safer (%v) than one fewer (%v)", m, bad, got, safety)
			} else {
				safety = got
			}
		}
	}
}

func FuzzEvidenceIsANumber(f *testing.F) {
	f.Add(1.0, 0.0005, 100.0, 3.0, 900.0, 1.0, 0.001, 50.0, 2.0, 1.0)
	f.Add(3.0, 0.4, 1e12, 1e12, 1.0, 1.0, 1.0, 0.0, 0.0, 9.0)
	f.Add(0.043, 0.4, 1e12, 2.5e11, 4.0, 1.0, 1.0, 90.0, 70.0, 10.0)
	f.Add(1.0, 0.0005, 100.0, 50.0, 900.0, 49.0, 0.001, 50.0, 2.0, 9e8)
	f.Add(0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
	f.Fuzz(func(t *testing.T, ratio, abs, nC, xC, nS, xS, guess, n, bad, phi float64) {
		ok := func(v, limit float64) bool { return v >= 0 && v <= limit }
		if !ok(ratio, 10) || !ok(abs, 1) || !ok(nC, 1e15) || !ok(nS, 1e15) || !ok(xC, nC) || !ok(xS, nS) ||
			!ok(guess, 1) || !ok(n, 1e15) || !ok(bad, n) || !(phi >= 1 && phi < 1e9) {
			t.Skip()
		}
		for _, d := range []direction{harm, safe} {
			e := eprocess{Stable: guess, N: n, Bad: bad}
			for range 3 {
				e.add(d, Margin{ratio, abs}, block{tallied{nC, xC}, tallied{nS, xS}}, temper{phi, phi, phi})
			}
			if v := e.evidence(); math.IsNaN(v) || math.IsInf(v, 1) || math.IsNaN(e.Stable) {
				t.Errorf("direction %d: evidence %v after %+v", d, v, e)
			} else if v > e.mean(&e.Log) || !e.Bursts.sound() {
				t.Errorf("direction %d: evidence %v of %+v", d, v, e)
			}
		}
	})
}

func BenchmarkEvidence(b *testing.B) {
	for name, d := range map[string]direction{"harm": harm, "safe": safe} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			e := eprocess{Stable: 0.001}
			blk := block{tallied{100, 1}, tallied{9900, 10}}
			for b.Loop() {
				e.add(d, Margin{1, 0.0005}, blk, independent)
				e.evidence()
			}
		})
	}
}
