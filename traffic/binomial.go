// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import "math"

// atMost is the chance of k or fewer hits in n tries that each hit with chance p:
// the regularized incomplete beta function I of 1−p at (n−k, k+1), DLMF 8.17.5.
func atMost(k, n uint64, p float64) float64 {
	switch {
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	}
	return incompleteBeta(float64(n-k), float64(k+1), 1-p)
}

// atLeast is the chance of k or more hits.
func atLeast(k, n uint64, p float64) float64 {
	if k == 0 {
		return 1
	}
	return atMost(n-k, n, 1-p)
}

// incompleteBeta is I of x at (a, b), by the continued fraction DLMF 8.17.22,
// which converges fast on the near side of the mean.
func incompleteBeta(a, b, x float64) float64 {
	if x > (a+1)/(a+b+2) {
		return 1 - incompleteBeta(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	return front * betaFraction(a, b, x) / a
}

// betaFraction evaluates the fraction by the modified method of Lentz (Thompson
// and Barnett, J. Comput. Phys. 64, 1986).
func betaFraction(a, b, x float64) float64 {
	const tiny, exact = 1e-300, 1e-15
	away := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	// The fraction's value begins at 1/(1 − (a+b)x/(a+1)), its first partial one.
	c, d := 1.0, 1/away(1-(a+b)*x/(a+1))
	value := d
	steps := 200 + int(10*math.Sqrt(max(a, b)))
	for m := 1.0; m < float64(steps); m++ {
		for _, term := range [...]float64{
			m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)),
		} {
			d = 1 / away(1+term*d)
			c = away(1 + term/c)
			value *= c * d
		}
		if math.Abs(c*d-1) < exact {
			break
		}
	}
	return value
}

// interval is the exact interval of Clopper and Pearson (Biometrika 26, 1934) for
// the chance behind k hits in n tries; it misses with a chance of at most risk.
func interval(k, n uint64, risk float64) (low, high float64) {
	low, high = 0, 1
	if k > 0 {
		low = bisect(func(p float64) bool { return atLeast(k, n, p) <= risk/2 })
	}
	if k < n {
		high = bisect(func(p float64) bool { return atMost(k, n, p) > risk/2 })
	}
	return low, high
}

// bisect is where within stops being true, between 0 and 1.
func bisect(within func(p float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 50 {
		if mid := (low + high) / 2; within(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}
