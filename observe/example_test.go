// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rheostat-go/rheostat/observe"
)

// A rollout tells its observers; one that is down does not keep the others from hearing.
func Example() {
	chat := observe.Func(func(context.Context, observe.Event) error { return fmt.Errorf("chat is down") })
	audience := observe.Dedupe(observe.Multi(time.Second, observe.Slog(textLogger(os.Stdout)), chat), 0)

	err := audience.Observe(context.Background(), observe.Event{
		Service: "checkout", Run: 12, Rev: 340, Kind: observe.RolledBack, Outcome: observe.OutcomeRolledBack, Phase: "done",
		Shares: []observe.Share{{Target: "eu", Candidate: 0}}, Cause: observe.CauseCheck, Reason: "errors: 5.2% is over 1%",
	})
	fmt.Println(err)
	// Output:
	// level=INFO msg=rolledBack service=checkout run=12 rev=340 phase=done outcome=rolledBack weight=0% cause=check reason="errors: 5.2% is over 1%"
	// observer 2 of 2: chat is down
}

func ExampleAsync() {
	queue := observe.Async(observe.Func(func(_ context.Context, e observe.Event) error {
		fmt.Println(e)
		return nil
	}), 100)
	_ = queue.Observe(context.Background(), observe.Event{Service: "checkout", Run: 12, Rev: 1, Kind: observe.Started})
	fmt.Println(queue.Close(context.Background()), queue.Stats().Dropped, "dropped")
	// Output:
	// checkout run 12: started
	// <nil> 0 dropped
}

func ExampleSecret() {
	token := observe.NewSecret("xoxb-1234")
	fmt.Printf("%v %+v %d characters\n", token, struct{ Token observe.Secret }{token}, len(token.Reveal()))
	// Output: [redacted] {Token:[redacted]} 9 characters
}
