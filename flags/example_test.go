// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"fmt"

	"github.com/rheostat-go/rheostat/flags"
)

func Example() {
	newCheckout := flags.Bool("new-checkout", false)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := flags.NewMemory(&flags.Flag{
		Key: "new-checkout", Enabled: true,
		Rules: []flags.Rule{{
			ID:    "staff",
			When:  []flags.Clause{{Attribute: "email", Op: flags.EndsWith, Values: []flags.Value{flags.Text("@example.com")}}},
			Serve: flags.Serve{Variant: "on"},
		}},
		Rollout: &flags.Rollout{Type: "percentage", Percentage: 10_000}, // 10 %
	})
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		panic(err)
	}
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	if err := client.Wait(ctx); err != nil {
		panic(err)
	}

	who := flags.User("user-42", flags.Str("email", "kim@example.com"))
	fmt.Println(newCheckout.On(client, &who), newCheckout.Eval(client, &who).Rule)
	who = flags.User("user-42")
	d := newCheckout.Eval(client, &who)
	fmt.Println(d.Value, d.Variant, d.Reason)
	// Output:
	// true staff
	// false off split
}
