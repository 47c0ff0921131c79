// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
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

// BenchmarkFinding is that and what is told of it: the numbers, and the sentence.
func BenchmarkFinding(b *testing.B) {
	g, candidate, stable, half := busyGate()
	b.ReportAllocs()
	for b.Loop() {
		weighed(g, candidate, stable, half)
		var f Finding
		f.Verdict, f.Reason = g.judge()
		g.tell(&f)
	}
}

// BenchmarkCompare is a whole question: the source is read, and what is remembered
// comes out of the rollout's state and goes back into it.
func BenchmarkCompare(b *testing.B) {
	_, candidate, stable, _ := busyGate()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := Check{Run: 1, Since: now, Until: now}
	var total [2]Counts
	j, err := NewCompare(SourceFunc(func(context.Context, Check) (Counts, Counts, error) {
		for i, add := range [...]*Counts{stable, candidate} {
			t := &total[i]
			t.Requests, t.Errors, t.Bounds = t.Requests+add.Requests, t.Errors+add.Errors, add.Bounds
			latency := make([]uint64, len(add.Latency))
			for k, n := range add.Latency {
				latency[k] = n
				if t.Latency != nil {
					latency[k] += t.Latency[k]
				}
			}
			t.Latency = latency
		}
		return total[0], total[1], nil
	}), Default())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f, err := j.Judge(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		c.State, c.Until = f.State, c.Until.Add(10*time.Second)
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

func TestAFindingAllocatesItsSentenceAlone(t *testing.T) {
	g, candidate, stable, half := busyGate()
	weighed(g, candidate, stable, half)
	var f Finding
	if n := testing.AllocsPerRun(100, func() { _, f.Reason = g.judge(); g.tell(&f) }); n != 1 {
		t.Errorf("%v allocations for %+v, want that of its sentence", n, f)
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
