// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
)

// checkChance reports a number that is no chance, or one that leaves nothing to chance.
func checkChance(name string, p float64) error {
	if !(p > 0 && p < 1) {
		return fmt.Errorf("%s %v: want a number between 0 and 1", name, p)
	}
	return nil
}

// finite reports whether all of these are numbers.
func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// logMean is the logarithm of the weighted mean of numbers of which the logarithms
// are given. Without weights all count the same.
func logMean(logs, weights []float64) float64 {
	top := math.Inf(-1)
	for _, l := range logs {
		top = max(top, l)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum, all := 0.0, 0.0
	for i, l := range logs {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		sum += w * math.Exp(l-top)
		all += w
	}
	return top + math.Log(sum/all)
}

// logBeta is the logarithm of the beta function.
func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}

// confidence is between what the share behind bad of n lies, at every look at once:
// the confidence sequence of the mixture over all shares with weights Beta(½,½)
// (Robbins, "Statistical methods related to the law of the iterated logarithm", 1970).
func confidence(bad, n, risk float64) (low, high float64) {
	mixture := logBeta(bad+0.5, n-bad+0.5) - logBeta(0.5, 0.5)
	inside := func(p float64) bool {
		p = clamp(p)
		return mixture-bad*math.Log(p)-(n-bad)*math.Log1p(-p) < -math.Log(risk)
	}
	edge := func(in, out float64) float64 {
		for range 40 {
			if mid := (in + out) / 2; inside(mid) {
				in = mid
			} else {
				out = mid
			}
		}
		return (in + out) / 2
	}
	at := bad / n
	low, high = 0, 1
	if bad > 0 {
		low = edge(at, 0)
	}
	if bad < n {
		high = edge(at, 1)
	}
	return low, high
}
