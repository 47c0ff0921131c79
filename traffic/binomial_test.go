// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"math/big"
	"testing"
)

// sum adds the binomial distribution up exactly, with 200 bits.
func sum(k, n int64, p float64) float64 {
	exact := func(x float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(x) }
	power := func(x *big.Float, e int64) *big.Float {
		y := exact(1)
		for range e {
			y.Mul(y, x)
		}
		return y
	}
	total, q := exact(0), exact(1)
	q.Sub(q, exact(p))
	for i := int64(0); i <= k; i++ {
		term := new(big.Float).SetPrec(200).SetInt(new(big.Int).Binomial(n, i))
		term.Mul(term, power(exact(p), i)).Mul(term, power(q, n-i))
		total.Add(total, term)
	}
	f, _ := total.Float64()
	return f
}

func TestTailsOfTheBinomialAreExact(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{1, 2, 7, 40, 200} {
		for _, p := range []float64{1e-6, 0.001, 0.01, 0.25, 0.5, 0.9, 0.999} {
			for k := int64(0); k <= n; k += 1 + n/9 {
				want := sum(k, n, p)
				if got := atMost(uint64(k), uint64(n), p); math.Abs(got-want) > 1e-12+1e-9*want {
					t.Errorf("at most %d of %d at %v: %v, want %v", k, n, p, got, want)
				}
				want = 1
				if k > 0 {
					want = 1 - sum(k-1, n, p)
				}
				if got := atLeast(uint64(k), uint64(n), p); math.Abs(got-want) > 1e-12+1e-6*want {
					t.Errorf("at least %d of %d at %v: %v, want %v", k, n, p, got, want)
				}
			}
		}
	}
	// A large one against the normal distribution.
	if got, want := atMost(249_000, 1_000_000, 0.25), 0.5*math.Erfc(2.3083/math.Sqrt2); math.Abs(got/want-1) > 0.01 {
		t.Errorf("at most 249,000 of a million at 25%%: %v, want about %v", got, want)
	}
}

func TestIntervalsAreThoseOfTheTables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		k, n      uint64
		low, high float64
	}{ // 95%, as printed in tables of Clopper and Pearson's interval
		{0, 10, 0, 0.3085},
		{1, 10, 0.0025, 0.4450},
		{5, 10, 0.1871, 0.8129},
		{10, 10, 0.6915, 1},
		{10, 100, 0.0490, 0.1762},
		{50, 100, 0.3983, 0.6017},
	} {
		low, high := interval(tt.k, tt.n, 0.05)
		if math.Abs(low-tt.low) > 5e-5 || math.Abs(high-tt.high) > 5e-5 {
			t.Errorf("%d of %d: %.4f to %.4f, want %v to %v", tt.k, tt.n, low, high, tt.low, tt.high)
		}
	}
}
