// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"math/rand/v2"
	"testing"
)

// hypergeometric is the weight of xC of x events being the candidate's, when each of
// nC and nS requests brings at most one, and an odds ratio of r.
func hypergeometric(xC, x, nC, nS int, r float64) float64 {
	if xC > nC || x-xC > nS {
		return 0
	}
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	return math.Exp(choose(nC, xC) + choose(nS, x-xC) + float64(xC)*math.Log(r))
}

// TestEventsGainNothingOnAverageWithinTheTolerance adds up all that can happen in a
// block, for events that come on their own (the candidate's are binomial) and for at
// most one a request (they are hypergeometric, which is less spread).
func TestEventsGainNothingOnAverageWithinTheTolerance(t *testing.T) {
	t.Parallel()
	highest := 0.0
	for _, tolerance := range []float64{1, 1.5, 3} {
		o := RatioOptions{Tolerance: tolerance}
		for _, n := range [][2]int{{1, 30}, {5, 50}, {20, 20}, {40, 5}} {
			for _, r := range []float64{tolerance, tolerance / 2, 0.1} {
				for x := 1; x <= 25; x++ {
					share := float64(n[0]) / float64(n[0]+n[1])
					p := share * r / (share*r + 1 - share)
					for name, chance := range map[string]func(int) float64{
						"binomial":       func(xC int) float64 { return probability(xC, x, p) },
						"hypergeometric": func(xC int) float64 { return hypergeometric(xC, x, n[0], n[1], r) },
					} {
						var sum [len(times)]float64
						total := 0.0
						for xC := range x + 1 {
							g := ratioGate{o: &o}
							g.weigh(float64(xC), float64(x-xC), share)
							c := chance(xC)
							total += c
							for i, l := range g.Log {
								sum[i] += c * math.Exp(l)
							}
						}
						for i, s := range sum {
							if s/total > 1+1e-6 {
								t.Fatalf("%s, tolerance %v, %d events in %v requests, %v times as often: alternative %v gains %v on average", name, tolerance, x, n, r, times[i], s/total)
							}
							highest = max(highest, s/total)
						}
					}
				}
			}
		}
	}
	if highest < 0.999 {
		t.Errorf("the highest expectation is %v, want nearly 1 somewhere: the evidence is weaker than it may be", highest)
	}
}

// TestFalseAlarmsOfEventsKeepToTheirPrice lets the rate of events walk by orders of
// magnitude, for both arms alike, and the split change with every block.
func TestFalseAlarmsOfEventsKeepToTheirPrice(t *testing.T) {
	t.Parallel()
	const seed, streams, alpha = 5, 3000, 0.05
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	o := RatioOptions{Tolerance: 1, Risk: alpha}
	failed := 0
	for range streams {
		g := ratioGate{o: &o}
		p := 0.01
		for range 60 {
			p = min(max(p*math.Exp(0.5*r.NormFloat64()), 0.0001), 0.2)
			weight := 0.05 + 0.9*r.Float64()
			c, s := drawn(r, int(300*weight), p), drawn(r, int(300*(1-weight)), p)
			g.observe(&Counts{Requests: uint64(c.n), Errors: uint64(c.bad)}, &Counts{Requests: uint64(s.n), Errors: uint64(s.bad)})
			if g.failed() {
				failed++
				break
			}
		}
	}
	if rate, limit := float64(failed)/streams, alpha+3*math.Sqrt(alpha/streams); rate > limit || failed == 0 {
		t.Errorf("seed %d: %.4f of the streams failed, want at most %v, and some", seed, rate, alpha)
	}
}
