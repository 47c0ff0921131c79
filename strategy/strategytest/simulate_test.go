// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/race"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of the simulations")
	runs      = flag.Int("runs", 0, "how many seeds are simulated; 0 is 10,000, or 800 with the race detector")
)

// total is how many seeds are simulated.
func total() int {
	switch {
	case *runs > 0:
		return *runs
	case race.Enabled || testing.Short():
		return 800
	}
	return 10_000
}

// canary is the plan that most simulations carry out: six steps, so deep that
// every stage is crossed many times, and deadlines so long that faults alone do
// not run into them.
func canary() strategy.Plan {
	weights := []traffic.Weight{10_000, 50_000, 100_000, 250_000, 500_000, traffic.Full}
	p := strategy.Plan{Lanes: []strategy.Lane{{Name: "web"}}}
	for _, w := range weights {
		p.Lanes[0].Steps = append(p.Lanes[0].Steps, strategy.Step{
			Set: []strategy.Dial{{Target: "web", Split: traffic.Split{Candidate: w}}}, Hold: time.Minute, Deadline: 48 * time.Hour, Checks: []string{"errors"},
		})
	}
	p.Back.Bound = 48 * time.Hour
	return p
}

func twoServices() strategy.Plan {
	p := canary()
	p.Lanes[0].Steps = p.Lanes[0].Steps[2:]
	p.Lanes[0].Steps[0].Before = []string{"scale", "warm"}
	for i := range p.Lanes[0].Steps {
		w := p.Lanes[0].Steps[i].Set[0].Split
		p.Lanes[0].Steps[i].Set = append(p.Lanes[0].Steps[i].Set, strategy.Dial{Target: "api", Split: w})
	}
	return p
}

var bad = map[string]strategy.StepRef{"good": {}, "bad at 25%": {Lane: "web", Step: "25%"}}

// routes are the weights of each target's distinct accepted routes.
func routes(o strategytest.Outcome) string {
	text := ""
	for _, target := range []string{"web", "api"} {
		text += target + ":"
		for _, r := range o.Routes[target] {
			text += " " + r.Split.Candidate.String()
		}
		text += "\n"
	}
	return text
}

// TestCrashesAreInvisible crashes the process at every call it makes, before and
// after, and then at every pair of its writes: what the router accepted is the
// same as if nothing had happened.
func TestCrashesAreInvisible(t *testing.T) {
	t.Parallel()
	for name, where := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reference := strategytest.Simulate(t, strategytest.Simulation{Plan: canary(), Bad: where})
			want := routes(reference)
			n := 0
			try := func(crashes ...int) {
				n++
				out := strategytest.Simulate(t, strategytest.Simulation{Plan: canary(), Bad: where, Crashes: crashes})
				if got := routes(out); got != want || out.Final.Phase != reference.Final.Phase {
					t.Fatalf("crash at %v: %v\n%swant %v\n%s", crashes, out.Final.Phase, got, reference.Final.Phase, want)
				}
				if out.Crashed != len(crashes) {
					t.Fatalf("crash at %v: the process crashed %d times", crashes, out.Crashed)
				}
			}
			for call := 1; call <= reference.Calls; call++ {
				try(call)
				try(-call)
			}
			singles := n
			// A second crash, at every write that the first run would have made and,
			// counted on from the first crash, in what the next process does.
			writes := reference.Writes
			for _, first := range both(writes) {
				for _, second := range both(writes) {
					if abs(second) > abs(first) && !race.Enabled {
						try(first, second)
					}
				}
				for near := 1; near <= 8 && abs(first)+near <= reference.Calls; near++ {
					try(first, abs(first)+near)
					try(first, -(abs(first) + near))
				}
			}
			t.Logf("%d calls, %d writes: %d single crashes, %d pairs; accepted %s", reference.Calls, len(writes), singles, n-singles, want)
		})
	}
}

func both(calls []int) []int {
	var signed []int
	for _, c := range calls {
		signed = append(signed, c, -c)
	}
	return signed
}

func abs(n int) int { return max(n, -n) }

