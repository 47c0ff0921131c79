// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

func Example() {
	main()
	// Output:
	// 0% to v2, rest to v1
	// 0% to v2, rest to v1, 1 matches
	// 50% to v2, rest to v1, 1 matches
	// 75% to v2, rest to v1, 1 matches
	// 87.5% to v2, rest to v1, 1 matches
	// 100% to v2, rest to v1
	// promoted <nil>
}

func TestAnAbortBringsTheHalvingHomeFromAnyStep(t *testing.T) {
	t.Parallel()
	plan, err := Halving{Target: "web", Staff: "X-Staff", Times: 2, Hold: time.Minute}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"staff", "50%", "75%", "100%"} {
		story, err := strategytest.Play(plan, strategytest.At("web", step, strategytest.Asks(func(i *strategy.Intent) { i.Abort = true })))
		if err != nil {
			t.Fatalf("aborted at %s: %v", step, err)
		}
		if seen := story.World.Target("web").Seen.Route; story.Final.Phase != strategy.RolledBack || seen.Split.Touches() {
			t.Errorf("aborted at %s: ended %v with %v", step, story.Final.Phase, seen)
		}
	}
}

func TestAHalvingWithoutATargetIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := (Halving{Staff: "X-Staff"}).Plan(); !errors.Is(err, strategy.ErrInvalidPlan) {
		t.Errorf("Plan without a target: %v, want ErrInvalidPlan", err)
	}
}
