// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ledger adds up, series by series, what the arms of one rollout have counted since
// a moment. It is made of samples alone: read again from the same samples, it is
// the same.
type ledger struct {
	plan *plan
	most int // series allowed, alive or not

	// since is where it began, in milliseconds, and until how far it was read.
	since, until int64
	// reached says that samples from before since were found. Where there were none,
	// first is the earliest sample, and nobody knows whether a series that is seen
	// soon after it was born then or long before.
	reached bool
	first   int64
	newest  int64

	// named finds a series by its labels as they came, keyed by its labels in order.
	named map[string]*series
	keyed map[string]*series
	// groups are histograms by their labels but le.
	groups map[string]*group
	// gone is what series had counted that were not seen for long.
	gone   [parts]tally
	pruned int64
	// classified says that a series of Requests had each of the labels by which
	// Errors chooses among them, told that one of stable's said of which replica it is.
	classified map[string]bool
	told       bool
	bit        int // see halve
}

const (
	// reach is how far before its beginning a ledger looks for what a series had
	// counted, and how long a series may be away without being forgotten.
	reach = time.Hour
	// grace is how long after the first sample of all another first sample may
	// come without being that of a new series.
	grace = 5 * time.Minute
)

func newLedger(p *plan, since time.Time, most int) *ledger {
	l := &ledger{
		plan: p, most: 4 * most, since: since.UnixMilli(), until: since.UnixMilli(), pruned: since.UnixMilli(),
		first: math.MaxInt64, newest: math.MinInt64,
		named: map[string]*series{}, keyed: map[string]*series{}, groups: map[string]*group{}, classified: map[string]bool{},
	}
	return l
}

var errTooMany = errors.New("more series than MaxSeries")

// take adds the samples of an answer, up to until.
func (l *ledger) take(a *answer, until int64) error {
	// Which series is new can only be told once the earliest sample of all is known.
	for _, r := range a.series {
		for _, p := range a.points[r.points:r.pointEnd] {
			l.note(p.at)
		}
		for i := range a.natives[r.native:r.natEnd] {
			l.note(a.natives[r.native+i].at)
		}
	}
	for _, r := range a.series {
		s, err := l.series(r.labels)
		if err != nil {
			return err
		}
		if s.arm == neither {
			continue
		}
		if err := l.add(s, a.points[r.points:r.pointEnd], a.natives[r.native:r.natEnd]); err != nil {
			return err
		}
	}
	for _, g := range l.groups {
		g.settle(l.since, l.base)
	}
	l.until = max(l.until, until)
	l.prune()
	return nil
}

func (l *ledger) note(at int64) {
	l.newest = max(l.newest, at)
	if at <= l.since {
		l.reached = true
	}
	l.first = min(l.first, at)
}

// fresh reports whether a series that is first seen at this moment counts from 0.
func (l *ledger) fresh(at int64) bool { return l.reached || at > l.first+grace.Milliseconds() }

// base is what a series first seen with this sample had counted before it was new.
func (l *ledger) base(p point) float64 {
	if l.fresh(p.at) {
		return 0
	}
	return p.v
}

func (l *ledger) add(s *series, points []point, natives []native) error {
	for _, p := range points {
		if math.IsNaN(p.v) || math.IsInf(p.v, 0) || p.v < 0 {
			return fmt.Errorf("%s has the value %v, which is no count", s.about, p.v)
		}
	}
	for i := range natives {
		if n := natives[i].count; math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
			return fmt.Errorf("%s has the count %v, which is none", s.about, n)
		}
	}
	switch {
	case s.bucket != nil && len(natives) > 0:
		return fmt.Errorf("%s is a native histogram: name it in Latency without _bucket", s.about)
	case s.bucket != nil:
		s.bucket.points = points
	case s.group != nil && len(points) > 0:
		return fmt.Errorf("%s is no histogram: Latency wants one, or the series of one that end in _bucket", s.about)
	case s.group != nil:
		for i := range natives {
			s.group.native.add(natives[i], l.since, l.plan.grid, l.fresh(natives[i].at))
		}
	}
	if !s.requests && !s.errors || len(points)+len(natives) == 0 {
		return nil
	}
	if native := len(natives) > 0; native && len(points) > 0 || s.counter.seen && native != s.native {
		return fmt.Errorf("%s is a counter and a native histogram in turn: name the histogram in Latency, too", s.about)
	}
	s.native = len(natives) > 0
	for _, p := range points {
		s.counter.add(p, l.since, l.base)
	}
	for i := range natives {
		s.counter.add(point{natives[i].at, natives[i].count}, l.since, l.base)
	}
	return nil
}

// prune forgets the series that were not seen for long, and keeps what they gave.
func (l *ledger) prune() {
	old := l.until - reach.Milliseconds()
	if l.pruned > old {
		return
	}
	l.pruned = l.until
	for id, g := range l.groups {
		if at := g.last(); at > old {
			continue
		} else if own, err := g.bounds(l.plan.query); err == nil && at > l.since {
			// Other bounds are an error as long as the group is there: nobody has
			// been given its counts.
			if gone := &l.gone[l.part(g.arm, g.replica)]; gone.latency == nil || slices.Equal(own, gone.bounds) {
				gone.addLatency(g, own)
			}
		}
		delete(l.groups, id)
	}
	for key, s := range l.keyed {
		if s.at() > old {
			continue
		}
		if s.arm != neither {
			l.gone[l.part(s.arm, s.replica)].count(s)
		}
		delete(l.keyed, key)
	}
	for raw, s := range l.named {
		if l.keyed[s.key] == nil {
			delete(l.named, raw)
		}
	}
}
