// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"testing"
)

func TestDrawsHaveTheMeanAndSpreadOfTheirLaw(t *testing.T) {
	t.Parallel()
	const times = 20_000
	moments := func(draw func() int) (mean, variance float64) {
		var sum, square float64
		for range times {
			v := float64(draw())
			sum += v
			square += v * v
		}
		mean = sum / times
		return mean, square/times - mean*mean
	}
	r := seeded(1, 2)
	for _, c := range []struct {
		n int
		p float64
	}{{5, 0.3}, {50, 0.001}, {500, 0.05}, {50_000, 0.01}, {50_000, 0.9}} {
		mean, variance := moments(func() int { return r.binomial(c.n, c.p) })
		want, spread := float64(c.n)*c.p, float64(c.n)*c.p*(1-c.p)
		if math.Abs(mean-want) > 5*math.Sqrt(spread/times) || math.Abs(variance/spread-1) > 0.15 {
			t.Errorf("binomial %+v: mean %v, variance %v, want %v and %v", c, mean, variance, want, spread)
		}
	}
	for _, want := range []float64{0.5, 20, 400, 50_000} {
		mean, variance := moments(func() int { return r.poisson(want) })
		if math.Abs(mean-want) > 5*math.Sqrt(want/times) || math.Abs(variance/want-1) > 0.1 {
			t.Errorf("poisson %v: mean %v, variance %v", want, mean, variance)
		}
	}
}

func TestTheSameSeedGivesTheSameTables(t *testing.T) {
	t.Parallel()
	p := Plan{Seed: 3, Runs: 2, Workers: 1, Worlds: []string{"clumps", "gaps"}, Rules: []string{"argo-fl0", "compare"}}
	one, err := p.Run()
	if err != nil {
		t.Fatal(err)
	}
	p.Workers = 3
	two, err := p.Run()
	if err != nil || one.Markdown() != two.Markdown() || one.Charts()["gaps"] != two.Charts()["gaps"] {
		t.Errorf("two runs differ (%v)", err)
	}
	p.Rules = []string{"nobody"}
	if _, err := p.Run(); err == nil {
		t.Error("a rule that does not exist was simulated")
	}
}

// TestTheHeadlineHolds is the promise in small: fixed seeds, so it cannot flicker.
func TestTheHeadlineHolds(t *testing.T) {
	t.Parallel()
	const runs = 20
	ours := named("compare")
	for _, w := range []string{"iid", "shocks", "clumps"} {
		for i := range Worlds {
			if Worlds[i].Name != w {
				continue
			}
			if got := Simulate(ours, &Worlds[i], Cell{500, 0.001}, Defects[0], 1, runs); got.Back > 0 {
				t.Errorf("%s: %d of %d good candidates were rolled back", w, got.Back, runs)
			}
			if got := Simulate(ours, &Worlds[i], Cell{500, 0.001}, Defects[1], 1, runs); got.Back < runs || got.Harmed > 75*runs {
				t.Errorf("%s: %d of %d outages were rolled back, after %d bad requests", w, got.Back, runs, got.Harmed)
			}
		}
	}
}

func named(name string) *Rule {
	for i := range Rules {
		if Rules[i].Name == name {
			return &Rules[i]
		}
	}
	panic("no rule " + name)
}

// TestFlaggerHoldsTheWeightUntilItGivesUp: ten failed looks at the first weight, a
// minute apart, and the rollback at the next. What one per cent gets in eleven
// minutes of an outage is about 1,650 errors at 500 requests a second.
func TestFlaggerHoldsTheWeightUntilItGivesUp(t *testing.T) {
	t.Parallel()
	const runs = 10
	got := Simulate(named("flagger-t10"), &Worlds[0], Cell{500, 0.001}, Defects[1], 1, runs)
	if mean := got.Harmed / runs; got.Back != runs || mean < 1600 || mean > 1710 {
		t.Errorf("%d of %d outages were rolled back, after %d errors each", got.Back, runs, mean)
	}
}
