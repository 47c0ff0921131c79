// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"testing"
	"time"
)

// TestTheQuestionsWeighOneTogether: more than that, and the mean is no evidence.
func TestTheQuestionsWeighOneTogether(t *testing.T) {
	t.Parallel()
	o := Default()
	for n := 1; n <= maxBounds+1; n++ {
		for l := chosen; l <= vain; l++ {
			g := &gate{o: &o, Questions: make([]question, n), Latency: l}
			if got := g.harm(); math.Abs(got) > 1e-12 {
				t.Errorf("%d questions that nothing is known of, %d: evidence %v, want 0", n, l, got)
			}
		}
	}
}

// TestAChoiceOfBoundsIsNoEvidence: what failures have shown by then says the same before
// it and after, or it would be paid twice.
func TestAChoiceOfBoundsIsNoEvidence(t *testing.T) {
	t.Parallel()
	o := Default()
	for _, latency := range [][]uint64{{90, 5, 5}, {0, 0, 100}} {
		for _, bad := range []uint64{0, 20} {
			stable := &Counts{Bounds: []time.Duration{1, 2}, Latency: make([]uint64, 3)}
			g := &gate{o: &o}
			g.begin(stable)
			g.observe(&Counts{Requests: 500, Errors: bad}, &Counts{Requests: 90, Bounds: stable.Bounds})
			before := g.harm()
			if g.choose(stable); g.Latency != open || before == 0 {
				t.Fatalf("chosen %d after nothing, evidence %v", g.Latency, before)
			}
			stable.Requests, stable.Latency = 100, latency
			g.choose(stable)
			g.weighed = false
			if after := g.harm(); g.Latency == open || math.Abs(after-before) > 1e-12 {
				t.Errorf("%v, %d bad: evidence %v before the choice %d, %v after", latency, bad, before, g.Latency, after)
			}
			if n := len(g.Questions); n > 1 && math.Abs(g.Questions[1].Harm.Stable-0.1) > 0.01 {
				t.Errorf("the first guess at a tenth is %v", g.Questions[1].Harm.Stable)
			}
		}
	}
}

// TestASourceWithoutLatencyIsWaitedForByNobody: failures are all there is to weigh, whether
// or not stable had been counted when the rollout began.
func TestASourceWithoutLatencyIsWaitedForByNobody(t *testing.T) {
	t.Parallel()
	o := Default()
	var late, early gate
	late.o, early.o = &o, &o
	late.begin(&Counts{})
	early.begin(&Counts{Requests: 1})
	if late.Latency != open || early.Latency != chosen {
		t.Fatalf("%d and %d before the first block", late.Latency, early.Latency)
	}
	early.Questions[0].Harm.Stable = late.Questions[0].Harm.Stable
	for i, g := range []*gate{&late, &early} {
		g.observe(&Counts{Requests: 60}, &Counts{})
		g.observe(&Counts{Requests: 60, Errors: 6}, &Counts{Requests: 90})
		if g.Latency != chosen || g.harm() < 1 || g.harm() != late.harm() {
			t.Errorf("gate %d: %d, evidence %v, want %v", i, g.Latency, g.harm(), late.harm())
		}
	}
}

func TestAMemoryWithBoundsThatAreStillToBeChosenIsNone(t *testing.T) {
	t.Parallel()
	o := Default()
	for _, g := range []*gate{
		{Questions: make([]question, 1), Latency: vain + 1},
		{Questions: []question{{}, {Above: 1}}, Latency: open},
		{Questions: []question{{}, {Above: 1}}, Latency: vain},
	} {
		if g.o = &o; g.sound(Pass) == nil {
			t.Errorf("%d questions and %d were taken for a memory", len(g.Questions), g.Latency)
		}
	}
	g := &gate{o: &o, Questions: make([]question, 1), Latency: open}
	for i := range g.Questions[0].Safe.Log {
		g.Questions[0].Safe.Log[i] = 10
	}
	if g.sound(Pass) != nil || g.sound(Safe) == nil {
		t.Error("safe, and it is not known of what")
	}
}

// certain is a gate whose evidence of harm is this much, in so many blocks.
func certain(o *CompareOptions, nats float64, blocks int) *gate {
	g := &gate{o: o, Questions: make([]question, 2), Raised: blocks}
	g.Questions[1].Above = time.Second
	for i := range g.Questions {
		e := &g.Questions[i].Harm
		e.Kept = -1000
		for k := range e.Log {
			e.Log[k] = nats - math.Log(1-kept)
		}
	}
	return g
}

// TestItTakesOneToRiskToFail holds the threshold to what Ville's inequality asks for.
func TestItTakesOneToRiskToFail(t *testing.T) {
	t.Parallel()
	for _, risk := range []float64{0.001, 0.01, 0.2} {
		o := Default()
		o.Risk = risk
		for _, test := range []struct {
			odds   float64
			blocks int
			want   bool
		}{{1.001 / risk, 2, true}, {0.999 / risk, 2, false}, {1e9 / risk, 1, false}} {
			if got := certain(&o, math.Log(test.odds), test.blocks).failed(); got != test.want {
				t.Errorf("risk %v: %v to 1 in %d blocks: failed %v", risk, test.odds, test.blocks, got)
			}
		}
	}
}
