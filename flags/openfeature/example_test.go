// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"context"
	"fmt"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/openfeature"
)

// Our flags, asked by code that speaks OpenFeature.
func ExampleNewProvider() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	client, err := flags.New(flags.NewMemory(&flags.Flag{Key: "new-checkout", Enabled: true}), flags.Options{})
	if err != nil {
		panic(err)
	}
	go func() { _ = client.Run(ctx) }()

	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, openfeature.NewProvider(client)); err != nil {
		panic(err)
	}
	d, err := api.NewClient().BooleanValueDetails(ctx, "new-checkout", false, of.NewEvaluationContext("user-42", nil))
	fmt.Println(d.Value, d.Variant, d.Reason, err)
	fmt.Println(api.Shutdown(ctx))
	// Output:
	// true on STATIC <nil>
	// <nil>
}

// Another vendor's flags, asked by our handles.
func ExampleNewEvaluator() {
	ctx := context.Background()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, vendor()); err != nil { // any provider
		panic(err)
	}
	defer func() { _ = api.Shutdown(ctx) }()
	evaluator, err := openfeature.NewEvaluator(api.NewClient())
	if err != nil {
		panic(err)
	}
	client, err := flags.NewWith(evaluator, flags.Options{})
	if err != nil {
		panic(err)
	}
	who := flags.User("user-42")
	limit := flags.Int("int", 1)
	fmt.Println(limit.Get(client, &who), limit.Eval(client, &who).Reason)
	// Output:
	// 7 static
}
