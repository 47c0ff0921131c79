// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command twoservices releases an API and the site that needs it as one: each step
// turns both dials, the API's first, and on the way home the site's goes first.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

type loud struct { // tells what is asked of a router
	name string
	traffic.Router
}

func (l loud) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	fmt.Println(l.name, r)
	return l.Router.Apply(ctx, fence, r)
}

func step(w traffic.Weight) strategy.Step {
	return strategy.Step{Hold: 100 * time.Millisecond, Checks: []string{"checkout works"}, Set: []strategy.Dial{
		{Target: "api", Split: traffic.Split{Candidate: w}},
		{Target: "site", Split: traffic.Split{Candidate: w}},
	}}
}

func main() {
	plan := strategy.Plan{
		Name:  "api and site",
		Lanes: []strategy.Lane{{Name: "both", Steps: []strategy.Step{step(traffic.Percent(10)), step(traffic.Percent(50)), step(traffic.Full)}}},
		Back:  strategy.Back{Drain: time.Millisecond},
	}
	checkout := analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		if c.Step == 1 { // at 50%
			return c.Finding(analysis.Fail, "the site's v2 asks for a field that the API lacks"), nil
		}
		return c.Finding(analysis.Pass, ""), nil
	})
	runner, err := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Wire: strategy.Fixed(strategy.Wiring{
		Routers: map[string]traffic.Router{"api": loud{"api", new(traffic.Memory)}, "site": loud{"site", new(traffic.Memory)}},
		Judges:  map[string]analysis.Judge{"checkout works": checkout},
	})})
	if err != nil {
		log.Fatal(err)
	}
	release := strategy.NewRelease("v1", "v2")
	_, err = runner.Start(context.Background(), "shop", strategy.Request{Release: release, Plan: plan})
	_, err2 := runner.Run(context.Background(), "shop")
	fmt.Println(errors.Join(err, err2))
}
