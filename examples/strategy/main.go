// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command strategy carries out a strategy of its own making: the staff first,
// then half of whoever is left, and again, and again.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// Halving gives the candidate half of what stable still has, Times over, and
// then the rest. Before that it is shown to whoever sends the header Staff.
type Halving struct {
	Target, Staff string
	Times         int
	Hold          time.Duration
}

// Plan is all that a strategy is: data, held to the same promises as any other.
func (h Halving) Plan() (strategy.Plan, error) {
	staff := []traffic.Match{{Header: h.Staff}}
	steps := []strategy.Step{h.step("staff", traffic.Split{Match: staff})}
	for left := traffic.Full / 2; len(steps) <= h.Times; left /= 2 {
		steps = append(steps, h.step("", traffic.Split{Candidate: traffic.Full - left, Match: staff}))
	}
	steps = append(steps, h.step("", traffic.Split{Candidate: traffic.Full}))
	plan := strategy.Plan{Name: "halving", Lanes: []strategy.Lane{{Name: h.Target, Steps: steps}}}
	return plan, plan.Validate()
}

func (h Halving) step(name string, split traffic.Split) strategy.Step {
	return strategy.Step{Name: name, Hold: h.Hold, Set: []strategy.Dial{{Target: h.Target, Split: split}}}
}

func main() {
	plan, err := Halving{Target: "web", Staff: "X-Staff", Times: 3, Hold: 100 * time.Millisecond}.Plan()
	router := traffic.NewMemory(traffic.Options{}) // yours, or proxy.New
	wire := strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{"web": router}})
	runner, err2 := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Wire: wire})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	release := strategy.NewRelease("v1", "v2")
	if _, err := runner.Start(context.Background(), "web", strategy.Request{Release: release, Plan: plan}); err != nil {
		log.Fatal(err)
	}
	end, err := runner.Run(context.Background(), "web")
	for _, accepted := range router.History() {
		fmt.Println(accepted.Route)
	}
	fmt.Println(end.Phase, err)
}
