// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/openfeature"
)

type jsonText = json.RawMessage

// behind is a client of ours whose flags a provider of OpenFeature evaluates.
func behind(t *testing.T, provider of.FeatureProvider) *flags.Client {
	t.Helper()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Shutdown(context.WithoutCancel(t.Context())) })
	evaluator, err := openfeature.NewEvaluator(api.NewClient())
	if err != nil {
		t.Fatal(err)
	}
	client, err := flags.NewWith(evaluator, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func vendor() of.FeatureProvider {
	when := func(variant string, value any) *func(memprovider.InMemoryFlag, of.FlattenedContext) (any, of.ProviderResolutionDetail) {
		f := func(_ memprovider.InMemoryFlag, who of.FlattenedContext) (any, of.ProviderResolutionDetail) {
			address, _ := who["address"].(map[string]any)
			if who["targetingKey"] == "u" && address["city"] == "Ulm" && cmp.Equal(who["group"], []any{"a", "b"}) {
				return value, of.ProviderResolutionDetail{Variant: variant, Reason: of.TargetingMatchReason}
			}
			return "", of.ProviderResolutionDetail{ResolutionError: of.NewTargetingKeyMissingResolutionError("nobody"), Reason: of.ErrorReason}
		}
		return &f
	}
	flag := func(key string, value any) memprovider.InMemoryFlag {
		return memprovider.InMemoryFlag{Key: key, State: memprovider.Enabled, DefaultVariant: "one", Variants: map[string]any{"one": value}}
	}
	aware := flag("aware", "?")
	aware.ContextEvaluator = when("it", "yes")
	off := flag("off", true)
	off.State = memprovider.Disabled
	return memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"bool": flag("bool", true), "string": flag("string", "s"), "int": flag("int", 7), "float": flag("float", 1.5),
		"object": flag("object", map[string]any{"rps": 100}), "aware": aware, "off": off,
	})
}

func TestAnotherVendorsFlagsAreServedByOurHandles(t *testing.T) {
	t.Parallel()
	c := behind(t, vendor())
	who := flags.User("u").Str("address.city", "Ulm").Str("group", "a").Str("group", "b")
	want := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	want("bool", flags.Bool("bool", false).Eval(c, &who), flags.Detail[bool]{Value: true, Variant: "one", Reason: flags.Static})
	want("string", flags.String("string", "").Eval(c, &who), flags.Detail[string]{Value: "s", Variant: "one", Reason: flags.Static})
	want("int", flags.Int("int", 0).Eval(c, &who), flags.Detail[int64]{Value: 7, Variant: "one", Reason: flags.Static})
	want("float", flags.Float("float", 0).Eval(c, &who), flags.Detail[float64]{Value: 1.5, Variant: "one", Reason: flags.Static})
	want("aware", flags.String("aware", "no").Eval(c, &who), flags.Detail[string]{Value: "yes", Variant: "it", Reason: flags.Matched})
	want("nobody", flags.String("aware", "no").Eval(c, nil), flags.Detail[string]{Value: "no", Reason: flags.Anonymous})
	want("mismatch", flags.String("bool", "no").Eval(c, &who), flags.Detail[string]{Value: "no", Reason: flags.TypeMismatch})
	want("missing", flags.Bool("no such", true).Eval(c, &who), flags.Detail[bool]{Value: true, Reason: flags.NotFound})
	want("off", flags.Bool("off", true).Eval(c, &who).Reason, flags.Disabled)
	type limit struct{ RPS int }
	want("object", flags.JSON("object", limit{}).Eval(c, &who), flags.Detail[limit]{Value: limit{100}, Variant: "one", Reason: flags.Static})
	for key, text := range map[string]string{"bool": "true", "string": `"s"`, "float": "1.5"} {
		want("raw "+key, string(c.Raw(key, &who).Value), text)
	}
	want("raw missing", c.Raw("no such", &who), flags.Detail[json.RawMessage]{Reason: flags.NotFound})
}

// TestWhatWeServeComesBackThroughOpenFeature sends flags through both halves.
func TestWhatWeServeComesBackThroughOpenFeature(t *testing.T) {
	t.Parallel()
	native := started(t, flags.NewMemory(&flags.Flag{
		Key: "ramp", Enabled: true, Version: 3,
		Rules: []flags.Rule{{
			ID: "half", When: []flags.Clause{{Attribute: "plan", Op: flags.In, Values: []flags.Value{flags.Text("pro")}}},
			Serve: flags.Serve{Split: []flags.Share{{Variant: "on", Percent: flags.Everybody / 2}, {Variant: "off", Percent: flags.Everybody / 2}}},
		}},
		Default: &flags.Serve{Variant: "off"},
	}))
	remote := behind(t, openfeature.NewProvider(native))
	ramp := flags.Bool("ramp", false)
	for i := range 100 {
		who := flags.User(string(rune('a'+i))).Str("plan", "pro")
		if diff := cmp.Diff(ramp.Eval(native, &who), ramp.Eval(remote, &who)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestAHooksErrorIsTheFallback(t *testing.T) {
	t.Parallel()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), vendor()); err != nil {
		t.Fatal(err)
	}
	asker := api.NewClient()
	asker.AddHooks(refusing{})
	evaluator, err := openfeature.NewEvaluator(asker)
	if err != nil {
		t.Fatal(err)
	}
	if d := evaluator.Bool("bool", false, flags.User("u")); d.Value || d.Reason != flags.Failed {
		t.Errorf("%+v", d)
	}
	if _, err := openfeature.NewEvaluator(nil); err == nil {
		t.Error("an evaluator of nothing")
	}
}

type refusing struct{ of.UnimplementedHook }

func (refusing) Before(context.Context, of.HookContext, of.HookHints) (*of.EvaluationContext, error) {
	return nil, errors.New("not today")
}
