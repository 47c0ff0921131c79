// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/openfeature"
)

// TestTheSpecificationsScenariosHold runs OpenFeature's own scenarios against the provider.
// Left out are those of what this provider never is, or does: fatal, and from a cache.
func TestTheSpecificationsScenariosHold(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, file := range []string{"evaluation_v2", "hooks", "metadata"} {
		text, err := os.ReadFile("testdata/" + file + ".feature")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range gherkin(string(text)) {
			fatal := slices.ContainsFunc(s.steps, func(s step) bool { return s.text == "a fatal provider" })
			if fatal || slices.Contains(s.tags, "@reason-codes-cached") {
				continue
			}
			ran++
			t.Run(file+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := &world{ctx: t.Context(), attributes: map[string]any{}}
					defer func() {
						if err := w.end(); err != nil {
							t.Error(err)
						}
					}()
					for _, step := range s.steps {
						w.do(t, step)
					}
				})
			})
		}
	}
	if ran < 80 {
		t.Errorf("only %d scenarios ran", ran)
	}
}

// world is what a scenario has said so far.
type world struct {
	ctx                 context.Context
	stop                context.CancelFunc
	api                 *of.EvaluationAPI
	client              *of.Client
	kind, key, fallback string
	attributes          map[string]any
	who                 of.EvaluationContext
	hook                *hook
	details             of.InterfaceEvaluationDetails
	value               any
}

// lost is a source that cannot be had any more once it has been.
type lost struct {
	flags.Source
	gone chan struct{}
}

func (l *lost) Watch(ctx context.Context, publish func(flags.Update)) error {
	select {
	case <-l.gone:
		return errors.New("connection refused")
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	return l.Source.Watch(ctx, publish)
}

// never is a source that has not been had yet.
type never struct{}

func (never) Watch(ctx context.Context, _ func(flags.Update)) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w *world) provider(t *testing.T, status string) {
	t.Helper()
	if w.api != nil {
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
	}
	store := &flags.Memory{}
	store.Replace(flags.Document{Flags: specified(t)})
	source := &lost{Source: store, gone: make(chan struct{})}
	if status == "not ready" || status == "error" {
		source.Source = never{}
	}
	client, err := flags.New(source, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	w.stop = stop
	go func() { _ = client.Run(ctx) }()
	w.api = isolated.NewAPI()
	w.client = w.api.NewClient()
	provider := openfeature.NewProvider(client)
	switch status {
	case "not ready":
		err = w.api.SetProvider(ctx, provider)
	case "error":
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if w.api.SetProviderAndWait(soon, provider) == nil {
			t.Error("a provider whose source cannot be had was initialised")
		}
		synctest.Wait()
	default:
		err = w.api.SetProviderAndWait(ctx, provider)
	}
	if err != nil {
		t.Fatal(err)
	}
	if status == "stale" {
		close(source.gone)
		time.Sleep(3 * time.Second) // of the bubble
		synctest.Wait()
	}
}

func (w *world) end() error {
	w.stop()
	return w.api.Shutdown(context.Background())
}

func (w *world) do(t *testing.T, s step) {
	t.Helper()
	said := quoted(s.text)
	switch {
	case strings.HasSuffix(s.text, " provider"):
		w.provider(t, strings.TrimSuffix(strings.TrimPrefix(s.text, "a "), " provider"))
	case strings.Contains(s.text, "-flag with key"):
		kind, _, _ := strings.Cut(strings.TrimPrefix(s.text, "a "), "-flag")
		w.kind, w.key, w.fallback = strings.ToLower(kind), said[0], said[1]
	case strings.HasSuffix(s.text, "with null value"):
		w.attributes[said[0]] = nil
	case strings.HasPrefix(s.text, "a context containing a key"):
		w.attributes[said[0]] = typed(t, strings.ToLower(said[1]), said[2])
	case s.text == "an evaluation context with modifiable data":
		w.attributes["list"] = []any{"a", "b"}
	case s.text == "a client with added hook", s.text == "evaluation options containing specific hooks":
		w.hook = &hook{called: map[string]of.InterfaceEvaluationDetails{}}
		w.client.AddHooks(w.hook)
	case strings.HasPrefix(s.text, "the flag was evaluated with details"):
		w.evaluate(t)
	default:
		w.check(t, s, said)
	}
}

func (w *world) check(t *testing.T, s step, said []string) {
	t.Helper()
	want := func(got, want any) {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", s.text, diff)
		}
	}
	switch {
	case strings.HasPrefix(s.text, "the resolved details value should be"):
		want(w.value, typed(t, w.kind, said[0]))
	case strings.HasPrefix(s.text, "the reason should be"):
		want(string(w.details.Reason), said[0])
	case strings.HasPrefix(s.text, "the error-code should be"):
		want(string(w.details.ErrorCode), said[0])
	case strings.HasPrefix(s.text, "the variant should be"):
		want(w.details.Variant, said[0])
	case strings.HasPrefix(s.text, "the flag key should be"):
		want(w.details.FlagKey, said[0])
	case strings.HasPrefix(s.text, "the provider status should be"):
		want(string(w.client.State()), said[0])
	case s.text == "the resolved metadata is empty":
		want(len(w.details.FlagMetadata), 0)
	case s.text == "the resolved metadata should contain":
		for _, row := range s.table {
			want(w.details.FlagMetadata[row["key"]], typed(t, strings.ToLower(row["metadata_type"]), row["value"]))
		}
	case strings.HasSuffix(s.text, "should have been executed"), s.text == "the specified hooks should execute during evaluation":
		stage := "after"
		if len(said) > 0 {
			stage = said[0]
		}
		if _, ok := w.hook.called[stage]; !ok {
			t.Errorf("no hook %s", stage)
		}
	case strings.HasSuffix(s.text, "should be called with evaluation details"):
		for stage := range strings.SplitSeq(said[0], ", ") {
			for _, row := range s.table {
				want(w.hook.said(t, stage, row["key"]), row["value"])
			}
		}
	case s.text == "the hook order should be maintained":
		want(w.hook.order, []string{"before", "after", "finally"})
	case s.text == "the original evaluation context should remain unmodified":
		want(w.who.Attributes(), w.attributes)
	case s.text == "the evaluation details should be immutable":
		before := w.value
		w.details.FlagMetadata["stray"] = true
		w.evaluate(t)
		want(w.value, before)
		want(len(w.details.FlagMetadata), 0)
	case s.text == "the evaluation should complete without blocking":
	default:
		t.Fatalf("a step that is not known: %s", s.text)
	}
}

