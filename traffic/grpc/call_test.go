// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
	grpcsplit "github.com/rheostat-go/rheostat/traffic/grpc"
)

// within polls until done says yes.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds: not %s", what)
		}
	}
}

func active(t *testing.T, c *grpcsplit.Conn, arm string) uint64 {
	t.Helper()
	readings, err := c.Meter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return readings[arm].Active
}

// open begins a stream and returns how to ask on it.
func open(ctx context.Context, t *testing.T, c *grpcsplit.Conn) (grpc.ClientStream, func() string) {
	t.Helper()
	s, err := c.NewStream(ctx, streams, stream)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() string {
		t.Helper()
		reply := &wrapperspb.StringValue{}
		if err := errors.Join(s.SendMsg(&emptypb.Empty{}), s.RecvMsg(reply)); err != nil {
			t.Fatal(err)
		}
		return reply.GetValue()
	}
}

func TestAStreamEndsWhereItBegan(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	s, next := open(t.Context(), t, c)
	if got := next(); got != "stable" {
		t.Fatalf("%q answered, want stable", got)
	}
	apply(t, c, 2, split(traffic.Full))
	for range 3 {
		if got := next(); got != "stable" {
			t.Fatalf("%q answered on a stream from before, want stable", got)
		}
		if got, err := ask(t.Context(), c); err != nil || got != "candidate" {
			t.Fatalf("%q, %v answered a call from after, want candidate", got, err)
		}
	}
	if n := active(t, c, "stable"); n != 1 {
		t.Errorf("%d calls are under way to stable, want the stream", n)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	within(t, "quiet", func() bool { return active(t, c, "stable") == 0 })
	if requests, failures, _, _, _ := c.Totals("stable"); requests != 1 || failures != 0 {
		t.Errorf("stable answered %d with %d errors, want the stream without", requests, failures)
	}
}

func TestAStreamThatItsCallerDropsIsNoLongerUnderWay(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, next := open(ctx, t, c)
	next()
	cancel() // and nothing is read any more
	within(t, "quiet", func() bool { return active(t, c, "stable") == 0 })
	if requests, _, _, _, _ := c.Totals("stable"); requests != 0 || c.Canceled("stable") != 1 {
		t.Errorf("%d answers and %d canceled, want 0 and 1", requests, c.Canceled("stable"))
	}
}

func TestTheTimeOfAStreamIsThatOfItsFirstMessage(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	began := time.Now()
	s, next := open(t.Context(), t, c)
	next()
	bounds := c.Bounds()
	at, _ := slices.BinarySearch(bounds, time.Since(began))
	if at >= len(bounds)-10 {
		t.Skip("the first message took too long on this machine")
	}
	within(t, "beyond the bucket", func() bool { return time.Since(began) > bounds[at] })
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	within(t, "quiet", func() bool { return active(t, c, "stable") == 0 })
	_, _, latency, _, _ := c.Totals("stable")
	if slow := slices.IndexFunc(latency, func(n uint64) bool { return n > 0 }); slow > at {
		t.Errorf("the stream is counted at up to %v, and its first message was there within %v", bounds[slow], bounds[at])
	}
}

func TestACallThatNeverBeganIsCountedOnce(t *testing.T) {
	t.Parallel()
	dead, err := grpc.NewClient("127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	c := newConn(t, map[string]*grpc.ClientConn{"stable": dead}, grpcsplit.Options{})
	if _, err := c.NewStream(t.Context(), streams, stream); status.Code(err) != codes.Unavailable {
		t.Fatalf("%v, want Unavailable", err)
	}
	readings, err := c.Meter(t.Context())
	if err != nil || readings["stable"] != (traffic.Reading{Requests: 1}) {
		t.Errorf("the meter says %+v, %v, want one request that is over", readings["stable"], err)
	}
	if requests, failures, _, _, _ := c.Totals("stable"); requests != 1 || failures != 1 {
		t.Errorf("%d answers with %d errors, want one", requests, failures)
	}
}

func TestAnInterceptorThatPanicsLeavesNothingUnderWay(t *testing.T) {
	t.Parallel()
	to, err := grpc.NewClient("127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			panic("of an interceptor")
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	c := newConn(t, map[string]*grpc.ClientConn{"stable": to}, grpcsplit.Options{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = ask(t.Context(), c)
	}()
	if n := active(t, c, "stable"); n != 0 {
		t.Errorf("%d calls are under way, want none", n)
	}
}

func TestErrorsAreTheServersFailures(t *testing.T) {
	t.Parallel()
	arms, candidate := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(traffic.Full))
	var asked, failures uint64
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		candidate.code.Store(uint32(code))
		_, err := ask(t.Context(), c)
		if status.Code(err) != code {
			t.Fatalf("%v, want %v", err, code)
		}
		asked++
		switch code {
		case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
			failures++
		}
		if requests, errs, latency, _, ok := c.Totals("candidate"); !ok || requests != asked || errs != failures || len(latency) != len(c.Bounds())+1 {
			t.Errorf("after %v: %d requests and %d errors, want %d and %d", code, requests, errs, asked, failures)
		}
	}
	if _, _, _, _, ok := c.Totals("nobody"); ok {
		t.Error("an arm that is not there has totals")
	}
}

func TestAJudgeOfErrorRatesReadsTheTotals(t *testing.T) {
	t.Parallel()
	arms, candidate := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(traffic.Full))
	candidate.code.Store(uint32(codes.Internal))
	for range 3 {
		_, _ = ask(t.Context(), c)
	}
	check := analysis.Check{Stable: "stable", Candidate: "candidate"}
	stable, got, err := analysis.FromTotals(c).Counts(t.Context(), check)
	if err != nil || stable.Requests != 0 || got.Requests != 3 || got.Errors != 3 {
		t.Errorf("the judge sees %+v and %+v, %v, want 3 errors of the candidate", stable, got, err)
	}
}

func TestFlipsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	apply(t, c, 1, split(0))
	const senders = 16
	var routed atomic.Pointer[string] // the arm that a call which begins now must reach
	var sent, late atomic.Int64
	var failed atomic.Pointer[error]
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for ctx.Err() == nil {
				before := routed.Load()
				arm, err := ask(t.Context(), c)
				if err != nil {
					failed.Store(&err)
				}
				if before != nil && before == routed.Load() && arm != *before { // the same pointer, so the same route
					late.Add(1)
				}
				sent.Add(1)
			}
		})
	}
	for i := range 100 {
		routed.Store(nil)
		want := [...]string{"candidate", "stable"}[i%2]
		apply(t, c, uint64(i+2), split([...]traffic.Weight{traffic.Full, 0}[i%2]))
		routed.Store(&want)
		n := sent.Load()
		within(t, "asked", func() bool { return sent.Load() >= n+100 })
	}
	cancel()
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Errorf("a call failed: %v", *err)
	}
	if n := late.Load(); n > 0 {
		t.Errorf("%d of %d calls that began on a new route went the old way", n, sent.Load())
	}
	t.Logf("%d calls through 100 flips", sent.Load())
	within(t, "quiet", func() bool { return active(t, c, "stable") == 0 && active(t, c, "candidate") == 0 })
	readings, err := c.Meter(t.Context())
	if total := readings["stable"].Requests + readings["candidate"].Requests; err != nil || total != uint64(sent.Load()) {
		t.Errorf("the meter counted %d calls of %d, %v", total, sent.Load(), err)
	}
}

func TestAConnWithoutARouteSaysSo(t *testing.T) {
	t.Parallel()
	arms, _ := pair(t)
	c := newConn(t, arms, grpcsplit.Options{})
	if _, err := ask(t.Context(), c); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	if _, err := c.NewStream(t.Context(), streams, stream); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	c = newConn(t, arms, grpcsplit.Options{Default: "candidate"})
	for i := range 5 {
		if got, err := ask(t.Context(), c, "n", strconv.Itoa(i)); err != nil || got != "candidate" {
			t.Errorf("%q, %v, want the default arm", got, err)
		}
	}
}
