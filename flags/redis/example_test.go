// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

func Example() {
	server, err := miniredis.Run() // yours is a real one
	if err != nil {
		panic(err)
	}
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer rdb.Close()

	// Another program has written a flag.
	rdb.Set(ctx, "feature:new-checkout", `{"enabled": true, "team": "shop", "rollout": {"type": "users", "users": ["user-42"]}}`, 0)

	store, err := redisflags.New(rdb, redisflags.Options{})
	if err != nil {
		panic(err)
	}
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		panic(err)
	}
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	if err := client.Wait(ctx); err != nil {
		panic(err)
	}
	newCheckout, who := flags.Bool("new-checkout", false), flags.User("user-42")
	fmt.Println(newCheckout.On(client, &who))

	// Something is wrong with it.
	if _, err := flags.Kill(ctx, store, "new-checkout", flags.Note{By: "kim", Why: "carts are lost"}); err != nil {
		panic(err)
	}
	for f := range client.Changes(ctx, "new-checkout") {
		if !f.Enabled {
			fmt.Println(newCheckout.On(client, &who), f.UpdatedBy+":", f.Why, string(f.Extra["team"]))
			break
		}
	}
	// Output:
	// true
	// false kim: carts are lost "shop"
}
