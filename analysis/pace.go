// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"fmt"
	"time"
)

// Pace is when a judge reads its source, and how long that may come to nothing. The
// zero Pace is a reading every ten seconds.
type Pace struct {
	// Interval is how long a block takes: how often the source is read. 0 is 10
	// seconds. With a source that is scraped, no shorter than a scrape.
	Interval time.Duration
	// Warmup is how long blocks are left out after each change of the split: for
	// caches to fill, for code to be compiled.
	Warmup time.Duration
	// IdleLimit is how many blocks in a row may hold no request of the candidate
	// before the verdict is Inconclusive. 0 is three.
	IdleLimit int
	// ConsecutiveErrorLimit is how many errors of the source in a row are tolerated
	// before the verdict is Inconclusive. 0 is four; negative is none.
	ConsecutiveErrorLimit int
}

// filled is p with its defaults, and with as many errors as are tolerated for
// ConsecutiveErrorLimit. The error names the field that is wrong.
func (p Pace) filled() (Pace, error) {
	d := Default().Pace
	p.Interval = cmp.Or(p.Interval, d.Interval)
	p.IdleLimit = cmp.Or(p.IdleLimit, d.IdleLimit)
	p.ConsecutiveErrorLimit = errorLimit(p.ConsecutiveErrorLimit)
	switch {
	case p.Interval < 0 || p.Interval > 24*time.Hour:
		return Pace{}, fmt.Errorf("%s %v: want 0 for 10 seconds, or up to a day", "Interval", p.Interval)
	case p.Warmup < 0:
		return Pace{}, fmt.Errorf("%s %v: want 0 or more", "Warmup", p.Warmup)
	case p.IdleLimit < 0 || p.IdleLimit > maxLimit:
		return Pace{}, fmt.Errorf("IdleLimit %d: want 0 for three, up to %d", p.IdleLimit, maxLimit)
	case p.ConsecutiveErrorLimit > maxLimit:
		return Pace{}, fmt.Errorf("ConsecutiveErrorLimit %d: want at most %d", p.ConsecutiveErrorLimit, maxLimit)
	}
	return p, nil
}

// filledField is p as the field Pace of a judge's options.
func (p Pace) filledField() (Pace, error) {
	p, err := p.filled()
	if err != nil {
		return p, fmt.Errorf("Pace.%w", err)
	}
	return p, nil
}

// errorLimit is how many errors in a row a ConsecutiveErrorLimit tolerates.
func errorLimit(field int) int { return max(cmp.Or(field, defaultErrorLimit), 0) }
