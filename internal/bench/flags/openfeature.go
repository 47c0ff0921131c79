// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
)

// openFeature is what the SDK costs around a provider that looks up a map: a provider that
// decides something costs that on top. Rules would be code of this benchmark.
var openFeature = Peer{
	Name:    "OpenFeature SDK, memory provider",
	Modules: []string{"github.com/open-feature/go-sdk"},
	Start:   startOpenFeature,
}

func startOpenFeature(f *Fixture, _ []byte) (*Running, error) {
	flags := make(map[string]memprovider.InMemoryFlag, len(f.Flags))
	for _, flag := range f.Flags {
		flags[flag.Key] = memprovider.InMemoryFlag{
			Key: flag.Key, State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true, "off": false},
		}
	}
	ctx := context.Background()
	instance := isolated.NewAPI()
	if err := instance.SetProviderAndWait(ctx, memprovider.NewInMemoryProvider(flags)); err != nil {
		return nil, err
	}
	client := instance.NewClient()
	who := make([]openfeature.EvaluationContext, People)
	for i, p := range f.People {
		who[i] = openfeature.NewEvaluationContext(p.Key, map[string]any{"country": p.Country, "plan": p.Plan, "build": p.Build})
	}
	key := On.Key()
	r := &Running{Close: func() { _ = instance.Shutdown(ctx) }} // it has nothing open
	r.Loops[On] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if client.Boolean(ctx, key, false, who[i&last]) {
				on++
			}
		}
		return on
	}
	return r, nil
}
