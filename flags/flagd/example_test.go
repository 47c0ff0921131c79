// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"context"
	"fmt"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagd"
)

func Example() {
	doc, err := flagd.Parse([]byte(`{"flags": {"banner": {
		"state": "ENABLED",
		"variants": {"red": "#f00", "blue": "#00f"},
		"defaultVariant": "blue",
		"targeting": {"if": [
			{"ends_with": [{"var": "email"}, "@example.com"]}, "red",
			{"fractional": [["red", 10], ["blue", 90]]}
		]}
	}}}`))
	if err != nil {
		panic(err)
	}
	for _, problem := range doc.Problems {
		fmt.Println(problem)
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var store flags.Memory
	store.Replace(doc)
	client, err := flags.New(&store, flags.Options{})
	if err != nil {
		panic(err)
	}
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	if err := client.Wait(ctx); err != nil {
		panic(err)
	}

	banner := flags.String("banner", "#fff")
	who := flags.User("user-42").Str("email", "kim@example.com")
	fmt.Println(banner.Get(client, &who))
	who = flags.User("user-42")
	d := banner.Eval(client, &who)
	fmt.Println(d.Value, d.Variant, d.Reason)
	// Output:
	// #f00
	// #00f blue rule
}

func ExampleMarshal() {
	f := &flags.Flag{
		Key: "checkout", Enabled: true,
		Rollout: &flags.Rollout{Type: "percentage", Percentage: 12_500}, // 12.5 %
	}
	text, err := flagd.Marshal(flags.Document{Flags: map[string]*flags.Flag{"checkout": f}})
	if err != nil {
		panic(err)
	}
	doc, err := flagd.Parse(text)
	if err != nil {
		panic(err)
	}
	// Whoever has it here has it there.
	who := flags.User("user-42")
	place, err := flags.Bucket(flags.Murmur3, "checkout", who.Key())
	if err != nil {
		panic(err)
	}
	variant, _, err := doc.Flags["checkout"].Logic.Decide(who)
	fmt.Println(place, variant, err)
	// Output: 77.138% off <nil>
}
