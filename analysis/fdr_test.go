// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rheostat-go/rheostat/analysis"
)

func evidence(values ...float64) []analysis.Finding {
	list := make([]analysis.Finding, len(values))
	for i, e := range values {
		list[i].Evidence = math.Log(e)
	}
	return list
}

func TestDiscoveriesAreThoseThatEBHNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		e    []float64
		rate float64
		want []int
	}{
		{nil, 0.1, nil},
		{[]float64{10}, 0.1, []int{0}},
		{[]float64{9.99}, 0.1, nil},
		{[]float64{20, 1}, 0.1, []int{0}},
		{[]float64{19, 1}, 0.1, nil},
		{[]float64{10, 10.5}, 0.1, []int{0, 1}}, // neither would do beside one without evidence
		{[]float64{1, 14, 16, 15.5}, 0.1, []int{1, 2, 3}},
		{[]float64{1, 13, 16, 15.5}, 0.1, nil},
		{[]float64{0, 40, 12}, 0.1, []int{1}},
		{[]float64{math.NaN(), 20}, 0.1, []int{1}},
		{[]float64{math.Inf(1), 1}, 0.1, []int{0}},
	} {
		got, err := analysis.Discoveries(evidence(test.e...), test.rate)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v at %v: %v, want %v (%v)", test.e, test.rate, got, test.want, err)
		}
	}
	for _, rate := range []float64{0, 1, -1, math.NaN()} {
		if _, err := analysis.Discoveries(nil, rate); err == nil {
			t.Errorf("rate %v was accepted", rate)
		}
	}
}

// TestFalseDiscoveriesKeepToTheirRate gives the half of a fleet that is harmless
// e-values that are all or nothing at once, at the level that is just enough to be
// named beside the other half: no e-value of mean 1 is named more often.
func TestFalseDiscoveriesKeepToTheirRate(t *testing.T) {
	t.Parallel()
	const fleet, runs, rate, seed = 20, 20_000, 0.1, 7
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	total := 0.0
	for range runs {
		e := make([]float64, fleet)
		shared := 0.0
		if level := 1.000001 / rate; r.Float64() < 1/level {
			shared = level
		}
		for i := range e {
			if e[i] = shared; i%2 == 1 {
				e[i] = 1000
			}
		}
		list, err := analysis.Discoveries(evidence(e...), rate)
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0.0
		for _, i := range list {
			if i%2 == 0 {
				wrong++
			}
		}
		total += wrong / max(float64(len(list)), 1)
	}
	// Half of what is named is harmless when all are, so half of the rate is used up.
	if got, most := total/runs, rate/2; got > most+3*math.Sqrt(most/4/runs) || got < most/2 {
		t.Errorf("seed %d: %v of the discoveries are false on average, want some %v", seed, got, most)
	}
}

// Two regions of four do harm; neither alone would be enough beside the others.
func ExampleDiscoveries() {
	findings := []analysis.Finding{
		{Reason: "eu", Evidence: math.Log(45)},
		{Reason: "us", Evidence: math.Log(0.8)},
		{Reason: "ap", Evidence: math.Log(42)},
		{Reason: "sa", Evidence: math.Log(2)},
	}
	list, err := analysis.Discoveries(findings, 0.05)
	for _, i := range list {
		fmt.Println(findings[i].Reason)
	}
	fmt.Println(err)
	// Output:
	// eu
	// ap
	// <nil>
}
