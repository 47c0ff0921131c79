// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command testing plays what a release would do if things went wrong, before
// they do: a rollout of two days takes a few milliseconds.
package main

import (
	"fmt"
	"log"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// release is how this company releases: it is what the tests are about.
func release() (strategy.Plan, error) {
	return strategy.Canary{
		Target:  "shop",
		Before:  []string{"expand schema"},
		Weights: strategy.Exponential(traffic.Percent(5), 4), // 5%, 20%, 80%, 100%
		Hold:    12 * time.Hour,
		Checks:  []string{"errors"},
		Watch:   []string{"orders"},
		Back:    strategy.Back{Stride: traffic.Percent(25), Pace: time.Minute}, // cold caches
	}.Plan()
}

func main() {
	plan, err := release()
	if err != nil {
		log.Fatal(err)
	}
	questions := []struct {
		what   string
		faults []strategytest.Fault
	}{
		{what: "all is well"},
		{"errors at 20%", []strategytest.Fault{strategytest.At("shop", "20%", strategytest.Fails("errors"))}},
		{"orders fall after 30 hours", []strategytest.Fault{strategytest.After(30*time.Hour, strategytest.Fails("orders"))}},
		{"stable was scaled down", []strategytest.Fault{
			strategytest.At("shop", "80%", strategytest.Shrinks("shop", traffic.Room{Known: true, Stable: traffic.Percent(60), Candidate: traffic.Full})),
			strategytest.After(30*time.Hour, strategytest.Fails("errors")),
		}},
	}
	for _, q := range questions {
		story, err := strategytest.Play(plan, q.faults...)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %v after %v; weights %v\n", q.what, story.Final.Phase, story.Lasted, story.Weights("shop"))
	}
}
