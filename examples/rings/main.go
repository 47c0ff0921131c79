// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command rings gives a version to the team, the company, everybody, and stops at the first harm.
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

// crashes stands for a judge over your metrics: the company's old laptops crash.
func crashes(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	if c.Lane == "company" {
		return c.Finding(analysis.Fail, "12 crashes in an hour"), nil
	}
	return c.Finding(analysis.Pass, "no crash"), nil
}

func main() {
	wiring := strategy.Wiring{
		Routers: map[string]traffic.Router{},
		Judges:  map[string]analysis.Judge{"crashes": analysis.JudgeFunc(crashes)},
	}
	routers := map[string]*traffic.Memory{} // a flag, a header, an update channel
	rings := strategy.Rings{
		Bake: 200 * time.Millisecond, Checks: []string{"crashes"}, OnFail: strategy.Everything, // ThisLane keeps rings that are done
		Back: strategy.Back{Drain: time.Millisecond},
	}
	for _, name := range []string{"team", "company", "everybody"} {
		routers[name] = new(traffic.Memory)
		wiring.Routers[name] = routers[name]
		rings.Rings = append(rings.Rings, strategy.Group{Name: name, Targets: []string{name}})
	}
	plan, err := rings.Plan()
	runner, err2 := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Wire: strategy.Fixed(wiring), Poll: 10 * time.Millisecond})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	release := strategy.NewRelease("v1", "v2")
	if _, err := runner.Start(context.Background(), "app", strategy.Request{Release: release, Plan: plan}); err != nil {
		log.Fatal(err)
	}
	_, err = runner.Run(context.Background(), "app")
	for _, ring := range rings.Rings {
		fmt.Print(ring.Name, ":")
		for _, accepted := range routers[ring.Name].History() {
			fmt.Print(" ", accepted.Route.Split.Candidate)
		}
		fmt.Println()
	}
	fmt.Println(err)
}
