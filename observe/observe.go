// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Observer is told what happens. Implementations must be safe for concurrent
// use and must pass observetest.Run.
type Observer interface {
	// Observe takes one event. It is told at least once: a repeat is no error.
	// Events of one service come in order from one teller, but after a crash or
	// with two tellers an older one may follow a newer one. Kinds and fields it
	// does not know are passed over.
	//
	// Observe returns soon after ctx ends. A nil error means that the event was
	// taken; an error means that it may not have been, and may be told again.
	// Neither e.Shares nor anything else of e is changed or kept: keep a Clone.
	Observe(ctx context.Context, e Event) error
}

// Func is a function as an Observer.
type Func func(ctx context.Context, e Event) error

// Observe calls f.
func (f Func) Observe(ctx context.Context, e Event) error { return f(ctx, e) }

const (
	// defaultTimeout is long enough for a call across the world with a retry, and
	// short beside the time a step holds.
	defaultTimeout = 5 * time.Second
	// maxInFlight bounds the calls of one observer that have not returned, and so
	// what one that ignores its context can leave behind.
	maxInFlight = 16
)

// ErrStuck is returned by Multi for an observer that did not return in time, or
// that had so many calls out all that time that it was not asked again.
var ErrStuck = errors.New("observe: observer is stuck")

// Multi tells every observer, side by side, and waits for each no longer than
// timeout (0 is five seconds). What one does changes nothing for the others:
// its error, its panic and its silence become part of the joined error. Nil
// observers are passed over.
//
// Each call runs in a goroutine of its own that ends when the observer returns,
// at most 16 at a time for one observer; more wait for their turn within the
// timeout. So one that ignores its context leaves at most 16 behind.
func Multi(timeout time.Duration, observers ...Observer) Observer {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	m := &multi{timeout: timeout}
	for _, o := range observers {
		if o != nil {
			m.members = append(m.members, member{observer: o, slots: make(chan struct{}, maxInFlight)})
		}
	}
	return m
}

type multi struct {
	timeout time.Duration
	members []member
}

type member struct {
	observer Observer
	slots    chan struct{}
}

// Observe implements Observer.
func (m *multi) Observe(ctx context.Context, e Event) error {
	if len(m.members) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, ErrStuck)
	defer cancel()
	replies := make([]chan error, len(m.members))
	for i := range m.members {
		replies[i] = make(chan error, 1)
		m.members[i].tell(ctx, e.Clone(), replies[i])
	}
	errs := make([]error, len(m.members))
	for i, reply := range replies {
		if err := await(ctx, reply); err != nil {
			errs[i] = fmt.Errorf("observer %d of %d: %w", i+1, len(m.members), err)
		}
	}
	return errors.Join(errs...)
}

// tell asks the observer without waiting for it.
func (m member) tell(ctx context.Context, e Event, reply chan<- error) {
	go func() {
		select {
		case m.slots <- struct{}{}:
			defer func() { <-m.slots }()
			reply <- safely(ctx, m.observer, e)
		case <-ctx.Done():
			reply <- fmt.Errorf("%d earlier calls have not returned: %w", maxInFlight, context.Cause(ctx))
		}
	}()
}

// await prefers a reply that is there to a context that has ended.
func await(ctx context.Context, reply <-chan error) error {
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-reply:
		return err
	default:
		return context.Cause(ctx)
	}
}

// safely makes a panic an error: nobody else can catch it in a goroutine, and a
// rollout must not die of its audience.
func safely(ctx context.Context, o Observer, e Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("observe: observer panicked: %v", r)
		}
	}()
	return o.Observe(ctx, e)
}
