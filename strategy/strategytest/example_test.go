// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest_test

import (
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// That a candidate that begins to fail at 25% brings everybody home is a unit
// test of a few lines.
func ExamplePlay() {
	plan, err := strategy.Canary{Target: "web", Hold: 10 * time.Minute, Checks: []string{"errors"}}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	story, err := strategytest.Play(plan, strategytest.At("web", "25%", strategytest.Fails("errors")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(story.Final.Phase, "after", story.Lasted)
	fmt.Println(story.Weights("web"))
	fmt.Println(story.Final.Err())
	// Output:
	// rolledBack after 30m0s
	// [0% 1% 5% 10% 25% 0%]
	// strategy: service: run 1 ended rolledBack (check failed): check "errors" failed: errors says fail
}

// A story reads as a list of what was decided, and when.
func ExampleStory_String() {
	plan, err := strategy.AllAtOnce{Targets: []string{"web"}, Bake: time.Minute, Watch: []string{"errors"}}.Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	story, err := strategytest.Play(plan,
		strategytest.After(20*time.Second, strategytest.Drifts("web", "kubectl", traffic.Percent(3))),
		strategytest.After(40*time.Second, strategytest.Asks(func(i *strategy.Intent) { i.Abort, i.By = true, "ann" })),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(story)
	// Output:
	// +0s       #0   run started; v2; from v1 to v2
	// +0s       #1   lane armed all all at once (0%)
	// +0s       #2   dials turned all all at once (100%)
	// +0s       #2   verdict changed all all at once (100%); errors; pass; errors says pass
	// +0s       #2   step settled all all at once (100%)
	// +20s      #3   drift repaired all all at once (100%); web; kubectl set 3% to v2, rest to v1; by kubectl
	// +20s      #3   step settled all all at once (100%)
	// +40s      #4   return began all all at once (0%); aborted; by ann
	// +40s      #4   return settled all all at once (0%)
	// +40s      #4   lane home all all at once (0%)
	// +40s      #4   run rolled back; aborted
}
