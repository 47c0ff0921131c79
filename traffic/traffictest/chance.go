// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "math"

// unlikely is the chance below which a count is taken for wrong. A right router
// fails a case by chance once in a million tries, and a case tries again.
const unlikely = 1e-6

// plausible reports whether k of n is a count that chance would give at the
// share p, by the exact binomial tails.
func plausible(k, n int, p float64) bool {
	switch {
	case p <= 0:
		return k == 0
	case p >= 1:
		return k == n
	case float64(k) < float64(n)*p:
		return tail(k, -1, n, p) > unlikely/2
	}
	return tail(k, +1, n, p) > unlikely/2
}

// tail is the chance of k or of what lies beyond it in the direction of step.
func tail(k, step, n int, p float64) float64 {
	sum := 0.0
	for i := k; i >= 0 && i <= n; i += step {
		term := chance(i, n, p)
		sum += term
		if term < sum*1e-12 {
			break
		}
	}
	return sum
}

// chance is that of exactly k of n.
func chance(k, n int, p float64) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}
