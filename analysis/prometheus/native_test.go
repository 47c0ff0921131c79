// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// of is a native histogram of a schema, in seconds: count(i) requests in the bucket
// that ends at 2^(i/2^schema).
func of(at int64, schema int, counts map[int]float64) native {
	h := native{at: at}
	end := func(i int) float64 { return math.Exp2(float64(i) * math.Exp2(float64(-schema))) }
	for i := -200; i < 200; i++ {
		if n := counts[i]; n > 0 {
			h.buckets = append(h.buckets, span{end(i - 1), end(i), n})
			h.count += n
		}
	}
	return h
}

func sumOf(c *nativeCounter) (n float64) {
	for _, v := range c.sum {
		n += v
	}
	return n
}

func TestNativeHistogramsStartOverAndCoarsen(t *testing.T) {
	t.Parallel()
	var c nativeCounter
	g := newGrid(time.Second)
	at := int64(-1)
	sample := func(want float64, buckets ...span) {
		t.Helper()
		at++
		h := native{at: at, buckets: buckets}
		for _, b := range buckets {
			h.count += b.n
		}
		c.add(h, 0, g, true)
		if sumOf(&c) != want {
			t.Errorf("counted %v after sample %d, want %v", sumOf(&c), at, want)
		}
	}
	sample(0, span{0.5, 1, 10})
	sample(5, span{0.5, 1, 13}, span{1, 2, 2})
	sample(9, span{0.5, 1, 4})                    // it started over
	sample(11, span{0.25, 2, 6})                  // coarser: what was narrow is in the wide one
	sample(12, span{0.25, 2, 7})                  //
	sample(12, span{0.25, 0.5, 1}, span{1, 2, 7}) // finer: nobody knows where the seven were
	sample(13, span{0.25, 0.5, 2}, span{1, 2, 7})
	sample(16, span{-0.1, 0, 1}, span{0.25, 0.5, 2}, span{1, 2, 7}, span{100, 110, 1}, span{1000, math.Inf(1), 1})
	if c.sum[fixed] != 2 || c.sum[0] != 1 {
		t.Errorf("counted %v above all bounds and %v below, want 2 and 1", c.sum[fixed], c.sum[0])
	}
	for _, v := range c.sum {
		if v < 0 {
			t.Errorf("a bucket holds %v", v)
		}
	}
	// The whole has grown, but a bucket is gone, or is none.
	sample(16, span{-0.1, 0, 1}, span{0.25, 0.5, 20}, span{1, 2, 7})
	sample(17, span{-0.1, 0, 1}, span{0.25, 0.5, 20}, span{1, 2, 8})
	sample(17, span{-0.1, 0, 1}, span{0.25, 0.5, 20}, span{1, 2, math.Inf(1)})
	sample(17, span{0.25, 0.5, math.NaN()}, span{math.NaN(), math.NaN(), 1}, span{1, 2, -3})
}

func TestBoundsOfASchemaAreBoundsInEveryUnit(t *testing.T) {
	t.Parallel()
	for _, unit := range []time.Duration{time.Microsecond, time.Millisecond, time.Second, time.Minute} {
		g := newGrid(unit)
		bounds := g.bounds(unit)
		if first, last := bounds[0], bounds[fixed-1]; first < 900*time.Microsecond || first > time.Millisecond || last < time.Minute-time.Second {
			t.Errorf("in units of %v from %v to %v", unit, first, last)
		}
		for i := range fixed {
			power := float64(int(g) + i)
			for _, finer := range []float64{1, 2, 8} { // schemas 3, 4 and 6
				b := span{math.Exp2((power - 1/finer) / resolution), math.Exp2(power / resolution), 1}
				g.deal(b, 1, func(got int, n float64) {
					if got != i || n != 1 {
						t.Errorf("in units of %v the bucket up to %v is number %d with %v, want %d", unit, b.high, got, n, i)
					}
				})
			}
		}
	}
}

func TestABucketIsDealtWholeAndNoneOfItsPartsFalls(t *testing.T) {
	t.Parallel()
	g := newGrid(time.Second)
	for _, b := range []span{{0.5, 1, 0}, {0.25, 1, 0}, {1.0 / 16, 16, 0}, {0.1, 0.25, 0}, {0.0001, 0.01, 0}, {50, 100, 0}} {
		var before [fixed + 1]float64
		for n := range 300 {
			var now [fixed + 1]float64
			sum := 0.0
			g.deal(b, float64(n), func(i int, some float64) { now[i] += some; sum += some })
			if sum != float64(n) {
				t.Fatalf("of %d requests in %v %v were dealt", n, b, sum)
			}
			for i := range now {
				if now[i] < before[i] {
					t.Fatalf("bucket %d fell from %v to %v when a request came into %v", i, before[i], now[i], b)
				}
			}
			before = now
		}
	}
	// Where a bucket begins at zero, nobody knows how fast its requests were.
	g.deal(span{low: -0.5, high: 0.5}, 100, func(i int, n float64) {
		if int(g)+i != -resolution || n != 100 {
			t.Errorf("%v of 100 requests up to 0.5 are in bucket %d", n, i)
		}
	})
	// As interpolation has it: half of the requests up to one are above its root.
	var now [fixed + 1]float64
	g.deal(span{0.25, 1, 800}, 800, func(i int, n float64) { now[i] += n })
	above := 0.0
	for i, n := range now {
		if int(g)+i > -resolution {
			above += n
		}
	}
	if above != 400 {
		t.Errorf("%v of 800 requests between 0.25 and 1 are above 0.5, want half", above)
	}
}

func TestACoarseHistogramTellsNearlyTheSameShares(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a simulation
	g := newGrid(time.Second)
	fine, coarse := map[int]float64{}, map[int]float64{}
	const n = 20_000
	for range n {
		power := math.Log2(0.08) + 0.8*rng.NormFloat64() // of two, in seconds
		fine[int(math.Ceil(power*8))]++
		coarse[int(math.Ceil(power*2))]++
	}
	var a, b nativeCounter
	a.add(of(1, 3, fine), 0, g, true)
	b.add(of(1, 1, coarse), 0, g, true)
	var below [2]float64
	for i := range a.sum {
		below[0] += a.sum[i]
		below[1] += b.sum[i]
		if math.Abs(below[0]-below[1]) > 0.02*n {
			t.Errorf("%v of %d are below the bound %d by the fine one, %v by the coarse", below[0], n, i, below[1])
		}
	}
	if below != [2]float64{n, n} {
		t.Errorf("%v were counted of %d", below, n)
	}
}
