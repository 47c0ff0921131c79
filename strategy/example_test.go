// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// preview prints what a strategy's plan will do.
func preview(s strategy.Strategy) {
	plan, err := s.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	forecast, err := strategy.Preview(plan)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(forecast)
}

// The zero Canary but for its target takes the classic six steps of a minute each.
func ExampleCanary() {
	preview(strategy.Canary{Target: "web", Checks: []string{"errors"}})
	// Output:
	// canary: 6m0s, at most 1h12m0s
	//
	// web
	//   1  1%    web 1%    hold 1m0s; checks errors; at most 12m0s
	//   2  5%    web 5%    hold 1m0s; checks errors; at most 12m0s
	//   3  10%   web 10%   hold 1m0s; checks errors; at most 12m0s
	//   4  25%   web 25%   hold 1m0s; checks errors; at most 12m0s
	//   5  50%   web 50%   hold 1m0s; checks errors; at most 12m0s
	//   6  100%  web 100%  hold 1m0s; checks errors; at most 12m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
}

func ExampleBlueGreen() {
	preview(strategy.BlueGreen{
		Target: "web", Before: []string{"deploy", "warm"},
		PreviewHold: 5 * time.Minute, PreviewChecks: []string{"smoke"}, Approval: &strategy.Approval{Timeout: time.Hour},
		Checks: []string{"errors"}, Release: []string{"scale-down"},
	})
	// Output:
	// blue-green: 15m0s, at most 2h10m0s
	//
	// web
	//   1  preview  web 0% + header X-Preview=candidate  first deploy, warm; hold 5m0s; checks smoke; approval; at most 1h20m0s
	//   2  switch   web 100%                             at most 10m0s
	//   3  bake     as before                            hold 10m0s; checks errors; at most 30m0s
	//   4  release  as before                            first scale-down; at most 10m0s
	//
	// the way home: everything at once as far as stable has room, at least 30s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
}

func ExampleRings() {
	preview(strategy.Rings{
		Rings: []strategy.Group{
			{Name: "team", Targets: []string{"internal"}},
			{Name: "early adopters", Targets: []string{"beta"}},
			{Name: "everybody", Targets: []string{"web", "mobile"}},
		},
		Bake: time.Hour, Checks: []string{"errors"}, OnFail: strategy.ThisLane,
	})
	// Output:
	// rings: 3h0m0s, at most 6h30m0s; 3 lanes, 1 at a time
	//
	// team: begins after 0s
	//   1  100%  internal 100%  hold 1h0m0s; checks errors; at most 2h10m0s
	//
	// early adopters: begins after 1h0m0s, when team is done
	//   1  100%  beta 100%  hold 1h0m0s; checks errors; at most 2h10m0s
	//
	// everybody: begins after 2h0m0s, when early adopters is done
	//   1  100%  web 100%, mobile 100%  hold 1h0m0s; checks errors; at most 2h10m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: its lane goes home, the others under way finish, no further one begins
	// when a step takes too long: the same
}

func ExampleProgressive() {
	preview(strategy.Progressive{
		Waves: []strategy.Group{
			{Name: "first", Targets: []string{"eu-west"}},
			{Name: "rest", Targets: []string{"us-east", "ap-south"}},
		},
		MaxParallel: 2, Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, Hold: 10 * time.Minute, Checks: []string{"errors"},
	})
	// Output:
	// progressive: 40m0s, at most 2h0m0s; 3 lanes, 2 at a time
	//
	// eu-west: begins after 0s
	//   1  10%   eu-west 10%   hold 10m0s; checks errors; at most 30m0s
	//   2  100%  eu-west 100%  hold 10m0s; checks errors; at most 30m0s
	//
	// us-east: begins after 20m0s, when eu-west is done
	//   1  10%   us-east 10%   hold 10m0s; checks errors; at most 30m0s
	//   2  100%  us-east 100%  hold 10m0s; checks errors; at most 30m0s
	//
	// ap-south: begins after 20m0s, when eu-west is done
	//   1  10%   ap-south 10%   hold 10m0s; checks errors; at most 30m0s
	//   2  100%  ap-south 100%  hold 10m0s; checks errors; at most 30m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: every lane goes home, those that are done included
	// when a step takes too long: the same
}

// A plan can be too quick for its traffic: its judge then passes whatever comes.
func ExampleForecast_Under() {
	plan, err := strategy.Canary{Target: "web", Weights: []traffic.Weight{
		traffic.Percent(1), traffic.Percent(5), traffic.Percent(25), traffic.Full,
	}, Checks: []string{"errors"}}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	forecast, err := strategy.Preview(plan)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Stable fails 0.1% of requests; the candidate a percentage point more.
	under, err := forecast.Under(strategy.Load{PerSecond: 20, Errors: 0.001, Regression: 0.01})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(under)
	// Output:
	// canary: 4m0s, at most 48m0s
	// at 20 requests a second, with a candidate that fails 1.1% of them where stable fails 0.1%:
	//
	// web; not shown, with 16 requests harmed
	//   1  1%    web 1%    hold 1m0s; checks errors; at most 12m0s; 2% shown, alone in 49m15s
	//   2  5%    web 5%    hold 1m0s; checks errors; at most 12m0s; 11% shown, alone in 10m33s
	//   3  25%   web 25%   hold 1m0s; checks errors; at most 12m0s; 43% shown, alone in 3m6s
	//   4  100%  web 100%  hold 1m0s; checks errors; at most 12m0s; nothing to compare
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
	// caution: lane "web" is too quick for 20 requests a second: it gathers 43% of the evidence that the regression takes; hold 2.3 times as long
}

