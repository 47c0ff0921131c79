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
		g := &gate{o: &o, Questions: make([]question, n)}
		if got := g.harm(); math.Abs(got) > 1e-12 {
			t.Errorf("%d questions that nothing is known of: evidence %v, want 0", n, got)
		}
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
