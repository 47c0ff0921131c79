// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"testing"
)

// TestASplitAsAskedForGainsNothingOnAverage adds up all that can happen.
func TestASplitAsAskedForGainsNothingOnAverage(t *testing.T) {
	t.Parallel()
	o := ShareOptions{Tolerance: 0.2, Risk: 0.001}
	for _, w := range []float64{0.01, 0.1, 0.5, 0.9} {
		for _, n := range []int{1, 7, 60} {
			sum := 0.0
			for x := range n + 1 {
				g := shareGate{o: &o, Want: w, Candidate: float64(x), Stable: float64(n - x)}
				sum += probability(x, n, w) * math.Exp(g.evidence())
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("%v of %d requests gain %v on average, want 1", w, n, sum)
			}
		}
	}
	few := shareGate{o: &o, Want: 0.1, Candidate: 2, Stable: 1}
	if few.off() {
		t.Errorf("three requests are evidence: %v", few.evidence())
	}
}
