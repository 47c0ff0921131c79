// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rheostat-go/rheostat/traffic"
)

// ErrFault is what [Flaky] and [Lost] return.
var ErrFault = errors.New("traffictest: injected fault")

// Flaky fails every nth call of Apply and of Observe, each counted by itself,
// before it reaches the router: nothing has happened. It is safe for concurrent use.
type Flaky struct {
	traffic.Router
	// Every is n; 0 and 1 fail every call.
	Every int64

	applies, observes atomic.Int64
}

var _ traffic.Router = (*Flaky)(nil)

// Unwrap is the router that is well.
func (f *Flaky) Unwrap() traffic.Router { return f.Router }

// Apply fails, or is the router's.
func (f *Flaky) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	if nth(&f.applies, f.Every) {
		return fmt.Errorf("apply not sent: %w", ErrFault)
	}
	return f.Router.Apply(ctx, fence, r)
}

// Observe fails, or is the router's.
func (f *Flaky) Observe(ctx context.Context) (traffic.Seen, error) {
	if nth(&f.observes, f.Every) {
		return traffic.Seen{}, fmt.Errorf("observe not sent: %w", ErrFault)
	}
	return f.Router.Observe(ctx)
}

// Lost loses the reply to every nth Apply: the router has carried it out, or
// refused it, and the caller is told that it failed. It is safe for concurrent use.
type Lost struct {
	traffic.Router
	// Every is n; 0 and 1 lose every reply.
	Every int64

	applies atomic.Int64
}

var _ traffic.Router = (*Lost)(nil)

// Unwrap is the router that is well.
func (l *Lost) Unwrap() traffic.Router { return l.Router }

// Apply is the router's, whatever is returned.
func (l *Lost) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	err := l.Router.Apply(ctx, fence, r)
	if nth(&l.applies, l.Every) {
		return fmt.Errorf("reply to apply lost: %w", ErrFault)
	}
	return err
}

// Stuck blocks every call until its context is done or Free is called. A call
// that is freed goes on to the router. It is safe for concurrent use.
type Stuck struct {
	traffic.Router

	once  sync.Once
	freed chan struct{}
	free  sync.Once
}

var _ traffic.Router = (*Stuck)(nil)

// Unwrap is the router that is well.
func (s *Stuck) Unwrap() traffic.Router { return s.Router }

// Apply blocks, and is the router's once it is free.
func (s *Stuck) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Router.Apply(ctx, fence, r)
}

// Observe blocks, and is the router's once it is free.
func (s *Stuck) Observe(ctx context.Context) (traffic.Seen, error) {
	if err := s.wait(ctx); err != nil {
		return traffic.Seen{}, err
	}
	return s.Router.Observe(ctx)
}

// Free lets through the calls that wait and all that follow.
func (s *Stuck) Free() { s.free.Do(func() { close(s.gate()) }) }

func (s *Stuck) gate() chan struct{} {
	s.once.Do(func() { s.freed = make(chan struct{}) })
	return s.freed
}

func (s *Stuck) wait(ctx context.Context) error {
	select {
	case <-s.gate():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("traffictest: stuck: %w", context.Cause(ctx))
	}
}

// nth counts a call and reports whether it is one that fails.
func nth(calls *atomic.Int64, every int64) bool { return calls.Add(1)%max(every, 1) == 0 }
