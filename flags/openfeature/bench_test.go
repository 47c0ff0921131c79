// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"context"
	"testing"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/openfeature"
)

// BenchmarkProvider is one boolean flag by a handle, by the provider alone, and through
// OpenFeature's client.
func BenchmarkProvider(b *testing.B) {
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	client, err := flags.New(flags.NewMemory(&flags.Flag{Key: "on", Enabled: true}), flags.Options{})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = client.Run(ctx) }()
	api := isolated.NewAPI()
	provider := openfeature.NewProvider(client)
	if err := api.SetProviderAndWait(ctx, provider); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = api.Shutdown(ctx) }()
	b.Run("handle", func(b *testing.B) {
		b.ReportAllocs()
		on, who := flags.Bool("on", false), flags.User("user-42").Str("plan", "pro")
		for b.Loop() {
			on.On(client, &who)
		}
	})
	b.Run("provider", func(b *testing.B) {
		b.ReportAllocs()
		who := of.FlattenedContext{"targetingKey": "user-42", "plan": "pro"}
		for b.Loop() {
			provider.BooleanEvaluation(ctx, "on", false, who)
		}
	})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		asker, who := api.NewClient(), of.NewEvaluationContext("user-42", map[string]any{"plan": "pro"})
		for b.Loop() {
			asker.Boolean(ctx, "on", false, who)
		}
	})
	b.Run("evaluator", func(b *testing.B) {
		b.ReportAllocs()
		evaluator, err := openfeature.NewEvaluator(api.NewClient())
		if err != nil {
			b.Fatal(err)
		}
		who := flags.User("user-42").Str("plan", "pro")
		for b.Loop() {
			evaluator.Bool("on", false, who)
		}
	})
}
