// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// midranks are the ranks of values, those of equal ones shared.
func midranks(values []float64) []float64 {
	ranks := make([]float64, len(values))
	for i, a := range values {
		for _, b := range values {
			switch {
			case b < a:
				ranks[i]++
			case b == a:
				ranks[i] += 0.5
			}
		}
		ranks[i] += 0.5
	}
	return ranks
}

// statistic is the rank sum of x shifted down by mu, less its least value.
func statistic(x, y []float64, mu float64) float64 {
	var all []float64
	for _, v := range x {
		all = append(all, v-mu)
	}
	all = append(all, y...)
	sum := 0.0
	for _, r := range midranks(all)[:len(x)] {
		sum += r
	}
	return sum - float64(len(x)*(len(x)+1))/2
}

// z is the test of the shift mu, by the textbook: ranks, ties, continuity.
func z(x, y []float64, mu float64) float64 {
	n, m := float64(len(x)), float64(len(y))
	var all []float64
	for _, v := range x {
		all = append(all, v-mu)
	}
	all = append(all, y...)
	counts := map[float64]float64{}
	for _, v := range all {
		counts[v]++
	}
	ties := 0.0
	for _, t := range counts {
		ties += t*t*t - t
	}
	d := statistic(x, y, mu) - n*m/2
	if d != 0 {
		d -= math.Copysign(0.5, d)
	}
	return d / math.Sqrt(n*m/12*(n+m+1-ties/((n+m)*(n+m-1))))
}

