// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash_test

import (
	"context"
	"fmt"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/unleash"
)

func Example() {
	doc, err := unleash.Parse([]byte(`{"version": 2, "features": [{
		"name": "shop", "enabled": true,
		"strategies": [{
			"name": "flexibleRollout",
			"parameters": {"rollout": "50", "stickiness": "userId", "groupId": "shop"},
			"constraints": [{"contextName": "country", "operator": "IN", "values": ["DE", "FR"]}]
		}],
		"variants": [
			{"name": "calm", "weight": 500, "payload": {"type": "string", "value": "blue"}},
			{"name": "loud", "weight": 500, "payload": {"type": "string", "value": "red"}}
		]
	}]}`))
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

	shop := flags.Bool("shop", false)
	color := flags.String("shop"+unleash.Suffix, "grey")
	for _, user := range []string{"user-1", "user-2", "user-3"} {
		who := flags.User(user).Str("country", "DE")
		d := color.Eval(client, &who)
		fmt.Printf("%s %t %s %q\n", user, shop.On(client, &who), d.Value, d.Variant)
	}
	// Output:
	// user-1 false grey ""
	// user-2 true red "loud"
	// user-3 false grey ""
}
