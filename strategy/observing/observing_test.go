// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/observing"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// told plays a plan and returns its events.
func told(t *testing.T, faults ...strategytest.Fault) []observe.Event {
	t.Helper()
	plan, err := strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, Checks: []string{"errors"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(plan, faults...)
	if err != nil {
		t.Fatal(err)
	}
	var events []observe.Event
	to := observing.To(observe.Func(func(_ context.Context, e observe.Event) error {
		events = append(events, e)
		return nil
	}), observing.Options{Environment: "test"})
	for _, tr := range story.Transitions {
		if err := to.Transition(t.Context(), story.Final, tr); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

func kinds(events []observe.Event) string {
	var words []string
	for _, e := range events {
		words = append(words, e.Kind.String())
	}
	return strings.Join(words, " ")
}

func TestAPromotionIsTold(t *testing.T) {
	t.Parallel()
	events := told(t)
	const want = "started noted stepEntered settled judged stepEntered settled noted promoted"
	if got := kinds(events); got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}
	last := events[len(events)-1]
	if last.Outcome != observe.OutcomePromoted || last.Version != "v2" || last.From != "v1" || last.Environment != "test" || last.Plan != "canary" {
		t.Errorf("the last event is %+v", last)
	}
	if len(last.Shares) != 1 || last.Shares[0].Candidate != observe.FullShare {
		t.Errorf("shares %v", last.Shares)
	}
	seen := map[observe.Key]bool{}
	for _, e := range events {
		key, ok := e.Key()
		if !ok || seen[key] {
			t.Errorf("key %v of %v is not its own", key, e)
		}
		seen[key] = true
	}
}

func TestAReturnIsToldWithItsCauseAndWhenItFailed(t *testing.T) {
	t.Parallel()
	events := told(t, strategytest.At("web", "10%", strategytest.Fails("errors")))
	last := events[len(events)-1]
	if last.Kind != observe.RolledBack || last.Cause != observe.CauseCheck || last.Outcome != observe.OutcomeRolledBack || last.Failing.IsZero() {
		t.Errorf("the last event is %+v", last)
	}
	if !strings.Contains(kinds(events), "rollingBack") {
		t.Errorf("told %s", kinds(events))
	}
}

func TestASupersededRunIsNotAFailure(t *testing.T) {
	t.Parallel()
	events := told(t, strategytest.After(30*time.Second, strategytest.Asks(func(i *strategy.Intent) {
		i.Want = strategy.Revision{Version: "v3"}
	})))
	if last := events[len(events)-1]; last.Kind != observe.Superseded || last.Outcome != observe.OutcomeSuperseded {
		t.Errorf("the last event is %+v", last)
	}
}

func Example() {
	printer := observe.Func(func(_ context.Context, e observe.Event) error {
		fmt.Println(e)
		return nil
	})
	plan, _ := strategy.AllAtOnce{Targets: []string{"web"}}.Plan()
	story, _ := strategytest.Play(plan)
	last := story.Transitions[len(story.Transitions)-1]
	_ = observing.To(printer, observing.Options{}).Transition(context.Background(), story.Final, last)
	// Output: service run 1: promoted web 100%
}
