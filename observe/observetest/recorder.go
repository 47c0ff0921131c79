// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rheostat-go/rheostat/observe"
)

// Recorder is an observer that remembers what it was told. The zero Recorder is
// ready and takes everything. It is safe for concurrent use. It does not forget
// repeats: put observe.Dedupe in front of it for that.
type Recorder struct {
	mu     sync.Mutex
	events []observe.Event
	failed error
	// changed is closed and replaced with every event, to wake those who wait.
	changed chan struct{}
}

var _ observe.Observer = (*Recorder)(nil)

// Observe implements observe.Observer.
func (r *Recorder) Observe(ctx context.Context, e observe.Event) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	r.events = append(r.events, e.Clone())
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return nil
}

// Fail makes Observe return err and remember nothing, until Fail(nil).
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
}

// Events is what was told so far, in the order in which it came.
func (r *Recorder) Events() []observe.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copy()
}

// Kinds is the kinds of what was told so far.
func (r *Recorder) Kinds() []observe.Kind {
	events := r.Events()
	kinds := make([]observe.Kind, len(events))
	for i, e := range events {
		kinds[i] = e.Kind
	}
	return kinds
}

// Reset forgets everything.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// Wait blocks until enough holds of what was told, and returns that. When ctx
// ends first, the error says what had come by then.
func (r *Recorder) Wait(ctx context.Context, enough func([]observe.Event) bool) ([]observe.Event, error) {
	for {
		r.mu.Lock()
		events := r.copy()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if enough(events) {
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return events, fmt.Errorf("observetest: waited in vain, told %v: %w", events, context.Cause(ctx))
		}
	}
}

// Count is for Wait: at least n events.
func Count(n int) func([]observe.Event) bool {
	return func(events []observe.Event) bool { return len(events) >= n }
}

// Has is for Wait: at least one event of this kind.
func Has(k observe.Kind) func([]observe.Event) bool {
	return func(events []observe.Event) bool {
		return slices.ContainsFunc(events, func(e observe.Event) bool { return e.Kind == k })
	}
}

func (r *Recorder) copy() []observe.Event {
	events := make([]observe.Event, len(r.events))
	for i, e := range r.events {
		events[i] = e.Clone()
	}
	return events
}
