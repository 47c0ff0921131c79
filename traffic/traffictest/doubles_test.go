// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func route(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: w}}
}

func TestAFlakyRouterFailsEveryNthCallAndDoesNothingThen(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{})
	f := &traffictest.Flaky{Router: m, Every: 3}
	for i := range 9 {
		wantErr := i%3 == 2
		if err := f.Apply(t.Context(), uint64(i), route(traffic.Weight(i))); errors.Is(err, traffictest.ErrFault) != wantErr {
			t.Errorf("apply %d: %v, want a fault: %v", i, err, wantErr)
		}
		seen, err := f.Observe(t.Context())
		if errors.Is(err, traffictest.ErrFault) != wantErr || err == nil && seen.Route.IsZero() {
			t.Errorf("observe %d: %v, %v, want a fault: %v", i, seen, err, wantErr)
		}
	}
	if n := len(m.History()); n != 6 {
		t.Errorf("%d of 9 routes arrived, want 6", n)
	}
	always := &traffictest.Flaky{Router: m}
	if err := always.Apply(t.Context(), 9, route(0)); !errors.Is(err, traffictest.ErrFault) {
		t.Errorf("the zero Every: %v, want every call to fail", err)
	}
}

func TestALostReplyIsCarriedOut(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{})
	l := &traffictest.Lost{Router: m, Every: 2}
	for i := range 4 {
		if err := l.Apply(t.Context(), uint64(i), route(traffic.Weight(i))); errors.Is(err, traffictest.ErrFault) != (i%2 == 1) {
			t.Errorf("apply %d: %v", i, err)
		}
	}
	if n := len(m.History()); n != 4 {
		t.Errorf("%d of 4 routes arrived, want all", n)
	}
}

func TestAStuckRouterWaitsForItsContextOrToBeFreed(t *testing.T) {
	t.Parallel()
	m := traffic.NewMemory(traffic.Options{})
	s := &traffictest.Stuck{Router: m}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() { errs <- s.Apply(ctx, 1, route(1)) }()
	go func() { _, err := s.Observe(ctx); errs <- err }()
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("stuck: %v, want %v", err, context.Canceled)
		}
	}
	if n := len(m.History()); n != 0 {
		t.Errorf("%d routes arrived while stuck, want none", n)
	}
	go func() { errs <- s.Apply(t.Context(), 1, route(1)) }()
	s.Free()
	s.Free()
	if err := <-errs; err != nil || len(m.History()) != 1 {
		t.Errorf("freed: %v and %v, want the route to have arrived", err, m.History())
	}
}

func TestDoublesThatDoNotFailKeepTheLaw(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(*testing.T) traffictest.Subject {
		m := traffic.NewMemory(traffic.Options{})
		stuck := &traffictest.Stuck{Router: &traffictest.Lost{Router: &traffictest.Flaky{Router: m, Every: 1 << 40}, Every: 1 << 40}}
		stuck.Free()
		return traffictest.Subject{Router: stuck}
	})
}

func Example() {
	// A deploy script that asks again when a reply is lost: the router has
	// carried out the first call, and the second changes nothing.
	memory := traffic.NewMemory(traffic.Options{})
	router := &traffictest.Lost{Router: memory, Every: 2}
	ctx := context.Background()
	fmt.Println(router.Apply(ctx, 1, route(traffic.Percent(5))))
	fmt.Println(router.Apply(ctx, 2, route(traffic.Percent(10))))
	fmt.Println(router.Apply(ctx, 2, route(traffic.Percent(10))))
	fmt.Println(len(memory.History()), "routes accepted")
	// Output:
	// <nil>
	// reply to apply lost: traffictest: injected fault
	// <nil>
	// 2 routes accepted
}