// TestFaultsAreInvisible draws crashes, lost replies, failing calls and stalled
// writes, for one Runner and for two at the same time: the routes that a target
// accepts are those of a run without faults.
func TestFaultsAreInvisible(t *testing.T) {
	t.Parallel()
	odds := strategytest.Odds{Crash: 0.05, Lose: 0.05, Fail: 0.05, Stall: 0.05, MaxStall: 3 * time.Hour}
	runs := total()
	for _, plan := range []struct {
		name string
		make func() strategy.Plan
	}{{"canary", canary}, {"two services with tasks", twoServices}} {
		for name, where := range bad {
			for runners := 1; runners <= 2; runners++ {
				t.Run(fmt.Sprintf("%s, %s, %d runners", plan.name, name, runners), func(t *testing.T) {
					t.Parallel()
					want := strategytest.Simulate(t, strategytest.Simulation{Plan: plan.make(), Bad: where})
					crashed, refused := 0, 0
					for seed := range uint64(runs / 8) {
						out := strategytest.Simulate(t, strategytest.Simulation{
							Seed: *firstSeed + seed, Plan: plan.make(), Bad: where, Runners: runners, Odds: odds,
						})
						if routes(out) != routes(want) || out.Final.Phase != want.Final.Phase {
							t.Fatalf("seed %d: %v\n%swant %v\n%s", *firstSeed+seed, out.Final.Phase, routes(out), want.Final.Phase, routes(want))
						}
						crashed += out.Crashed
						refused += out.Refused
					}
					if crashed == 0 || runners == 2 && refused == 0 {
						t.Errorf("%d crashes and %d refused writes: nothing was tried", crashed, refused)
					}
					t.Logf("%d runs, %d crashes, %d writes refused", runs/8, crashed, refused)
				})
			}
		}
	}
}

// TestDriftIsSurvived adds somebody else who changes routes. What is seen then
// differs, so the routes may; every prefix of them is still safe.
func TestDriftIsSurvived(t *testing.T) {
	t.Parallel()
	drifted := 0
	for seed := range uint64(total() / 20) {
		out := strategytest.Simulate(t, strategytest.Simulation{
			Seed: *firstSeed + seed, Plan: loud(canary()), Bad: bad[[]string{"good", "bad at 25%"}[seed%2]], Runners: 1 + int(seed%2),
			Odds: strategytest.Odds{Crash: 0.03, Lose: 0.03, Fail: 0.03, Stall: 0.03, MaxStall: time.Hour, Drift: 0.02},
		})
		safe(t, *firstSeed+seed, out)
		drifted += out.Drifted
	}
	if drifted == 0 {
		t.Error("nobody changed anything")
	}
}

// loud lets drift be repaired for ever, so that no run stops for a person.
func loud(p strategy.Plan) strategy.Plan {
	p.Repairs = 1 << 30
	return p
}

// safe holds what a target accepted to the plan: up the ladder without a gap,
// then, at most once, home for good.
func safe(t *testing.T, seed uint64, out strategytest.Outcome) {
	t.Helper()
	ladder := []traffic.Weight{0, 10_000, 50_000, 100_000, 250_000, 500_000, traffic.Full}
	var weights []traffic.Weight
	for _, r := range out.Routes["web"] {
		if w := r.Split.Candidate; len(weights) == 0 || weights[len(weights)-1] != w {
			weights = append(weights, w)
		}
	}
	up := weights
	if n := len(weights); n > 1 && weights[n-1] == 0 {
		up = weights[:n-1]
	}
	if len(up) > len(ladder) || !slices.Equal(up, ladder[:len(up)]) {
		t.Errorf("seed %d: accepted %v", seed, weights)
	}
	switch last := weights[len(weights)-1]; out.Final.Phase {
	case strategy.Promoted:
		if last != traffic.Full {
			t.Errorf("seed %d: promoted at %v", seed, last)
		}
	case strategy.RolledBack:
		if last != 0 {
			t.Errorf("seed %d: rolled back at %v", seed, last)
		}
	default:
		t.Errorf("seed %d: ended %v: %v", seed, out.Final.Phase, out.Final.Err())
	}
}