func (w *world) evaluate(t *testing.T) {
	t.Helper()
	w.who = of.NewTargetlessEvaluationContext(w.attributes)
	fallback := typed(t, w.kind, w.fallback)
	switch f := fallback.(type) {
	case bool:
		d, _ := w.client.BooleanValueDetails(w.ctx, w.key, f, w.who)
		w.value, w.details.EvaluationDetails = d.Value, d.EvaluationDetails
	case string:
		d, _ := w.client.StringValueDetails(w.ctx, w.key, f, w.who)
		w.value, w.details.EvaluationDetails = d.Value, d.EvaluationDetails
	case int64:
		d, _ := w.client.IntValueDetails(w.ctx, w.key, f, w.who)
		w.value, w.details.EvaluationDetails = d.Value, d.EvaluationDetails
	case float64:
		d, _ := w.client.FloatValueDetails(w.ctx, w.key, f, w.who)
		w.value, w.details.EvaluationDetails = d.Value, d.EvaluationDetails
	default:
		d, _ := w.client.ObjectValueDetails(w.ctx, w.key, f, w.who)
		w.value, w.details.EvaluationDetails = d.Value, d.EvaluationDetails
	}
}

// typed is a value of the kind that a scenario names.
func typed(t *testing.T, kind, text string) any {
	t.Helper()
	var value any = text
	var err error
	switch kind {
	case "boolean":
		value, err = strconv.ParseBool(text)
	case "integer":
		value, err = strconv.ParseInt(text, 10, 64)
	case "float":
		value, err = strconv.ParseFloat(text, 64)
	case "object":
		err = json.Unmarshal([]byte(text), &value)
	}
	if err != nil {
		t.Fatalf("%s %q: %v", kind, text, err)
	}
	return value
}

