// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// counter adds up what one counter has counted since the ledger began. Its sum only
// rises, also where the counter starts over.
type counter struct {
	seen bool
	at   int64 // of the last sample
	last float64
	sum  float64
}

// add takes a sample into account. base is what a counter that was not seen before
// had counted already.
func (c *counter) add(p point, since int64, base func(point) float64) {
	if c.seen && p.at <= c.at {
		return // a window overlaps with the one before
	}
	switch {
	case p.at <= since:
	case !c.seen:
		c.sum += p.v - base(p)
	case p.v < c.last:
		c.sum += p.v // it started over
	default:
		c.sum += p.v - c.last
	}
	c.seen, c.at, c.last = true, p.at, p.v
}

// group is one replica's histogram.
type group struct {
	arm     arm
	replica replica
	about   string // what it is, for errors
	buckets []*bucket
	native  *nativeCounter // instead of buckets
	// most is the highest that was counted in each bucket: see settle.
	most []float64
}

// bucket is a counter of a classic histogram: of all that is at most its bound.
type bucket struct {
	counter
	bound  float64
	points []point // of the answer that is being read
}

// settle takes the points that the buckets were given into account, moment by moment.
//
// A program that is scraped while it counts may show a request in one bucket and
// not yet in the wider ones. What is between two buckets then seems to fall for a
// moment, and a total that falls looks like a counter that started over. So the
// highest that was ever there is what counts.
func (g *group) settle(since int64, base func(point) float64) {
	if len(g.most) < len(g.buckets) {
		g.most = append(g.most, make([]float64, len(g.buckets)-len(g.most))...)
	}
	for {
		at, more := int64(math.MaxInt64), false
		for _, b := range g.buckets {
			if len(b.points) > 0 {
				at, more = min(at, b.points[0].at), true
			}
		}
		if !more {
			return
		}
		below := 0.0
		for i, b := range g.buckets {
			if len(b.points) > 0 && b.points[0].at == at {
				b.add(b.points[0], since, base)
				b.points = b.points[1:]
			}
			g.most[i] = max(g.most[i], b.sum-below)
			below = b.sum
		}
	}
}

// bucket is the one with this bound, new where there is none.
func (g *group) bucket(bound float64) *bucket {
	i, ok := slices.BinarySearchFunc(g.buckets, bound, func(b *bucket, bound float64) int {
		switch {
		case b.bound < bound:
			return -1
		case b.bound > bound:
			return 1
		}
		return 0
	})
	if !ok {
		g.buckets = slices.Insert(g.buckets, i, &bucket{bound: bound})
		if len(g.most) > i {
			g.most = slices.Insert(g.most, i, 0)
		}
	}
	return g.buckets[i]
}

// last is when the group was seen last.
func (g *group) last() int64 {
	if g.native != nil {
		return g.native.at
	}
	at := int64(math.MinInt64)
	for _, b := range g.buckets {
		at = max(at, b.at)
	}
	return at
}

// bounds are the upper bounds of the histogram's buckets but the last.
func (g *group) bounds(q *query) ([]time.Duration, error) {
	if g.native != nil {
		return q.bounds, nil
	}
	if n := len(g.buckets); n < 2 || !math.IsInf(g.buckets[n-1].bound, 1) {
		return nil, fmt.Errorf("the histogram %s has no bucket le=\"+Inf\" beside another", g.about)
	}
	list := make([]time.Duration, len(g.buckets)-1)
	for i := range list {
		list[i] = duration(g.buckets[i].bound, q.unit)
		if list[i] <= 0 || i > 0 && list[i] <= list[i-1] {
			return nil, fmt.Errorf("the histogram %s has a bucket le=\"%v\", which is no latency in units of %v", g.about, g.buckets[i].bound, q.unit)
		}
	}
	return list, nil
}

// duration is a bound as a duration, 0 where it is none.
func duration(bound float64, unit time.Duration) time.Duration {
	d := math.Round(bound * float64(unit))
	if !(d > 0 && d < math.MaxInt64) {
		return 0
	}
	return time.Duration(d)
}

// counts is what was counted in each bucket.
func (g *group) counts() []float64 {
	if g.native != nil {
		return g.native.sum[:]
	}
	return g.most
}
