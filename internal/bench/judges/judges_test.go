// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
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
	ours := ruleOf("compare")
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

// TestBurstsHideNoRegression: of candidates that fail a point more, in worlds where
// requests fail together, far more are found than when evidence is only divided by the
// size of a burst, which found 8 and 18 in 100.
func TestBurstsHideNoRegression(t *testing.T) {
	t.Parallel()
	const runs = 60
	for _, want := range []struct {
		world string
		back  int
	}{{"clumps", runs / 4}, {"sticky", runs * 2 / 5}} {
		for i := range Worlds {
			if Worlds[i].Name != want.world {
				continue
			}
			if got := Simulate(ruleOf("compare"), &Worlds[i], Cell{50, 0.001}, Defects[3], 1, runs); got.Back < want.back {
				t.Errorf("%s: %d of %d candidates that fail a point more were rolled back, want %d", want.world, got.Back, runs, want.back)
			}
		}
	}
}

// TestSwingsAreNoBursts: at many requests a second each tick's error rate of its own was
// taken for bursts of dozens, and one good candidate in ten was rolled back.
func TestSwingsAreNoBursts(t *testing.T) {
	t.Parallel()
	const runs = 80
	if got := Simulate(ruleOf("compare"), worldOf("shocks"), Cell{5000, 0.01}, Defects[0], 1, runs); got.Back > 1 {
		t.Errorf("%d of %d good candidates were rolled back", got.Back, runs)
	}
}

func ruleOf(name string) *Rule {
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
	got := Simulate(ruleOf("flagger-t10"), &Worlds[0], Cell{500, 0.001}, Defects[1], 1, runs)
	if mean := got.Harmed / runs; got.Back != runs || mean < 1600 || mean > 1710 {
		t.Errorf("%d of %d outages were rolled back, after %d errors each", got.Back, runs, mean)
	}
}

// TestTheNumbersOfPeersAreTheirs holds two of them to what they are by hand.
func TestTheNumbersOfPeersAreTheirs(t *testing.T) {
	t.Parallel()
	var ticks []tick
	for i := range minute {
		ticks = append(ticks, tick{
			candidate: group{n: 100, errors: 50 + i},
			halves:    [2]group{{n: 100, errors: i}, {n: 100, errors: i}},
		})
	}
	// All 36 pairs are won, of 18 expected, with a variance of 39.
	if z, ok := rankSum(ticks, failures); !ok || math.Abs(z-18/math.Sqrt(39)) > 1e-12 {
		t.Errorf("rank sum: %v, %v", z, ok)
	}
	ticks[0].halves[0].errors, ticks[0].halves[1].errors = 50, 50 // as many as the least of the candidate
	if z, _ := rankSum(ticks, failures); math.Abs(z-(35.5-18)/math.Sqrt(3*(13-6.0/(12*11)))) > 1e-12 {
		t.Errorf("rank sum with a tie: %v", z)
	}
	// In units of what one look would need, it is narrowest where it was asked to be.
	narrow := func(n int) float64 {
		one := tick{candidate: group{n: n / 2, errors: n / 10}, halves: [2]group{{n: n / 2, errors: n / 50}}}
		v, _ := asymptotic([]tick{one}, failures)
		return v / math.Sqrt(float64(n))
	}
	if at := narrow(5000); at <= narrow(4000) || at <= narrow(6000) || narrow(5000)*math.Sqrt(5000) < 1 {
		t.Errorf("asymptotic: %v at 5000 requests, %v and %v beside it", at, narrow(4000), narrow(6000))
	}
	if v, ok := asymptotic(nil, failures); v != 0 || ok {
		t.Errorf("asymptotic of nothing: %v, %v", v, ok)
	}
}

// TestTheDocumentIsTheCommands compares all of it but the numbers, and the charts' names.
func TestTheDocumentIsTheCommands(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../JUDGES.md")
	if err != nil {
		t.Fatal(err)
	}
	var p Plan
	command := regexp.MustCompile(`-seed (\d+) -runs (\d+)`).FindSubmatch(document)
	if command == nil {
		t.Fatal("JUDGES.md does not name its command")
	}
	if _, err := fmt.Sscan(string(command[1])+" "+string(command[2]), &p.Seed, &p.Runs); err != nil {
		t.Fatal(err)
	}
	res, err := p.chosen()
	if err != nil {
		t.Fatal(err)
	}
	for i := range res.equal {
		res.equal[i] = equalRow{rule: equals[i/len(Rates)].name, rps: Rates[i%len(Rates)]}
	}
	numbers := regexp.MustCompile(`(?m)^(\| [^|]+\|).*$`)
	lines := func(text string) []string { return strings.Split(numbers.ReplaceAllString(text, "$1"), "\n") }
	got, want := lines(string(document)), lines(res.Markdown())
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of JUDGES.md is not what the command writes: run it (%d and %d lines)\n%q\n%q",
				i+1, len(got), len(want), got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
	for _, w := range res.worlds {
		if _, err := os.Stat("../judges-" + w.Name + ".svg"); err != nil {
			t.Error(err)
		}
	}
}
