// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

func Example() {
	main()
	// Output:
	// all is well: promoted after 48h0m0s; weights [0% 5% 20% 80% 100%]
	// errors at 20%: rolledBack after 12h0m30s; weights [0% 5% 20% 0%]
	// orders fall after 30 hours: rolledBack after 30h3m30s; weights [0% 5% 20% 80% 55% 30% 5% 0%]
	// stable was scaled down: rollbackFailed after 30h15m0s; weights [0% 5% 20% 80% 55% 40%]
}

func play(t *testing.T, faults ...strategytest.Fault) *strategytest.Story {
	t.Helper()
	plan, err := release()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(plan, faults...)
	if err != nil {
		t.Fatalf("%v\n%v", err, story)
	}
	return story
}

func TestCandidateGetsNobodyIfTheSchemaCannotBeExpanded(t *testing.T) {
	t.Parallel()
	story := play(t, strategytest.After(0, strategytest.Goes("expand schema", strategy.TaskFailed)))
	if story.Final.Cause != strategy.CauseTask || slices.Max(append(story.Weights("shop"), 0)) > 0 {
		t.Errorf("ended with cause %v and weights %v, want a failed task and nothing above 0%%", story.Final.Cause, story.Weights("shop"))
	}
}

func TestReturnNeverMovesMoreThanAQuarterAtOnce(t *testing.T) {
	t.Parallel()
	story := play(t, strategytest.At("shop", "100%", strategytest.Fails("errors")))
	weights := story.Weights("shop")
	for i := 1; i < len(weights); i++ {
		if weights[i] < weights[i-1] && weights[i-1]-weights[i] > traffic.Percent(25) {
			t.Errorf("fell from %v to %v at once", weights[i-1], weights[i])
		}
	}
	if last := weights[len(weights)-1]; last != 0 || story.Final.Phase != strategy.RolledBack {
		t.Errorf("ended %v at %v, want rolled back at 0%%", story.Final.Phase, last)
	}
}