// inverted is where z crosses q, by bisection over shifts that make no ties.
func inverted(x, y []float64, q float64) float64 {
	low, high := slices.Min(x)-slices.Max(y)-1e-7, slices.Max(x)-slices.Min(y)+1e-7
	for range 100 {
		if mid := low + (high-low)*0.4999123; z(x, y, mid) > q {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

func TestTheShiftIsWhereTheRankTestTurns(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a simulation
	for i := range 300 {
		x, y := make([]float64, 5+r.IntN(12)), make([]float64, 5+r.IntN(12))
		for _, s := range [][]float64{x, y} {
			for i := range s {
				s[i] = math.Round(r.ExpFloat64()*32) / 8 // with ties
			}
		}
		const confidence, quantile = 0.98, 2.3263478740408408
		got := shiftOf(x, y, confidence)
		want := shift{Low: inverted(x, y, quantile), High: inverted(x, y, -quantile)}
		var d []float64
		for _, a := range x {
			for _, b := range y {
				d = append(d, a-b)
			}
		}
		slices.Sort(d)
		// Beyond what the test refuses there is the outermost difference.
		want.Low, want.High = max(want.Low, d[0]), min(want.High, d[len(d)-1])
		want.Estimate = (d[(len(d)-1)/2] + d[len(d)/2]) / 2
		if math.Abs(got.Low-want.Low) > 1e-6 || math.Abs(got.High-want.High) > 1e-6 || got.Estimate != want.Estimate {
			t.Fatalf("%d: %v and %v: %+v, want %+v", i, x, y, got, want)
		}
		sum := 0.0
		for _, rank := range midranks(slices.Concat(x, y))[:len(x)] {
			sum += rank
		}
		n, m := float64(len(x)), float64(len(y))
		if cles := (2*sum - n*(n+1)) / (2 * n * m); math.Abs(superiority(x, y)-cles) > 1e-12 {
			t.Fatalf("superiority %v, by ranks %v", superiority(x, y), cles)
		}
	}
}

// TestTheRankTestIsThatOfAllOrders draws every set of ranks that the candidate can
// have, with and without ties, and finds the moments and the error of the test from them.
func TestTheRankTestIsThatOfAllOrders(t *testing.T) {
	t.Parallel()
	for _, pool := range [][]float64{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 5, 6}} {
		const n = 6
		ranks := midranks(pool)
		orders, square, refused := 0.0, 0.0, 0.0
		for set := range 1 << len(pool) {
			if bits.OnesCount(uint(set)) != n { //nolint:gosec // of twelve bits
				continue
			}
			var x, y []float64
			sum := 0.0
			for i, v := range pool {
				if set>>i&1 == 1 {
					x = append(x, v)
					sum += ranks[i]
				} else {
					y = append(y, v)
				}
			}
			u := sum - n*(n+1)/2
			orders++
			square += (u - n*n/2) * (u - n*n/2)
			if m := (&RankedMetric{Bad: Either, AllowedIncrease: 1, AllowedDecrease: 1}); m.rank(x, y, 0.98, 0.25).class != passes {
				refused++
			}
		}
		all := float64(len(pool))
		want := n * n / 12.0 * (all + 1 - tied(pool)/(all*(all-1)))
		if got := square / orders; math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: the variance over %v orders is %v, the formula says %v", pool, orders, got, want)
		}
		if refused/orders > 0.02 || refused == 0 {
			t.Errorf("%v: %v of %v orders are refused, want at most 2%%", pool, refused, orders)
		}
	}
}

func TestMetricsAreClassifiedAsKayentaDoes(t *testing.T) {
	t.Parallel()
	base := []float64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	plus := func(d float64) (list []float64) {
		for _, v := range base {
			list = append(list, v+d)
		}
		return list
	}
	neutral := RankedMetric{AllowedIncrease: 1, AllowedDecrease: 1}
	with := func(edit func(*RankedMetric)) RankedMetric { m := neutral; edit(&m); return m }
	for name, test := range map[string]struct {
		m    RankedMetric
		x    []float64
		y    []float64
		want class
	}{
		"higher":                     {neutral, plus(10), base, high},
		"lower is good":              {neutral, plus(-9), base, passes},
		"lower is bad":               {with(func(m *RankedMetric) { m.Bad = Decrease }), plus(-9), base, low},
		"higher is good":             {with(func(m *RankedMetric) { m.Bad = Decrease }), plus(10), base, passes},
		"either, up":                 {with(func(m *RankedMetric) { m.Bad = Either }), plus(10), base, high},
		"either, down":               {with(func(m *RankedMetric) { m.Bad = Either }), plus(-9), base, low},
		"a little higher":            {neutral, plus(2), base, passes},
		"barely within the interval": {neutral, plus(4.5), base, passes}, // it is from 1 to 8, 1 < 4.5/4
		"just beyond a quarter":      {neutral, plus(5.5), base, high},   // from 2 to 9
		"the same":                   {neutral, base, base, passes},
		"the same value":             {neutral, []float64{3, 3, 3}, []float64{3, 3}, passes},
		"two values":                 {neutral, []float64{4, 4, 4, 4, 4, 4}, []float64{3, 3, 3, 3, 3, 3}, high},
		"within what is allowed":     {with(func(m *RankedMetric) { m.AllowedIncrease = 2 }), plus(10), base, passes},
		"beyond what is allowed":     {with(func(m *RankedMetric) { m.AllowedIncrease = 1.6 }), plus(10), base, high},
		"allowed to fall":            {with(func(m *RankedMetric) { m.Bad, m.AllowedDecrease = Either, 0.3 }), plus(-9), base, passes},
		"a ratio to nothing":         {with(func(m *RankedMetric) { m.AllowedIncrease = 5 }), plus(1), make([]float64, 10), high},
		"superiority":                {with(func(m *RankedMetric) { m.Effect, m.AllowedIncrease = Superiority, 0.99 }), plus(10), base, high},
		"less superiority":           {with(func(m *RankedMetric) { m.Effect, m.AllowedIncrease = Superiority, 0.99 }), plus(8), base, passes},
		"none":                       {neutral, nil, base, noData},
		"none of stable":             {neutral, base, nil, noData},
		"none, as zeros":             {with(func(m *RankedMetric) { m.ZeroForNone = true }), nil, base, passes},
		"none, and there must be":    {with(func(m *RankedMetric) { m.MustHaveData = true }), nil, base, noDataFail},
	} {
		if got := test.m.rank(test.x, test.y, 0.98, 0.25); got.class != test.want {
			t.Errorf("%s: class %d, want %d: %+v", name, got.class, test.want, got)
		}
	}
}

func TestTheScoreIsThatOfWeightedGroups(t *testing.T) {
	t.Parallel()
	metrics := []RankedMetric{{Group: "a"}, {Group: "a"}, {Group: "b"}, {Group: "c", Critical: true}}
	weights := map[string]float64{"a": 50}
	for _, test := range []struct {
		classes []class
		want    float64
	}{
		{[]class{passes, passes, passes, passes}, 100},
		{[]class{high, passes, passes, passes}, 75},
		{[]class{high, low, passes, passes}, 50},
		{[]class{passes, passes, high, passes}, 75},
		{[]class{passes, passes, passes, high}, 0},
		{[]class{passes, passes, passes, noData}, 0}, // it is critical
		{[]class{passes, noData, passes, passes}, 100},
		{[]class{high, noData, passes, passes}, 50},
		{[]class{passes, passes, noData, passes}, 100},
		{[]class{passes, noData, noData, passes}, 0}, // of half of them nothing is known
		{[]class{passes, noDataFail, passes, passes}, 75},
	} {
		ranked := make([]ranking, len(test.classes))
		for i, c := range test.classes {
			ranked[i].class = c
		}
		if got := score(metrics, weights, ranked); got != test.want {
			t.Errorf("%v: score %v, want %v", test.classes, got, test.want)
		}
	}
}
