// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

// BenchmarkStep is a turn of a one-lane canary: one that holds, and one that
// decides. The first is by far the commonest turn there is.
func BenchmarkStep(b *testing.B) {
	holding := func(b *testing.B) *strategytest.World {
		b.Helper()
		plan, err := strategy.Canary{Target: "web", Hold: time.Hour, Checks: []string{"errors"}}.Plan()
		if err != nil {
			b.Fatal(err)
		}
		w := strategytest.NewWorld()
		if err := w.Start(strategy.NewRelease("v1", "v2"), plan, strategy.Override{}); err != nil {
			b.Fatal(err)
		}
		for range 4 {
			if _, err := w.Step(); err != nil {
				b.Fatal(err)
			}
		}
		if w.State.Lanes[0].Stage != strategy.Holding {
			b.Fatalf("the lane is %v", w.State.Lanes[0].Stage)
		}
		return w
	}
	b.Run("hold", func(b *testing.B) {
		w := holding(b)
		o, now := w.Observe(), w.Now.Add(time.Second)
		b.ReportAllocs()
		for b.Loop() {
			if d, err := w.Machine.Step(now, w.State, o); err != nil || d.State.Rev != w.State.Rev {
				b.Fatal("it did not hold")
			}
		}
	})
	b.Run("decide", func(b *testing.B) {
		w := holding(b)
		w.Intent.Promote = true
		o, now := w.Observe(), w.Now.Add(time.Second)
		b.ReportAllocs()
		for b.Loop() {
			if d, err := w.Machine.Step(now, w.State, o); err != nil || len(d.Effects) != 1 {
				b.Fatal("it did not decide")
			}
		}
	})
}
