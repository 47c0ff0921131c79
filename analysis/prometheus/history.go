// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

var _ analysis.History = (*Source)(nil)

// History counts what the two groups of [Source.Halves] answered before c.Exposed, by
// the samples of the last quarter of an hour before it: blocks that do not fit in there,
// or that samples are still on their way for, are left out. It asks the server once, for
// samples, which are added up as those of Counts are; Counts has those after Exposed,
// so that nothing is in both.
//
// A rollout can do without its history: where the server has more samples than it or
// [Options] allow in one answer, or where they cannot be counted, such as histograms
// whose bounds were others, the error is errors.ErrUnsupported and says why.
func (s *Source) History(ctx context.Context, c analysis.Check, length time.Duration, blocks int) ([]analysis.Halved, error) {
	if length < time.Millisecond {
		return nil, s.failed(fmt.Errorf("history in blocks of %v: want a millisecond at least", length))
	}
	t, err := s.totals(ctx, c)
	if err == nil && !t.told {
		err = s.untold()
	}
	var list []analysis.Halved
	if err == nil {
		list, err = s.past(ctx, c, t.bit, edges(began(c), c.Until.Add(-s.delay), length, blocks))
	}
	if err != nil {
		return nil, s.failed(err)
	}
	return list, nil
}

// edges are where blocks before a moment begin and end, those left out that end after
// late or begin more than a chunk before.
func edges(before, late time.Time, length time.Duration, blocks int) []int64 {
	var list []int64
	for i := range int64(min(blocks, int(chunk/length)) + 1) {
		at := before.Add(-time.Duration(i) * length)
		if !at.After(late) {
			list = append(list, at.UnixMilli())
		}
	}
	slices.Reverse(list)
	return list
}

// past counts what was between the edges.
func (s *Source) past(ctx context.Context, c analysis.Check, bit int, edges []int64) (list []analysis.Halved, err error) {
	if len(edges) < 2 {
		return nil, nil
	}
	p, err := s.query.plan(c)
	if err != nil {
		return nil, err
	}
	first, last := time.UnixMilli(edges[0]), time.UnixMilli(edges[len(edges)-1])
	l := newLedger(p, first, s.client.series)
	l.bit = bit
	var uncountable error
	err = s.client.query(ctx, p.text+"["+promDuration(last.Sub(first)+grace)+"]", last, func(a *answer) error {
		list, uncountable = l.between(a, edges)
		return nil
	})
	if _, hopeless := errors.AsType[tooMuchError](err); hopeless {
		err, uncountable = nil, err
	}
	if uncountable != nil {
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, uncountable)
	}
	return list, err
}

// between takes an answer into the ledger piece by piece, and says what the halves of
// stable counted in each: in the last ones, if earlier ones cannot be counted.
func (l *ledger) between(a *answer, edges []int64) (list []analysis.Halved, err error) {
	whole := slices.Clone(a.series)
	for i := range a.series {
		a.series[i].pointEnd, a.series[i].natEnd = a.series[i].points, a.series[i].native
	}
	var before totals
	known := false
	for _, edge := range edges {
		a.advance(whole, edge)
		if err := l.take(a, edge); err != nil {
			return nil, err
		}
		var now totals
		if now, err = l.totals(time.Time{}); err != nil {
			list, known = nil, false
			continue
		}
		if known {
			var h analysis.Halved
			var ok [2]bool
			h.A, ok[0] = now.halves[0].After(before.halves[0], time.Time{})
			h.B, ok[1] = now.halves[1].After(before.halves[1], time.Time{})
			if !ok[0] || !ok[1] {
				list = nil
			} else {
				list = append(list, h)
			}
		}
		before, known = now, true
	}
	if len(list) > 0 {
		err = nil
	}
	return list, err
}

// advance makes a hold the samples up to a moment, of those of whole that it has not
// held before.
func (a *answer) advance(whole []rawSeries, until int64) {
	for i := range a.series {
		r := &a.series[i]
		r.points, r.native = r.pointEnd, r.natEnd
		for r.pointEnd < whole[i].pointEnd && a.points[r.pointEnd].at <= until {
			r.pointEnd++
		}
		for r.natEnd < whole[i].natEnd && a.natives[r.natEnd].at <= until {
			r.natEnd++
		}
	}
}
