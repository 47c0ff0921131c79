// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
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
	gone   [2]tally
	pruned int64
	// classified says that a series of Requests had each of the labels by which
	// Errors chooses among them.
	classified map[string]bool
}

// series is what one series of the answer is for.
type series struct {
	arm      arm
	key      string
	requests bool
	errors   bool
	counter  counter
	native   bool // it counts what a native histogram has
	about    string
	// group and bucket are set for a series of a histogram.
	group  *group
	bucket *bucket
}

// tally is the totals of one arm.
type tally struct {
	requests, errors uint64
	bounds           []time.Duration
	latency          []uint64
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
	for _, p := range a.points {
		l.note(p.at)
	}
	for i := range a.natives {
		l.note(a.natives[i].at)
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
			s.group.native.add(natives[i], l.since, l.plan.unit, l.fresh(natives[i].at))
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

// series finds the one with these labels, and makes it where it is new.
func (l *ledger) series(raw []byte) (*series, error) {
	if s := l.named[string(raw)]; s != nil {
		return s, nil
	}
	labels, err := labelsOf(raw)
	if err != nil {
		return nil, err
	}
	key := keyOf(labels, "")
	s := l.keyed[key]
	if s == nil {
		if len(l.keyed) >= l.most {
			return nil, fmt.Errorf("%w since %v", errTooMany, time.UnixMilli(l.since).UTC())
		}
		if s, err = l.newSeries(labels); err != nil {
			return nil, err
		}
		s.key = key
		l.keyed[key] = s
	}
	l.named[string(raw)] = s
	return s, nil
}

func (l *ledger) newSeries(labels map[string]string) (*series, error) {
	p := l.plan
	s := &series{arm: neither}
	of, err := p.arm(labels)
	if err != nil || of == neither {
		return s, err
	}
	name := labels[nameLabel]
	is := func(metric string, conditions []condition) bool { return name == metric && allHold(conditions, labels) }
	s.requests = is(p.requests.metric, p.inRequests)
	s.errors = is(p.errors.metric, p.inErrs)
	latency := p.latency.metric != "" && is(p.latency.metric, p.inLate)
	if !s.requests && !s.errors && !latency {
		return s, nil
	}
	s.arm, s.about = of, describe(labels)
	if s.requests {
		for label := range labels {
			l.classified[label] = true
		}
	}
	if latency {
		err = l.join(s, labels)
	}
	return s, err
}

// join makes the series one of its histogram's.
func (l *ledger) join(s *series, labels map[string]string) error {
	id := keyOf(labels, boundLabel)
	g := l.groups[id]
	if g == nil {
		g = &group{arm: s.arm, about: s.about}
		l.groups[id] = g
	}
	s.group = g
	if !l.plan.classic() {
		g.native = &nativeCounter{}
		return nil
	}
	bound, err := strconv.ParseFloat(labels[boundLabel], 64)
	if err != nil || math.IsNaN(bound) {
		return fmt.Errorf("%s has no bound in le", s.about)
	}
	s.bucket = g.bucket(bound)
	return nil
}

// keyOf is the labels in order, but one. Bounds are numbers: 1 is 1.0.
func keyOf(labels map[string]string, but string) string {
	names := make([]string, 0, len(labels))
	for name := range labels {
		if name != but {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		value := labels[name]
		if v, err := strconv.ParseFloat(value, 64); name == boundLabel && err == nil {
			value = strconv.FormatFloat(v, 'g', -1, 64)
		}
		b.WriteString(strconv.Quote(name) + strconv.Quote(value))
	}
	return b.String()
}

// counts is what both arms have counted.
func (l *ledger) counts(since time.Time) (both [2]analysis.Counts, err error) {
	sums, seen := l.gone, false
	for i := range sums {
		sums[i].latency = slices.Clone(sums[i].latency)
	}
	for _, s := range l.keyed {
		if s.arm == neither {
			continue
		}
		seen = seen || s.requests
		sums[s.arm].count(s)
	}
	if !seen {
		return both, fmt.Errorf("no series of %s is of either arm, in %s", l.plan.requests.metric, clip(l.plan.text, 300))
	}
	if err := l.checkErrors(); err != nil {
		return both, err
	}
	bounds, err := l.histograms(&sums)
	if err != nil {
		return both, err
	}
	for i, t := range sums {
		both[i] = analysis.Counts{Requests: t.requests, Errors: t.errors, Since: since}
		if bounds == nil {
			continue
		}
		both[i].Bounds, both[i].Latency = slices.Clone(bounds), t.latency
		if t.latency == nil {
			both[i].Latency = make([]uint64, len(bounds)+1)
		}
	}
	return both, nil
}

// count adds a series. Sums are rounded down one by one, so that the order in which
// they are added makes no difference.
func (t *tally) count(s *series) {
	if s.requests {
		t.requests += uint64(s.counter.sum)
	}
	if s.errors {
		t.errors += uint64(s.counter.sum)
	}
}

// checkErrors reports a label by which Errors chooses among the series of Requests
// and which none of them has: a typing error there would be a rollout without errors.
func (l *ledger) checkErrors() error {
	if l.plan.errors.metric != l.plan.requests.metric {
		return nil
	}
	for _, m := range l.plan.errors.matchers {
		if !l.classified[m.label] {
			return fmt.Errorf("no series of %s has the label %s, by which Errors chooses", l.plan.requests.metric, m.label)
		}
	}
	return nil
}

// histograms adds up the histograms of both arms, and says what their bounds are.
func (l *ledger) histograms(sums *[2]tally) ([]time.Duration, error) {
	if l.plan.latency.metric == "" {
		return nil, nil
	}
	var bounds []time.Duration
	var first *group
	for _, t := range sums {
		if t.latency == nil {
			continue
		}
		if bounds != nil && !slices.Equal(t.bounds, bounds) {
			return nil, fmt.Errorf("the histograms %s of the two arms have different bounds: %v and %v", l.plan.latency.metric, bounds, t.bounds)
		}
		bounds = t.bounds
	}
	for _, id := range sorted(l.groups) {
		g := l.groups[id]
		if g.last() <= l.since {
			continue // it ended before
		}
		own, err := g.bounds(l.plan.unit)
		if err != nil {
			return nil, err
		}
		if bounds != nil && !slices.Equal(own, bounds) {
			other := "others that are gone now"
			if first != nil {
				other = first.about
			}
			return nil, fmt.Errorf("the histograms %s and %s have different bounds: %v and %v", g.about, other, own, bounds)
		}
		bounds, first = own, g
		sums[g.arm].addLatency(g, bounds)
	}
	if bounds == nil {
		if l.reached && l.newest <= l.since {
			return nil, nil // nothing was scraped since
		}
		return nil, fmt.Errorf("no series of %s is of either arm, in %s", l.plan.latency.metric, clip(l.plan.text, 300))
	}
	return bounds, nil
}

func (t *tally) addLatency(g *group, bounds []time.Duration) {
	if t.latency == nil {
		t.latency, t.bounds = make([]uint64, len(bounds)+1), bounds
	}
	for i, n := range g.counts() {
		t.latency[i] += uint64(n)
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
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
		} else if own, err := g.bounds(l.plan.unit); err == nil && at > l.since {
			// Other bounds are an error as long as the group is there: nobody has
			// been given its counts.
			if gone := &l.gone[g.arm]; gone.latency == nil || slices.Equal(own, gone.bounds) {
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
			l.gone[s.arm].count(s)
		}
		delete(l.keyed, key)
	}
	for raw, s := range l.named {
		if l.keyed[s.key] == nil {
			delete(l.named, raw)
		}
	}
}

// at is when the series was seen last.
func (s *series) at() int64 {
	switch {
	case s.bucket != nil:
		return s.group.last()
	case s.group != nil:
		return max(s.group.last(), s.counter.at)
	}
	return s.counter.at
}
