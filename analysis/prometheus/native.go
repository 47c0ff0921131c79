// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"math"
	"slices"
	"time"
)

const (
	// Native histograms are put into buckets of schema 3, whose bounds grow by
	// 2^(1/8), nine per cent: from a millisecond to a minute and a bit.
	resolution      = 8
	lowest, highest = -10 * resolution, 6 * resolution
	fixed           = highest - lowest + 1
)

// nativeBounds are the bounds that native histograms are put into.
var nativeBounds = func() func() []time.Duration {
	list := make([]time.Duration, fixed)
	for i := range list {
		list[i] = time.Duration(math.Round(math.Exp2(float64(lowest+i)/resolution) * float64(time.Second)))
	}
	return func() []time.Duration { return list }
}()

// nativeCounter adds up what one native histogram has counted.
type nativeCounter struct {
	seen   bool
	at     int64
	count  float64
	last   [fixed + 1]float64
	sum    [fixed + 1]float64
	folded [fixed + 1]float64
}

// add takes a sample into account. A histogram that has coarsened its buckets
// meanwhile seems to have fewer requests in some: what it counted in between is left
// out, for nobody knows where it belongs.
func (c *nativeCounter) add(h native, since int64, unit time.Duration, fresh bool) {
	if c.seen && h.at <= c.at {
		return
	}
	now := &c.folded
	h.fold(now, unit)
	switch {
	case h.at <= since:
	case !c.seen && fresh, c.seen && h.count < c.count:
		for i, n := range now {
			c.sum[i] += n
		}
	case c.seen && !slices.ContainsFunc(c.falls(now), func(fell bool) bool { return fell }):
		for i, n := range now {
			c.sum[i] += n - c.last[i]
		}
	}
	c.seen, c.at, c.count, c.last = true, h.at, h.count, *now
}

func (c *nativeCounter) falls(now *[fixed + 1]float64) []bool {
	fell := make([]bool, len(now))
	for i, n := range now {
		fell[i] = n < c.last[i]
	}
	return fell
}

// fold puts a native histogram into the fixed buckets. A bucket that is wider than
// those counts where it ends: as slow as its requests can have been.
func (h native) fold(into *[fixed + 1]float64, unit time.Duration) {
	*into = [fixed + 1]float64{}
	for _, b := range h.buckets {
		high := b.high * unit.Seconds()
		i := 0
		if high > 0 {
			// A bound of the histogram's own is one of ours but for rounding.
			i = int(min(max(math.Ceil(math.Log2(high)*resolution-1e-6), lowest), highest+1)) - lowest
		}
		into[i] += b.n
	}
}
