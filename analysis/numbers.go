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
	good := n - bad
	// outside is how much more than 1 to risk speaks against p.
	mixture := logBeta(bad+0.5, good+0.5) - logBeta(0.5, 0.5)
	outside := func(p float64) float64 {
		return mixture - xlogy(bad, p) - good*math.Log1p(-p) + math.Log(risk)
	}
	at := bad / n
	around := (bad + 0.5) / (n + 1)
	width := math.Sqrt(-2 * math.Log(risk) * around * (1 - around) / n)
	// edge is where outside is 0, between a share that is inside and one that is not.
	edge := func(in, out, p float64) float64 {
		for range 100 {
			if !(p > min(in, out) && p < max(in, out)) {
				p = (in + out) / 2
			}
			o := outside(p)
			if o < 0 {
				in = p
			} else {
				out = p
			}
			step := o / (good/(1-p) - bad/p)
			if p -= step; math.Abs(step) <= 1e-9*min(p, 1-p) {
				return p
			}
		}
		return (in + out) / 2
	}
	low, high = 0, 1
	if bad > 0 {
		low = edge(at, 0, at-width)
	}
	if bad < n {
		high = edge(at, 1, at+width)
	}
	return low, high
}

// xlogy is x·log y, and 0 where x is.
func xlogy(x, y float64) float64 {
	if x == 0 {
		return 0
	}
	return x * math.Log(y)
}
