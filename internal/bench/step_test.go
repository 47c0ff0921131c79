// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

// lanes is a plan of n canaries side by side, each with a target of its own.
func lanes(tb testing.TB, n int) strategy.Plan {
	tb.Helper()
	plan := strategy.Plan{Name: "canary", MaxParallel: n}
	for i := range n {
		one, err := strategy.Canary{Target: fmt.Sprintf("web-%d", i), Hold: time.Hour, Checks: []string{"errors"}}.Plan()
		if err != nil {
			tb.Fatal(err)
		}
		one.Lanes[0].Name = fmt.Sprintf("lane-%d", i)
		plan.Lanes = append(plan.Lanes, one.Lanes[0])
	}
	return plan
}

// holding is a world in which every lane holds at its first step.
func holding(tb testing.TB, n int) *strategytest.World {
	tb.Helper()
	w := strategytest.NewWorld()
	if err := w.Start(strategy.NewRelease("v1", "v2"), lanes(tb, n), strategy.Override{}); err != nil {
		tb.Fatal(err)
	}
	for {
		d, err := w.Step()
		if err != nil {
			tb.Fatal(err)
		}
		if d.Transition.Kind == 0 {
			break
		}
	}
	for i, lane := range w.State.Lanes {
		if lane.Stage != strategy.Holding {
			tb.Fatalf("lane %d is %v", i, lane.Stage)
		}
	}
	return w
}

// BenchmarkStep is the pure transition, by how many lanes a plan has. hold
// decides nothing, and is by far the commonest turn; decide goes on to the next
// step; abort sends every lane home; home is a turn of the way there.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		turns := []struct {
			name  string
			world func(b *testing.B) *strategytest.World
			want  strategy.TransitionKind
		}{
			{"hold", func(b *testing.B) *strategytest.World { b.Helper(); return holding(b, n) }, 0},
			{"decide", func(b *testing.B) *strategytest.World {
				b.Helper()
				w := holding(b, n)
				w.Intent.Promote = true
				return w
			}, strategy.DialsTurned},
			{"abort", func(b *testing.B) *strategytest.World {
				b.Helper()
				w := holding(b, n)
				w.Intent.Abort = true
				return w
			}, strategy.ReturnBegan},
			{"home", func(b *testing.B) *strategytest.World {
				b.Helper()
				w := holding(b, n)
				w.Intent.Abort = true
				if _, err := w.Step(); err != nil {
					b.Fatal(err)
				}
				return w
			}, strategy.ReturnSettled},
		}
		for _, turn := range turns {
			b.Run(fmt.Sprintf("lanes=%d/%s", n, turn.name), func(b *testing.B) {
				w := turn.world(b)
				o, now := w.Observe(), w.Now.Add(time.Second)
				b.ReportAllocs()
				for b.Loop() {
					if d, err := w.Machine.Step(now, w.State, o); err != nil || d.Transition.Kind != turn.want {
						b.Fatalf("it did not decide %v but %v, %v", turn.want, d.Transition.Kind, err)
					}
				}
			})
		}
	}
}
