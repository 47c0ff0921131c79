// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"math/rand/v2"
)

// source is seeded randomness.
type source struct{ *rand.Rand }

func seeded(seed, stream uint64) source {
	return source{rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // a simulation must repeat
}

// binomial is how many of n happen, each with probability p: by waiting times where
// few do, else by Hörmann's transformed rejection (BTRS, 1993). Both are exact.
func (r source) binomial(n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - r.binomial(n, 1-p)
	case float64(n)*p < 10:
		return r.waiting(n, p)
	}
	N := float64(n)
	spread := math.Sqrt(N * p * (1 - p))
	b := 1.15 + 2.53*spread
	a := -0.0873 + 0.0248*b + 0.01*p
	c := N*p + 0.5
	alpha := (2.83 + 5.1/b) * spread
	mode := math.Floor((N + 1) * p)
	for {
		v := r.Float64()
		u := r.Float64() - 0.5
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + c)
		if k < 0 || k > N {
			continue
		}
		if us >= 0.07 && v <= 0.92-4.2/b {
			return int(k)
		}
		odds := math.Log(p / (1 - p))
		v = math.Log(v * alpha / (a/(us*us) + b))
		if v <= logFactorial(mode)+logFactorial(N-mode)-logFactorial(k)-logFactorial(N-k)+(k-mode)*odds {
			return int(k)
		}
	}
}

func (r source) waiting(n int, p float64) (count int) {
	q := math.Log1p(-p)
	for at := 0; ; count++ {
		at += int(min(math.Log(1-r.Float64())/q, 1e9)) + 1
		if at > n {
			return count
		}
	}
}

func logFactorial(n float64) float64 {
	l, _ := math.Lgamma(n + 1)
	return l
}

// poisson is how many happen in a time in which mean do, by halving into binomials
// of what a gamma-free split gives: a large mean is a sum of small ones.
func (r source) poisson(mean float64) int {
	if mean > 500 {
		// Within 1e-4 of the law, far below what a run of simulations can tell.
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	count := 0
	for ; mean > 30; mean -= 30 {
		count += r.poissonSmall(30)
	}
	return count + r.poissonSmall(mean)
}

func (r source) poissonSmall(mean float64) (count int) {
	limit := math.Exp(-mean)
	for p := r.Float64(); p > limit; p *= r.Float64() {
		count++
	}
	return count
}

// lasting is how many blocks something lasts that lasts so many on average.
func (r source) lasting(mean float64) int {
	n := 1
	for r.Float64() > 1/mean {
		n++
	}
	return n
}
