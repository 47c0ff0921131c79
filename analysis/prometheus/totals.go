// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// tally is the totals of one arm.
type tally struct {
	requests, errors uint64
	bounds           []time.Duration
	latency          []uint64
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
