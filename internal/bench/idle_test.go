// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// calls counts what a turn asks of the world outside.
type calls struct{ load, save, observe, apply, judge atomic.Int64 }

func (c *calls) reads() int64  { return c.load.Load() + c.observe.Load() + c.judge.Load() }
func (c *calls) writes() int64 { return c.save.Load() + c.apply.Load() }

type countingStore struct {
	strategy.Store
	calls *calls
}

func (s countingStore) Load(ctx context.Context, service string) (strategy.State, error) {
	s.calls.load.Add(1)
	return s.Store.Load(ctx, service)
}

func (s countingStore) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	s.calls.save.Add(1)
	return s.Store.Save(ctx, service, prev, next, log...)
}

type countingRouter struct {
	traffic.Router
	calls *calls
}

func (r countingRouter) Observe(ctx context.Context) (traffic.Seen, error) {
	r.calls.observe.Add(1)
	return r.Router.Observe(ctx)
}

func (r countingRouter) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	r.calls.apply.Add(1)
	return r.Router.Apply(ctx, fence, route)
}

// counted is a one-lane canary that holds, and what its turns call.
func counted(tb testing.TB) (*strategy.Runner, *calls) {
	tb.Helper()
	c := &calls{}
	wiring := strategy.Wiring{
		Routers: map[string]traffic.Router{"web": countingRouter{&traffic.Memory{}, c}},
		Judges: map[string]analysis.Judge{"errors": analysis.JudgeFunc(func(_ context.Context, check analysis.Check) (analysis.Finding, error) {
			c.judge.Add(1)
			return check.Finding(analysis.Pass, "nothing speaks against it"), nil
		})},
	}
	runner, err := strategy.NewRunner(strategy.Config{
		Store: countingStore{&strategy.MemoryStore{}, c}, Wire: strategy.Fixed(wiring),
	})
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := strategy.Canary{Target: "web", Hold: 24 * time.Hour, Checks: []string{"errors"}}.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := runner.Start(tb.Context(), "web", strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan}); err != nil {
		tb.Fatal(err)
	}
	for {
		d, err := runner.Reconcile(tb.Context(), "web")
		if err != nil {
			tb.Fatal(err)
		}
		if d.Transition.Kind == 0 {
			return runner, c
		}
	}
}

// BenchmarkIdleTurn is a turn that decides nothing, with what it asks of the
// outside: once each of the store, the router and the judge, and nothing written.
// A rollout that is idle for longer is saved once every half minute, see
// strategy.Attention.
func BenchmarkIdleTurn(b *testing.B) {
	runner, c := counted(b)
	reads, writes, turns := c.reads(), c.writes(), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := runner.Reconcile(b.Context(), "web"); err != nil {
			b.Fatal(err)
		}
		turns++
	}
	b.ReportMetric(float64(c.reads()-reads)/float64(turns), "reads/op")
	b.ReportMetric(float64(c.writes()-writes)/float64(turns), "writes/op")
}

func TestAnIdleTurnAsksOnceEachAndWritesNothing(t *testing.T) {
	t.Parallel()
	runner, c := counted(t)
	load, observe, judge, writes := c.load.Load(), c.observe.Load(), c.judge.Load(), c.writes()
	if _, err := runner.Reconcile(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	for _, got := range []struct {
		what       string
		n, allowed int64
	}{
		{"loads", c.load.Load() - load, 1},
		{"looks at the router", c.observe.Load() - observe, 1},
		{"questions to the judge", c.judge.Load() - judge, 1},
		{"writes", c.writes() - writes, 0},
	} {
		if got.n != got.allowed {
			t.Errorf("an idle turn made %d %s, want %d", got.n, got.what, got.allowed)
		}
	}
}