// hook remembers what it was called with.
type hook struct {
	of.UnimplementedHook
	order  []string
	called map[string]of.InterfaceEvaluationDetails
}

func (h *hook) note(stage string, d of.InterfaceEvaluationDetails) {
	h.order = append(h.order, stage)
	h.called[stage] = d
}

func (h *hook) Before(context.Context, of.HookContext, of.HookHints) (*of.EvaluationContext, error) {
	h.note("before", of.InterfaceEvaluationDetails{})
	return nil, nil
}

func (h *hook) After(_ context.Context, _ of.HookContext, d of.InterfaceEvaluationDetails, _ of.HookHints) error {
	h.note("after", d)
	return nil
}

func (h *hook) Error(context.Context, of.HookContext, error, of.HookHints) {
	h.note("error", of.InterfaceEvaluationDetails{})
}

func (h *hook) Finally(_ context.Context, _ of.HookContext, d of.InterfaceEvaluationDetails, _ of.HookHints) {
	h.note("finally", d)
}

// said is a field of what a stage was called with, as tables write it.
func (h *hook) said(t *testing.T, stage, field string) string {
	t.Helper()
	d, ok := h.called[stage]
	if !ok {
		t.Errorf("no hook %s", stage)
	}
	value := map[string]any{
		"flag_key": d.FlagKey, "value": d.Value, "variant": d.Variant, "reason": string(d.Reason), "error_code": string(d.ErrorCode),
	}[field]
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v)
	case string:
		if v == "" {
			return "null"
		}
		return v
	default:
		t.Fatalf("%s is %v", field, reflect.TypeOf(value))
		return ""
	}
}

// specified are the specification's flags as ours.
func specified(t *testing.T) map[string]*flags.Flag {
	t.Helper()
	text, err := os.ReadFile("testdata/test-flags.json")
	if err != nil {
		t.Fatal(err)
	}
	var given map[string]struct {
		Disabled         bool
		Variants         map[string]json.RawMessage
		DefaultVariant   string
		FlagMetadata     json.RawMessage
		ContextEvaluator string
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	ballmer := flags.Clause{Attribute: "email", Op: flags.In, Values: []flags.Value{flags.Text("ballmer@macrosoft.com")}}
	rules := map[string][]flags.Rule{
		"": nil,
		"email == 'ballmer@macrosoft.com' ? 'zero' : ''": {{When: []flags.Clause{ballmer}, Serve: flags.Serve{Variant: "zero"}}},
		"!customer && email == 'ballmer@macrosoft.com' && age > 10 ? 'internal' : ''": {{
			When: []flags.Clause{
				{Attribute: "customer", Op: flags.In, Values: []flags.Value{flags.Truth(false)}},
				ballmer,
				{Attribute: "age", Op: flags.Greater, Values: []flags.Value{flags.Number(10)}},
			},
			Serve: flags.Serve{Variant: "internal"},
		}},
	}
	out := make(map[string]*flags.Flag)
	for key, g := range given {
		f := &flags.Flag{Key: key, Enabled: !g.Disabled, Variants: g.Variants}
		if g.DefaultVariant != "" {
			f.Default = &flags.Serve{Variant: g.DefaultVariant}
		}
		when, ok := rules[g.ContextEvaluator]
		if !ok {
			t.Fatalf("%s: a rule that is not known: %s", key, g.ContextEvaluator)
		}
		f.Rules = when
		if _, ok := g.Variants["non-zero"]; ok && when != nil {
			// A flag that serves everybody one variant is STATIC to us, whatever its rules: a rule
			// for somebody who is in no scenario makes it one that does not.
			elsewhere := flags.Clause{Attribute: "email", Op: flags.In, Values: []flags.Value{flags.Text("nobody@example.com")}}
			f.Rules = append([]flags.Rule{{When: []flags.Clause{elsewhere}, Serve: flags.Serve{Variant: "non-zero"}}}, when...)
		}
		if g.FlagMetadata != nil {
			f.Extra = map[string]json.RawMessage{"metadata": g.FlagMetadata}
		}
		out[key] = f
	}
	return out
}