// Preview tells what is allowed and probably not meant, too.
func ExampleAllAtOnce() {
	preview(strategy.AllAtOnce{Targets: []string{"api", "web"}, Bake: 5 * time.Minute})
	// Output:
	// all at once: 5m0s, at most 20m0s
	//
	// all
	//   1  all at once  api 100%, web 100%  hold 5m0s; at most 20m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
	// caution: lane "all" has no check: nothing can tell that the candidate fails there
}

// Shadow is a strategy of one's own: copies first, requests later.
type Shadow struct{ Target string }

// Plan is the shadow as data. The machine treats it like any other plan.
func (s Shadow) Plan() (strategy.Plan, error) {
	dial := func(split traffic.Split) []strategy.Dial { return []strategy.Dial{{Target: s.Target, Split: split}} }
	p := strategy.Plan{Name: "shadow", Watch: []string{"errors"}, Lanes: []strategy.Lane{{Name: s.Target, Steps: []strategy.Step{
		{Name: "copies", Set: dial(traffic.Split{Mirror: traffic.Percent(10)}), Hold: time.Hour},
		{Name: "requests", Set: dial(traffic.Split{Candidate: traffic.Full}), Hold: time.Hour},
	}}}}
	return p, p.Validate()
}

func ExampleStrategy() {
	preview(Shadow{Target: "web"})
	// Output:
	// shadow: 2h0m0s, at most 4h20m0s
	// watched all the time: errors
	//
	// web
	//   1  copies    web 0% + mirror 10%  hold 1h0m0s; at most 2h10m0s
	//   2  requests  web 100%             hold 1h0m0s; at most 2h10m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
}

