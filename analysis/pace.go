// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"time"
)

// Pace is when a judge reads its source, and how long that may come to nothing. The
// zero Pace is a reading every ten seconds.
type Pace struct {
	// Interval is how long a block takes: how often the source is read. 0 is 10
	// seconds. With a source that is scraped, no shorter than a scrape.
	Interval time.Duration
	// Warmup is how long blocks are left out after each change of the split.
	Warmup time.Duration
	// IdleLimit is how many blocks in a row may hold no request of the candidate
	// before the verdict is Inconclusive. 0 is three.
	IdleLimit int
	// ConsecutiveErrorLimit is how many errors of the source in a row are tolerated
	// before the verdict is Inconclusive. 0 is four; negative is none.
	ConsecutiveErrorLimit int
}

// filled is p with its defaults. The error names the field that is wrong.
func (p Pace) filled() (pace, error) {
	d := Default()
	if p.Interval == 0 {
		p.Interval = d.Interval
	}
	if p.IdleLimit == 0 {
		p.IdleLimit = d.IdleLimit
	}
	switch {
	case p.ConsecutiveErrorLimit == 0:
		p.ConsecutiveErrorLimit = d.ConsecutiveErrorLimit
	case p.ConsecutiveErrorLimit < 0:
		p.ConsecutiveErrorLimit = 0
	}
	switch {
	case p.Interval < 0 || p.Interval > 24*time.Hour:
		return pace{}, fmt.Errorf("Pace.Interval %v: want 0 for 10 seconds, or up to a day", p.Interval)
	case p.Warmup < 0:
		return pace{}, fmt.Errorf("Pace.Warmup %v: want 0 or more", p.Warmup)
	case p.IdleLimit < 0 || p.IdleLimit > maxLimit:
		return pace{}, fmt.Errorf("Pace.IdleLimit %d: want 0 for three, up to %d", p.IdleLimit, maxLimit)
	case p.ConsecutiveErrorLimit > maxLimit:
		return pace{}, fmt.Errorf("Pace.ConsecutiveErrorLimit %d: want at most %d", p.ConsecutiveErrorLimit, maxLimit)
	}
	return pace{Interval: p.Interval, Warmup: p.Warmup, IdleLimit: p.IdleLimit, ErrorLimit: p.ConsecutiveErrorLimit}, nil
}

// chance reports a risk that is none.
func chance(name string, p float64) error {
	if !(p > 0 && p < 1) {
		return fmt.Errorf("%s %v: want a number between 0 and 1", name, p)
	}
	return nil
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

// finite reports whether all of these are numbers.
func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// counted reports whether a tally can have been counted.
func (t tallied) counted() bool { return finite(t.n, t.bad) && t.bad >= 0 && t.bad <= t.n }

// share is the share of bad ones, 0 of none.
func (t tallied) share() float64 { return t.bad / max(t.n, 1) }
