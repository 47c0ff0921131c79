// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Halves is what a [Source] may offer besides: stable's replicas in two fixed
// groups of about the same size. They run the same version, so that how far they
// differ is how far two arms differ for no reason, and a judge that compares arms
// can weigh its evidence by it. Implementations must be safe for concurrent use.
type Halves interface {
	// Halves reads the totals of both groups as of one moment, near to that of
	// Counts. A replica stays in its group as long as it runs; the groups need not
	// hold all replicas. errors.ErrUnsupported says that they cannot be told apart,
	// another error that the source could not be read.
	Halves(ctx context.Context, c Check) (a, b Counts, err error)
}

// History is what a [Source] may offer besides: what the two groups of [Halves] had
// counted before the candidate got any traffic. Without it a judge learns only from
// the blocks of the rollout itself, and has learned nothing when it begins.
// Implementations must be safe for concurrent use.
type History interface {
	// History is what was counted in each of the last blocks of this length before
	// c.Exposed, the oldest first: increments, not totals, of at most that many
	// blocks. Fewer are no error. errors.ErrUnsupported says that there is none,
	// another error that the source could not be read.
	History(ctx context.Context, c Check, length time.Duration, blocks int) ([]Halved, error)
}

// Halved is what the two groups of stable's replicas counted in one block.
type Halved struct{ A, B Counts }

// lookback is how many blocks of history are asked for: a quarter of an hour of
// those that [Default] makes.
const lookback = 90

// learner is a gatherer that learns from stable alone how much two arms may differ
// for no reason.
type learner interface {
	gatherer
	// learn takes a block of two halves of stable into account, one from before the
	// rollout or one that observe has seen already: what it learns holds for later
	// blocks only.
	learn(a, b *Counts, before bool)
}

// insight is what a source says of stable's halves beside its counts.
type insight struct {
	past []Halved
	now  *halvesMark
}

// halvesMark are the totals of the halves where a block begins.
type halvesMark struct {
	A Counts `json:"a"`
	B Counts `json:"b"`
}

// lookInto reads what the source knows of stable's halves, where both sides can
// make something of it.
func (j *blocks) lookInto(ctx context.Context, c Check, g gatherer, first bool) (in insight, err error) {
	if _, ok := g.(learner); !ok {
		return insight{}, nil
	}
	if h, ok := j.source.(History); ok && first {
		if in.past, err = h.History(ctx, c, j.pace.Interval, lookback); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return insight{}, fmt.Errorf("history: %w", err)
		}
		in.past = in.past[max(0, len(in.past)-lookback):]
	}
	h, ok := j.source.(Halves)
	if !ok {
		return in, nil
	}
	a, b, err := h.Halves(ctx, c)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return in, nil
	case err != nil:
		return insight{}, fmt.Errorf("halves of stable: %w", err)
	}
	in.now = &halvesMark{A: a, B: b}
	return in, in.sound()
}

// sound reports counts that no share can be read from.
func (in insight) sound() error {
	for _, p := range in.past {
		if err := errors.Join(p.A.latencyError(), p.B.latencyError()); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	if in.now == nil {
		return nil
	}
	return errors.Join(in.now.A.latencyError(), in.now.B.latencyError())
}

// learn hands on what the halves counted since the mark.
func (in insight) learn(g gatherer, mark *countsMark) {
	l, ok := g.(learner)
	if !ok || in.now == nil || mark.Halves == nil {
		return
	}
	a, known := in.now.A.After(mark.Halves.A, mark.At)
	b, also := in.now.B.After(mark.Halves.B, mark.At)
	if known && also {
		l.learn(&a, &b, false)
	}
}

// recollect hands on what the halves counted before the rollout.
func (in insight) recollect(g gatherer) {
	if l, ok := g.(learner); ok {
		for i := range in.past {
			l.learn(&in.past[i].A, &in.past[i].B, true)
		}
	}
}

// known is all that stable has counted so far: its totals, and what it did before them
// where the source can tell.
func (in insight) known(stable *Counts) *Counts {
	all := *stable
	all.Latency = slices.Clone(all.Latency)
	for _, p := range in.past {
		for _, half := range [...]*Counts{&p.A, &p.B} {
			all.Requests += half.Requests
			all.Errors += half.Errors
			if len(all.Bounds) == 0 {
				all.Bounds, all.Latency = half.Bounds, make([]uint64, len(half.Latency))
			}
			if slices.Equal(all.Bounds, half.Bounds) {
				for i, n := range half.Latency {
					all.Latency[i] += n
				}
			}
		}
	}
	return &all
}
