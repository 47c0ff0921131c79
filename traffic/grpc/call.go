// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errUnrouted is what calls get before anybody said where they go.
var errUnrouted = status.Error(codes.Unavailable, "grpcsplit: no route has been applied yet")

// Invoke makes a unary call to the arm that the route in force picks for it.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	a := c.begin(ctx)
	if a == nil {
		return errUnrouted
	}
	defer a.active.Add(-1) // an interceptor may leave by a panic
	began := time.Now()
	err := a.to.Load().Invoke(ctx, method, args, reply, opts...)
	a.record(ctx, time.Since(began), err, c.options.Failed)
	return err
}

// NewStream begins a stream to the arm that the route in force picks for it, where
// it stays until it ends.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	a := c.begin(ctx)
	if a == nil {
		return nil, errUnrouted
	}
	s := &stream{ctx: ctx, arm: a, failed: c.options.Failed, began: time.Now()}
	var err error
	s.ClientStream, err = a.to.Load().NewStream(ctx, desc, method, append(slices.Clip(opts), grpc.OnFinish(s.finish))...)
	if err != nil {
		s.finish(err)
		return nil, err
	}
	return s, nil
}

// begin picks an arm and counts the call as under way there.
func (c *Conn) begin(ctx context.Context) *arm {
	for {
		if a, ok := c.beginOn(ctx, c.plan.Load()); ok {
			return a
		}
	}
}

// beginOn begins on a plan unless it was exchanged meanwhile. It looks again after
// counting: a call is either seen by the meter after an Apply, or follows that Apply.
func (c *Conn) beginOn(ctx context.Context, now *plan) (a *arm, ok bool) {
	if a = now.pick(ctx); a == nil {
		return nil, true
	}
	a.active.Add(1)
	if c.plan.Load() != now {
		a.active.Add(-1)
		return nil, false
	}
	a.given.Add(1)
	return a, true
}

// stream counts its call when that ends. gRPC says so whichever way it does, also
// when the caller only cancels.
type stream struct {
	grpc.ClientStream
	ctx    context.Context //nolint:containedctx // it is the call's, and tells who ended it
	arm    *arm
	failed func(error) bool
	began  time.Time

	answered atomic.Int64 // nanoseconds until the first answer
	finished atomic.Bool
}

// RecvMsg is the stream's.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && s.answered.Load() == 0 {
		s.answered.Store(int64(max(time.Since(s.began), 1)))
	}
	return err
}

func (s *stream) finish(err error) {
	if s.finished.Swap(true) {
		return
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	took := time.Duration(s.answered.Load())
	if took == 0 {
		took = time.Since(s.began)
	}
	s.arm.record(s.ctx, took, err, s.failed)
	s.arm.active.Add(-1)
}
