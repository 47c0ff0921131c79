// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"testing"
)

// TestAnIntervalEndsWhereOneToRiskSpeaksAgainstIt holds both ends to what they are
// defined by, and an end that is not there to the ends of all shares.
func TestAnIntervalEndsWhereOneToRiskSpeaksAgainstIt(t *testing.T) {
	t.Parallel()
	for _, risk := range []float64{0.001, 0.05, 0.5} {
		for _, n := range []float64{1, 2, 7, 1000, 1e5, 1e7} {
			for _, bad := range []float64{0, 1, math.Floor(n / 1000), math.Floor(n / 2), n - 1, n} {
				against := func(p float64) float64 {
					return math.Exp(logBeta(bad+0.5, n-bad+0.5) - logBeta(0.5, 0.5) - xlogy(bad, p) - (n-bad)*math.Log1p(-p))
				}
				low, high := confidence(bad, n, risk)
				if at := bad / n; !(low >= 0 && low <= at && at <= high && high <= 1) || (low == 0) != (bad == 0) || (high == 1) != (bad == n) {
					t.Errorf("%v of %v: %v to %v", bad, n, low, high)
				}
				for _, end := range []float64{low, high} {
					if got := against(end) * risk; end > 0 && end < 1-1e-9 && math.Abs(got-1) > 1e-4 {
						t.Errorf("risk %v, %v of %v: at %v the odds are %v of those that end it", risk, bad, n, end, got)
					}
				}
			}
		}
	}
}
