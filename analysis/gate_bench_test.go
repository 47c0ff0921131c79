// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"testing"
	"time"
)

// BenchmarkGate is what a block costs a gate with errors and four latency bounds,
// from counts to verdict, without the sentence for a person.
func BenchmarkGate(b *testing.B) {
	g, candidate, stable, half := busyGate()
	b.ReportAllocs()
	for b.Loop() {
		weighed(g, candidate, stable, half)
	}
}

func TestAGateAllocatesNothingPerBlock(t *testing.T) {
	g, candidate, stable, half := busyGate()
	for range recent { // its memory of stable fills up
		weighed(g, candidate, stable, half)
	}
	if n := testing.AllocsPerRun(100, func() { weighed(g, candidate, stable, half) }); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}

func weighed(g *gate, candidate, stable, half *Counts) bool {
	g.observe(candidate, stable)
	g.learn(half, half, false)
	return g.failed() || g.safe() >= -math.Log(g.o.SafeRisk)
}

func busyGate() (g *gate, candidate, stable, half *Counts) {
	o := Default()
	var bounds []time.Duration
	for _, ms := range []time.Duration{50, 100, 250, 500, 1000, 2500} {
		bounds = append(bounds, ms*time.Millisecond)
	}
	counts := func(k uint64) *Counts {
		return &Counts{Requests: 1000 * k, Errors: k, Bounds: bounds, Latency: []uint64{500 * k, 300 * k, 120 * k, 50 * k, 20 * k, 8 * k, 2 * k}}
	}
	g = &gate{o: &o}
	g.begin(counts(90))
	return g, counts(1), counts(18), counts(9)
}
