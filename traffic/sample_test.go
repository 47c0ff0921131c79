// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"math/rand/v2"
	"testing"
)

// judged feeds a sample, request by request, from a candidate with that share.
func judged(r *rand.Rand, g goal, share float64, limit uint64) (verdict, uint64) {
	s := sample{goal: g}
	for s.requests < limit {
		s.requests++
		if r.Float64() < share {
			s.candidate++
		}
		if v := s.judge(); v != undecided {
			return v, s.requests
		}
	}
	return undecided, s.requests
}

// TestAWrongShareIsProvenNoMoreOftenThanTheRisk asks after every request, for as
// long as it takes, with a share at the very edge of what would be close enough.
func TestAWrongShareIsProvenNoMoreOftenThanTheRisk(t *testing.T) {
	t.Parallel()
	const seed, runs = 7, 4000
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	for _, w := range []Weight{0, Percent(1), Percent(5), Percent(25), Percent(50), Percent(90), Full} {
		for _, risk := range []float64{0.05, 0.2} {
			o, err := VerifyOptions{Risk: risk}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			g := o.goal(Split{Candidate: w})
			for _, edge := range []float64{g.low, g.high} {
				if edge == 0 || edge == 1 {
					continue // there the other edge is the wrong one
				}
				wrong := 0
				for range runs {
					if v, _ := judged(r, g, edge, 3*(&sample{goal: g}).needed()); v == shown {
						wrong++
					}
				}
				if rate, limit := float64(wrong)/runs, risk+4*math.Sqrt(risk/runs); rate > limit {
					t.Errorf("seed %d: %v was proven of a share of %v in %.3f of the runs, want at most %v", seed, w, edge, rate, risk)
				}
			}
		}
	}
}

func TestARightShareIsProvenWithAboutTheRequestsNeeded(t *testing.T) {
	t.Parallel()
	const seed, runs = 8, 300
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation
	for _, tt := range []struct {
		weight      Weight
		least, most uint64
	}{
		{0, 826, 826},
		{Full, 826, 826},
		{Percent(1), 8_000, 13_000},
		{Percent(5), 1500, 2500},
		{Percent(25), 100, 400},
		{Percent(50), 40, 200},
		{Percent(0.1), 80_000, 130_000},
	} {
		o, err := VerifyOptions{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		g := o.goal(Split{Candidate: tt.weight})
		share := float64(tt.weight) / float64(Full)
		var total uint64
		missed := 0
		for range runs {
			v, n := judged(r, g, share, 20*tt.most)
			total += n
			if v != shown {
				missed++
			}
		}
		if missed > runs/50 {
			t.Errorf("seed %d: %v was not proven in %d of %d runs", seed, tt.weight, missed, runs)
		}
		if mean := total / runs; mean < tt.least || mean > tt.most {
			t.Errorf("seed %d: a proof of %v took %d requests, want %d to %d", seed, tt.weight, mean, tt.least, tt.most)
		}
	}
}

func TestOneRequestOnAnArmThatGetsNothingRefutes(t *testing.T) {
	t.Parallel()
	o, err := VerifyOptions{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []Weight{0, Full} {
		s := sample{goal: o.goal(Split{Candidate: w}), requests: 1, candidate: 1}
		if w == Full {
			s.candidate = 0
		}
		if v := s.judge(); v != refuted {
			t.Errorf("at %v one request went the other way: %v, want it refuted", w, v)
		}
	}
}
