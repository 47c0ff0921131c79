// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"math/rand/v2"
	"testing"
)

// halvesOf draws blocks of two halves whose errors come in clumps of a fixed size.
func halvesOf(r *rand.Rand, blocks, n, clump int, p float64) (d dispersion) {
	for range blocks {
		a, b := drawn(r, n/clump, p), drawn(r, n/clump, p)
		a.n, b.n = float64(n), float64(n)
		a.bad *= float64(clump)
		b.bad *= float64(clump)
		d.between(a, b)
	}
	return d
}

func TestTheFactorIsTheSizeOfAClump(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // a simulation
	for _, clump := range []int{2, 4, 8} {
		sum := 0.0
		const times = 40
		for range times {
			d := halvesOf(r, 90, 800, clump, 0.04)
			sum += d.factor(100)
		}
		if got, want := sum/times, float64(clump); math.Abs(got-want) > 0.15*want {
			t.Errorf("clumps of %d: a factor of %v on average", clump, got)
		}
	}
}

func TestIndependentRequestsAreHardlyTempered(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8)) //nolint:gosec // a simulation
	for _, p := range []float64{0.001, 0.01, 0.2} {
		sum := 0.0
		const times = 40
		for range times {
			d := halvesOf(r, 90, 500, 1, p)
			sum += d.factor(500)
		}
		if got := sum / times; got < 1 || got > 1.15 {
			t.Errorf("share %v: a factor of %v on average, want hardly more than 1", p, got)
		}
	}
}

func TestWhatBefallsBothHalvesIsNoDispersion(t *testing.T) {
	t.Parallel()
	var paired, alone dispersion
	for i := range 60 {
		p := 0.01
		if i%10 < 3 {
			p = 0.2
		}
		half := tallied{1000, 1000 * p}
		paired.between(half, half)
		alone.around(tallied{2000, 2000 * p}, 0.067)
	}
	if got := paired.factor(1000); got != 1 {
		t.Errorf("halves that move together give a factor of %v", got)
	}
	if got := alone.factor(1000); got < 20 {
		t.Errorf("by itself stable gives a factor of %v, want a large one", got)
	}
}

func TestManyRequestsSayNoMoreThanWhatItWasMeasuredWith(t *testing.T) {
	t.Parallel()
	var d dispersion
	for i := range 90 {
		swing := 0.005 * float64(i%3-1) * float64(1-2*(i/3%2))
		d.between(tallied{1000, 1000 * (0.05 + swing)}, tallied{1000, 1000 * (0.05 - swing)})
	}
	few, same, many := d.factor(10), d.factor(1000), d.factor(100_000)
	if few != same || few <= 1 || math.Abs((many-1)/(same-1)-100) > 1e-6 {
		t.Errorf("factors %v, %v and %v for 10, 1000 and 100,000 requests", few, same, many)
	}
}

// TestFewRequestsSwingLittle: of the arm as a whole, and no less than their bursts.
func TestFewRequestsSwingLittle(t *testing.T) {
	t.Parallel()
	d := dispersion{Square: 1100, Expected: 100, Blocks: 90, N: 1000} // a factor of 11
	for _, c := range []struct{ n, share, want float64 }{
		{1000, 1, 11}, {5000, 1, d.factor(5000)}, // as many as it was measured with, and more
		{100, 0.5, 2},     // all of it may be swings
		{100, 0.01, 2},    // a swing by all of the share is just enough
		{100, 0.005, 6.5}, // half of it must be bursts
		{100, 0, 11},
	} {
		if got := d.least(c.n, c.share); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if got := (&dispersion{}).least(10, 0.1); got != 1 {
		t.Errorf("nothing swings by %v", got)
	}
}

func TestBlocksThatHangTogetherCountForLess(t *testing.T) {
	t.Parallel()
	var apart, together dispersion
	for i := range 90 {
		swing := 20 * float64(1-2*(i%2))
		apart.between(tallied{1000, 50 + swing}, tallied{1000, 50 - swing})
		swing = 20 * float64(1-2*(i/10%2))
		together.between(tallied{1000, 50 + swing}, tallied{1000, 50 - swing})
	}
	if a, b := apart.factor(100), together.factor(100); b < 3*a {
		t.Errorf("a factor of %v for swings that last, %v for those that do not", b, a)
	}
}

func TestBadRequestsFarApartDoNotHangTogether(t *testing.T) {
	t.Parallel()
	var d dispersion
	for i := range 90 {
		var bad float64
		if i%6 == 0 {
			bad = 1
		}
		d.between(tallied{25, bad}, tallied{25, 0})
	}
	if got := d.factor(25); got != 1 {
		t.Errorf("single errors, a minute apart, give a factor of %v", got)
	}
}

func TestNothingIsLearnedFromNothing(t *testing.T) {
	t.Parallel()
	var d dispersion
	for _, pair := range [][2]tallied{{}, {{100, 0}, {100, 0}}, {{100, 3}, {}}, {{}, {100, 3}}, {{5, 5}, {5, 5}}} {
		d.between(pair[0], pair[1])
	}
	if d != (dispersion{}) || d.factor(100) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestTheRecentPastIsRecent(t *testing.T) {
	t.Parallel()
	var m memory
	if m.high() != 0 {
		t.Error("nothing has a percentile")
	}
	for i := range 100 {
		m.add(float64(i) / 100)
	}
	if got := m.high(); got < 0.955 || got > 0.98 || len(m.Shares) != recent {
		t.Errorf("of 0.76 to 0.99 the 90th percentile is %v", got)
	}
	for range recent {
		m.add(0.01)
	}
	if got := m.high(); math.Abs(got-0.01) > 1e-6 {
		t.Errorf("%v, after all that was higher is gone", got)
	}
}