// What is wrong with a plan is told all at once, with its place and what to do.
func ExamplePlan_Validate() {
	plan, err := strategy.ParsePlan([]byte(`{
		"lanes": [{"name": "web", "steps": [
			{"name": "half", "set": [{"target": "web", "split": {"candidate": "50%"}}], "hold": "10m", "deadline": "5m"},
			{"name": "less", "set": [{"target": "web", "split": {"candidate": "20%"}}]}
		]}]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Validate())
	_, err = strategy.ParsePlan([]byte(`{"lanes": [{"name": "web", "steps": [{"deadlin": "5m"}]}]}`))
	fmt.Println(err)
	// Output:
	// strategy: invalid plan: 2 problems:
	//   lane "web": step "half": deadline: 5m0s is not longer than hold 10m0s, so the step could only time out; lengthen it, or use 0 for the default
	//   lane "web": step "less": set[0].split.candidate: falls from 50% to 20% before any commit step; weights rise until a step says commit; the way back is the rollback's
	// strategy: plan: lanes[0].steps[0].deadlin: unknown field; want one of approval, before, checks, commit, deadline, hold, min, name, oneWay, set
}

func ExampleRecommend() {
	best := strategy.Recommend(strategy.Change{DatabaseChange: true, Target: "web"})[0]
	fmt.Printf("%v: risk %v, return %v\n", best.Kind, best.Traits.Risk, best.Traits.Rollback)
	for _, reason := range best.Reasons {
		fmt.Println("+", reason)
	}
	for _, caution := range best.Cautions {
		fmt.Println("-", caution)
	}
	plan, err := best.Strategy.Plan()
	fmt.Println(plan.Name, err)
	// Output:
	// Blue-Green: risk Low, return Instant
	// + a database change is best switched as a whole: requests do not alternate between two versions for the length of a ramp
	// - all or nothing: everybody moves at the switch; show it to a few by the preview first
	// - both sides must be able to carry everything until the bake is over
	// - both sides share the data: expand the schema before the switch, contract it after the bake, and never take data back
	// blue-green <nil>
}

var release = strategy.Release{
	Stable:    strategy.Revision{Version: "v1"},
	Candidate: strategy.Revision{Version: "v2"},
}

// passing is a judge to whom every candidate is all right.
var passing = analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	return c.Finding(analysis.Pass, "no errors"), nil
})

// Run carries a rollout out and returns when it has ended.
func ExampleRunner_Run() {
	ctx := context.Background()
	router := traffic.NewMemory(traffic.Options{})
	runner, err := strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{},
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{"web": router},
			Judges:  map[string]analysis.Judge{"errors": passing},
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := strategy.Canary{Target: "web", Hold: time.Millisecond, Checks: []string{"errors"}}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := runner.Start(ctx, "shop", strategy.Request{Release: release, Plan: plan}); err != nil {
		fmt.Println(err)
		return
	}
	s, err := runner.Run(ctx, "shop")
	fmt.Println(s.Phase, err)
	for _, accepted := range router.History() {
		fmt.Println(accepted.Fence, accepted.Route)
	}
	// Output:
	// promoted <nil>
	// 1 0% to v2, rest to v1
	// 2 1% to v2, rest to v1
	// 3 5% to v2, rest to v1
	// 4 10% to v2, rest to v1
	// 5 25% to v2, rest to v1
	// 6 50% to v2, rest to v1
	// 7 100% to v2, rest to v1
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " " + reason
}

// Reconcile makes one turn. A controller returns Wake as the time to be called
// again; this loop waits for it.
func ExampleRunner_Reconcile() {
	ctx := context.Background()
	failing := analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		return c.Finding(analysis.Fail, "3% of the requests fail"), nil
	})
	runner, err := strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{},
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{"web": traffic.NewMemory(traffic.Options{})},
			Judges:  map[string]analysis.Judge{"errors": failing},
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := strategy.Canary{Target: "web", Checks: []string{"errors"}}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := runner.Start(ctx, "shop", strategy.Request{Release: release, Plan: plan}); err != nil {
		fmt.Println(err)
		return
	}
	for {
		d, err := runner.Reconcile(ctx, "shop")
		if err != nil {
			fmt.Println(err) // a controller would return it, and be called again
			return
		}
		if d.Transition.Kind != 0 {
			fmt.Printf("%v at %v;%s\n", d.Transition.Kind, d.Transition.Weight, because(d.Transition.Reason))
		}
		if d.Wake.IsZero() {
			fmt.Println(errors.Is(d.State.Err(), strategy.ErrRolledBack))
			return
		}
		<-time.After(time.Until(d.Wake))
	}
	// Output:
	// lane armed at 0%;
	// dials turned at 1%;
	// step settled at 1%;
	// return began at 0%; check "errors" failed: 3% of the requests fail
	// return settled at 0%;
	// lane home at 0%;
	// run rolled back at 0%; check "errors" failed: 3% of the requests fail
	// true
}

// The loop that a Runner runs, by hand: observe, decide, save, act. Here the
// clock is a variable, so that a canary of six minutes takes none.
func ExampleMachine_Step() {
	ctx := context.Background()
	var (
		machine strategy.Machine
		store   strategy.MemoryStore
		router  traffic.Memory
	)
	now := time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)
	began := now
	plan, err := strategy.Canary{Target: "web", Weights: strategy.Exponential(traffic.Percent(10), 3)}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	caps := map[string]traffic.Caps{"web": router.Caps()}
	frozen, _, err := strategy.Accept(plan, caps, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	seen, err := router.Observe(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, first, err := machine.Start(now, strategy.State{}, strategy.Launch{Service: "shop", Release: release, Plan: frozen, Caps: caps},
		strategy.Observation{Seen: map[string]traffic.Seen{"web": seen}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Save(ctx, "shop", 0, s, first); err != nil {
		fmt.Println(err)
		return
	}
	for {
		s, err := store.Load(ctx, "shop")
		if err != nil {
			fmt.Println(err)
			return
		}
		// Needs names one target and nothing else: this plan has no checks and no tasks.
		o := strategy.Observation{Watched: began, Intent: &strategy.Intent{}, Seen: map[string]traffic.Seen{}}
		for _, name := range machine.Needs(s).Targets {
			if seen, err := router.Observe(ctx); err == nil {
				o.Seen[name] = seen
			}
		}
		d, err := machine.Step(now, s, o)
		if err != nil {
			fmt.Println(err)
			return
		}
		if d.State.Rev != s.Rev {
			var journal []strategy.Transition
			if d.Transition.Kind != 0 {
				journal = append(journal, d.Transition)
			}
			if err := store.Save(ctx, "shop", s.Rev, d.State, journal...); err != nil {
				fmt.Println(err)
				return
			}
		}
		for _, effect := range d.Effects {
			if set, ok := effect.(*strategy.SetRoute); ok {
				if err := router.Apply(ctx, set.Fence, set.Route); err != nil {
					fmt.Println(err) // the next turn asks again
				}
				fmt.Println(now.Sub(began), set.Route)
			}
		}
		if d.Wake.IsZero() {
			fmt.Println(now.Sub(began), d.State.Phase, d.State.Err())
			return
		}
		if d.Wake.After(now) {
			now = d.Wake
		}
	}
	// Output:
	// 0s 0% to v2, rest to v1
	// 0s 10% to v2, rest to v1
	// 1m0s 30% to v2, rest to v1
	// 2m0s 90% to v2, rest to v1
	// 3m0s 100% to v2, rest to v1
	// 4m0s promoted <nil>
}
