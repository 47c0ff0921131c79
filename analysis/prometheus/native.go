// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"math"
	"time"
)

const (
	// Native histograms are put into buckets of schema 3, whose bounds grow by
	// 2^(1/8), nine per cent: from a millisecond to a minute and a bit.
	resolution = 8
	octaves    = 16
	fixed      = octaves*resolution + 1
	// widest is how many of ours a bucket is dealt to at most: those of the coarsest
	// schema there is.
	widest = 16 * resolution
)

// grid is the buckets that native histograms in one unit are put into, by the power
// of 2^(1/8) that the first ends at. Bounds of the histograms' own are among its.
type grid int

func newGrid(unit time.Duration) grid {
	return grid(math.Floor(math.Log2(float64(time.Millisecond)/float64(unit)) * resolution))
}

// bounds are where the buckets of the grid end, but the last, which is for the rest.
func (g grid) bounds(unit time.Duration) []time.Duration {
	list := make([]time.Duration, fixed)
	for i := range list {
		list[i] = time.Duration(math.Round(math.Exp2(float64(int(g)+i)/resolution) * float64(unit)))
	}
	return list
}

// power is which power of 2^(1/8) a bound is, or the next above: those of schemas are
// powers but for rounding. Bounds far beyond the grid are all the same.
func (g grid) power(bound float64) int {
	if bound <= 0 {
		return int(g) - widest
	}
	p := math.Ceil(math.Log2(bound)*resolution - 1e-6)
	return int(min(max(p, float64(int(g)-widest)), float64(int(g)+fixed+widest)))
}

// deal hands n requests of a bucket to the buckets of the grid that it covers: most
// often one. Those of a coarse histogram cover several, which get the same number of
// requests each, as exponential interpolation would have it; of what is left over the
// slowest get one each. So all are dealt, whole, and more requests give none of them less.
func (g grid) deal(b span, n float64, to func(i int, n float64)) {
	end := g.power(b.high)
	covers := end - g.power(b.low)
	if covers > widest {
		covers = 1 // from zero, or to infinity: as slow as they can have been
	}
	covers = max(covers, 1)
	for back := range covers {
		some := n
		if covers > 1 {
			some = math.Floor((n + float64(covers-1-back)) / float64(covers))
		}
		to(min(max(end-back-int(g), 0), fixed), some)
	}
}

// nativeCounter adds up what one native histogram has counted.
type nativeCounter struct {
	seen  bool
	at    int64
	count float64
	last  []span
	sum   [fixed + 1]float64
}

// add takes a sample into account. Where a histogram has made its buckets wider
// since the last sample, what it had counted in narrow ones was in the wide ones. What
// cannot be made out is left out: buckets that became narrower, or lost requests that
// the whole has not lost.
func (c *nativeCounter) add(h native, since int64, g grid, fresh bool) {
	if c.seen && h.at <= c.at {
		return
	}
	last := c.last
	usable := c.seen || fresh
	if c.seen && h.count < c.count {
		last = nil // it started over
	}
	seen := make([]float64, len(h.buckets)) // in each bucket, before
	for i, b := range h.buckets {
		for len(last) > 0 && last[0].high <= b.high*(1+1e-9) {
			usable = usable && last[0].low >= b.low-1e-9*math.Abs(b.low)
			seen[i] += last[0].n
			last = last[1:]
		}
		usable = usable && seen[i] <= b.n && b.n < math.MaxInt64
	}
	if usable && len(last) == 0 && h.at > since {
		for i, b := range h.buckets {
			g.deal(b, b.n, func(i int, n float64) { c.sum[i] += n })
			g.deal(b, seen[i], func(i int, n float64) { c.sum[i] -= n })
		}
	}
	c.seen, c.at, c.count, c.last = true, h.at, h.count, h.buckets
}
