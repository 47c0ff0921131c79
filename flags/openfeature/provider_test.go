// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/openfeature"
)

// started is a client that runs until the test ends.
func started(t *testing.T, source flags.Source) *flags.Client {
	t.Helper()
	client, err := flags.New(source, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	group.Go(func() { _ = client.Run(ctx) })
	t.Cleanup(func() { stop(); group.Wait() })
	return client
}

func TestEventsNameWhatChangedAndSayWhenTheSourceIsLostAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := flags.NewMemory(&flags.Flag{Key: "a", Enabled: true}, &flags.Flag{Key: "b", Enabled: true})
		source := &flaky{Source: store}
		client := started(t, source)
		api := isolated.NewAPI()
		provider := openfeature.NewProvider(client)
		if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
			t.Fatal(err)
		}
		events := make(chan of.EventDetails, 10)
		heard := func(d of.EventDetails) { events <- d }
		for _, kind := range []of.EventType{of.ProviderConfigChange, of.ProviderStale} {
			api.AddHandler(kind, &heard)
		}
		synctest.Wait()
		if _, err := flags.Kill(t.Context(), store, "b", flags.Note{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"b"}, (<-events).FlagChanges); diff != "" {
			t.Error(diff)
		}
		source.set(true)
		if d := <-events; d.Message == "" || len(d.FlagChanges) > 0 {
			t.Errorf("%+v", d)
		}
		synctest.Wait()
		if got := api.NewClient().State(); got != of.StaleState {
			t.Errorf("state %s", got)
		}
		if !api.NewClient().Boolean(t.Context(), "a", false, of.EvaluationContext{}) {
			t.Error("a stale provider serves no flags")
		}
		source.set(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := api.NewClient().State(); got != of.ReadyState {
			t.Errorf("state %s", got)
		}
		if err := api.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// flaky is a source that can be made to fail.
type flaky struct {
	flags.Source
	mu     sync.Mutex
	down   bool
	cancel context.CancelFunc
}

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
	if down {
		f.cancel()
	}
}

func (f *flaky) Watch(ctx context.Context, publish func(flags.Update)) error {
	f.mu.Lock()
	if f.down {
		f.mu.Unlock()
		return fmt.Errorf("connection refused")
	}
	ctx, f.cancel = context.WithCancel(ctx)
	defer f.cancel()
	f.mu.Unlock()
	return f.Source.Watch(ctx, publish)
}

// TestNothingIsLeftAfterShutdown leans on the bubble, which fails when a goroutine stays.
func TestNothingIsLeftAfterShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := flags.NewMemory(&flags.Flag{Key: "a", Enabled: true})
		client := started(t, store)
		provider := openfeature.NewProvider(client)
		for range 3 { // the same provider again, by one API after the other
			api := isolated.NewAPI()
			if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
				t.Fatal(err)
			}
			if err := api.SetProviderAndWait(t.Context(), provider, of.WithDomain("billing")); err != nil {
				t.Fatal(err)
			}
			if !api.NewClient(of.WithDomain("billing")).Boolean(t.Context(), "a", false, of.EvaluationContext{}) {
				t.Error("off")
			}
			if err := api.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Nobody listens any more, and changes go on.
			if _, err := flags.Edit(t.Context(), store, "a", flags.Note{}, func(f *flags.Flag) error { f.Owner += "x"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		provider.Shutdown()
	})
}

func TestShutdownEndsAnInitialisationThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider := openfeature.NewProvider(started(t, never{}))
		ended := make(chan error, 1)
		go func() { ended <- provider.Init(of.EvaluationContext{}) }()
		synctest.Wait()
		provider.Shutdown()
		if err := <-ended; err == nil {
			t.Error("it is ready without flags")
		}
	})
}

func TestAnEvaluationSaysVersionAndRuleAndTakesTheCallersFallback(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{
		Key: "limit", Enabled: true, Version: 7,
		Variants: map[string]jsonText{"low": jsonText("1"), "high": jsonText("10")},
		Rules: []flags.Rule{{
			ID: "pros", When: []flags.Clause{{Attribute: "account.plan", Op: flags.In, Values: []flags.Value{flags.Text("pro")}}},
			Serve: flags.Serve{Variant: "high"},
		}},
	})
	client := started(t, store)
	if err := client.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	provider := openfeature.NewProvider(client)
	pro := of.FlattenedContext{"targetingKey": "u", "account": map[string]any{"plan": "pro"}}
	for range 2 { // the second time by the handle that was kept
		got := provider.IntEvaluation(t.Context(), "limit", 3, pro)
		want := of.FlagMetadata{"version": int64(7), "rule": "pros"}
		if diff := cmp.Diff(want, got.FlagMetadata); diff != "" || got.Value != 10 || got.Variant != "high" || got.Reason != of.TargetingMatchReason {
			t.Errorf("%+v %s", got, diff)
		}
	}
	for _, fallback := range []int64{3, 4} {
		got := provider.IntEvaluation(t.Context(), "limit", fallback, nil)
		if got.Value != fallback || got.Reason != of.DefaultReason || got.Error() != nil {
			t.Errorf("%+v", got)
		}
	}
	if got := provider.StringEvaluation(t.Context(), "limit", "x", pro).ResolutionDetail(); got.ErrorCode != of.TypeMismatchCode {
		t.Errorf("%+v", got)
	}
	if err := store.Delete(t.Context(), "limit", 7); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := provider.IntEvaluation(t.Context(), "limit", 5, pro)
		if got.ResolutionDetail().ErrorCode == of.FlagNotFoundCode && got.Value == 5 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", got)
		}
	}
}

func TestManyMayEvaluateWhileFlagsChangeAndProvidersComeAndGo(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory(&flags.Flag{Key: "a", Enabled: true})
	client := started(t, store)
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), openfeature.NewProvider(client)); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			asker := api.NewClient()
			for n := range 300 {
				key := "a"
				if n%3 == 0 {
					key = fmt.Sprint("f", n%50)
				}
				asker.Boolean(t.Context(), key, i%2 == 0, of.NewEvaluationContext("u", nil))
			}
		})
	}
	group.Go(func() {
		for n := range 50 {
			if _, err := store.Put(t.Context(), &flags.Flag{Key: fmt.Sprint("f", n), Enabled: true}); err != nil {
				t.Error(err)
			}
		}
		for n := range 50 {
			if err := store.Delete(t.Context(), fmt.Sprint("f", n), 1); err != nil {
				t.Error(err)
			}
		}
	})
	group.Go(func() {
		for range 5 {
			if err := api.SetProviderAndWait(t.Context(), openfeature.NewProvider(client)); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if err := api.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
