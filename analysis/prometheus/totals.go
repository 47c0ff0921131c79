// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// totals are what is known of the arms as of one moment.
type totals struct {
	arms   [2]analysis.Counts
	halves [2]analysis.Counts // of stable
	told   bool               // whether its replicas can be told apart
	bit    int                // by which they are divided
}

// tally is the totals of one arm, or of a part of it.
type tally struct {
	requests, errors uint64
	bounds           []time.Duration
	latency          []uint64
}

// totals is what both arms have counted, as of a counter that began at since.
func (l *ledger) totals(since time.Time) (totals, error) {
	sums, seen := l.gone, false
	for i := range sums {
		sums[i].latency = slices.Clone(sums[i].latency)
	}
	for _, s := range l.keyed {
		if s.arm == neither {
			continue
		}
		seen = seen || s.requests
		sums[l.part(s.arm, s.replica)].count(s)
	}
	if !seen {
		return totals{}, fmt.Errorf("no series of %s is of either arm, in %s", l.plan.requests.metric, clip(l.plan.text, 300))
	}
	if err := l.checkErrors(); err != nil {
		return totals{}, err
	}
	bounds, err := l.histograms(&sums)
	if err != nil {
		return totals{}, err
	}
	var all tally
	for _, p := range sums[:rival] {
		all.add(p)
	}
	return totals{
		arms:   [2]analysis.Counts{stable: all.counts(bounds, since), candidate: sums[rival].counts(bounds, since)},
		halves: [2]analysis.Counts{sums[half1].counts(bounds, since), sums[half2].counts(bounds, since)},
		told:   l.told, bit: l.bit,
	}, nil
}

// counts is the tally as others see it, with the bounds of all.
func (t *tally) counts(bounds []time.Duration, since time.Time) analysis.Counts {
	c := analysis.Counts{Requests: t.requests, Errors: t.errors, Since: since}
	if bounds != nil {
		c.Bounds, c.Latency = slices.Clone(bounds), make([]uint64, len(bounds)+1)
		copy(c.Latency, t.latency)
	}
	return c
}

// add adds what another part has counted, in the same buckets if in any.
func (t *tally) add(p tally) {
	t.requests += p.requests
	t.errors += p.errors
	if len(t.latency) < len(p.latency) {
		t.latency = make([]uint64, len(p.latency))
	}
	for i, n := range p.latency {
		t.latency[i] += n
	}
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
func (l *ledger) histograms(sums *[parts]tally) ([]time.Duration, error) {
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
		own, err := g.bounds(l.plan.query)
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
		sums[l.part(g.arm, g.replica)].addLatency(g, bounds)
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
