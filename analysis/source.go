// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Counts is what one arm has answered since its counter began, as running totals
// that only rise until the counter starts over. The zero Counts is an arm that
// nothing is known of.
type Counts struct {
	// Requests is how many were answered, and Errors how many of these failed.
	Requests, Errors uint64
	// Bounds are the upper bounds of the latency buckets, rising. Latency has one
	// more entry: Latency[i] is how many requests took at most Bounds[i] and more
	// than the bound before, the last entry how many took longer than all bounds.
	// Both are empty where latency is not counted.
	Bounds  []time.Duration
	Latency []uint64
	// Since is when counting began, zero where that is not known. Another Since, or
	// a total that fell, says that the counter started over.
	Since time.Time
}

// After is what was counted after prev, the totals that were read at the moment
// given, and whether that can be known.
//
// A counter that started over since then is counted from 0: what it lost is lost,
// and nothing is counted twice. It cannot be known if c is of another counter that
// had begun before prev was read, as of a second process behind the same address,
// or has other buckets.
func (c Counts) After(prev Counts, read time.Time) (Counts, bool) {
	fell := c.Requests < prev.Requests || c.Errors < prev.Errors
	if !slices.Equal(c.Bounds, prev.Bounds) || len(c.Latency) != len(prev.Latency) {
		if !prev.unknown() {
			return Counts{}, false
		}
		prev.Latency = make([]uint64, len(c.Latency))
	}
	for i, n := range c.Latency {
		fell = fell || n < prev.Latency[i]
	}
	d := Counts{Requests: c.Requests, Errors: c.Errors, Bounds: c.Bounds, Latency: slices.Clone(c.Latency), Since: c.Since}
	switch succession(prev.Since, c.Since, read, fell) {
	case anotherCounter:
		return Counts{}, false
	case startedOver:
		return d, true
	case wentOn:
	}
	d.Requests -= prev.Requests
	d.Errors -= prev.Errors
	for i := range d.Latency {
		d.Latency[i] -= prev.Latency[i]
	}
	return d, true
}

func (c Counts) unknown() bool {
	return c.Requests == 0 && c.Errors == 0 && len(c.Bounds) == 0 && len(c.Latency) == 0 && c.Since.IsZero()
}

type succeeds uint8

const (
	wentOn succeeds = iota
	startedOver
	anotherCounter
)

// succession is how a counter that began at since follows one that began at prev
// and was read at the moment given.
func succession(prev, since, read time.Time, fell bool) succeeds {
	switch {
	case prev.Equal(since) && fell:
		return startedOver
	case prev.Equal(since):
		return wentOn
	case since.IsZero() || since.Before(read):
		// It counted before the last reading, and nobody knows how much.
		return anotherCounter
	default:
		return startedOver
	}
}

// Source counts what the arms of a rollout answer. Implementations must be safe for
// concurrent use and change nothing.
type Source interface {
	// Counts reads the totals of both arms, named in c, as of one moment: the two
	// are compared with each other. An arm that got no request has zeros. A source
	// that does not know must return an error, never zeros; and one that adds up
	// the counters of several processes must see to it that the sum only rises
	// when one of them starts over, since the sum hides it.
	Counts(ctx context.Context, c Check) (stable, candidate Counts, err error)
}

// SourceFunc is a function as a Source.
type SourceFunc func(ctx context.Context, c Check) (stable, candidate Counts, err error)

// Counts calls f.
func (f SourceFunc) Counts(ctx context.Context, c Check) (stable, candidate Counts, err error) {
	return f(ctx, c)
}

// Totals is a proxy or a middleware in this process that counts per arm. It is
// made of standard types, so that neither side imports the other.
type Totals interface {
	// Totals is what an arm has answered since the moment given, and how many of
	// these failed. Entry i of latency counts the requests that took at most bound
	// i and more than the bound before; one more entry counts the rest. ok is
	// false for an arm that is not known.
	Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool)
	// Bounds are the upper bounds of the latency buckets, rising.
	Bounds() []time.Duration
}

// FromTotals reads the arms of t. An arm that t does not know has the zero
// Counts, which is no data. The two arms are read one right after the other.
func FromTotals(t Totals) Source { return totalsSource{t} }

type totalsSource struct{ totals Totals }

func (s totalsSource) Counts(ctx context.Context, c Check) (stable, candidate Counts, err error) {
	if err := ended(ctx); err != nil {
		return Counts{}, Counts{}, err
	}
	if stable, err = s.arm(c.Stable); err != nil {
		return Counts{}, Counts{}, err
	}
	if candidate, err = s.arm(c.Candidate); err != nil {
		return Counts{}, Counts{}, err
	}
	return stable, candidate, nil
}

func (s totalsSource) arm(name string) (Counts, error) {
	requests, errors, latency, since, ok := s.totals.Totals(name)
	if !ok {
		return Counts{}, nil
	}
	c := Counts{Requests: requests, Errors: errors, Since: since}
	if len(latency) == 0 {
		return c, nil
	}
	c.Bounds, c.Latency = s.totals.Bounds(), latency
	if err := c.checkBuckets(); err != nil {
		return Counts{}, fmt.Errorf("analysis: arm %q: %w", name, err)
	}
	return c, nil
}

// checkBuckets reports buckets that no share can be read from.
func (c Counts) checkBuckets() error {
	if len(c.Latency) != len(c.Bounds)+1 {
		return fmt.Errorf("%d latency counts for %d bounds: want one more than bounds", len(c.Latency), len(c.Bounds))
	}
	if !slices.IsSorted(c.Bounds) {
		return fmt.Errorf("latency bounds %v do not rise", c.Bounds)
	}
	return nil
}

// ended is why ctx ended, nil while it lasts. The error is the context's own and,
// where one was given, its cause.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != err { //nolint:errorlint // the very same value, not one that wraps it
		return fmt.Errorf("analysis: %w: %w", err, cause)
	}
	return fmt.Errorf("analysis: %w", err)
}
