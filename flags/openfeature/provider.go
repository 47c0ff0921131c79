// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/rheostat-go/rheostat/flags"
)

// name is what the provider is called in metadata and events.
const name = "rheostat"

// Provider serves a client's flags to OpenFeature. It is safe for many goroutines. It
// belongs to one API instance at a time, as OpenFeature wants it.
type Provider struct {
	client *flags.Client
	life   life
}

// The contracts of OpenFeature that a provider may opt in to.
var (
	_ of.FeatureProvider          = (*Provider)(nil)
	_ of.ContextAwareStateHandler = (*Provider)(nil)
	_ of.EventHandler             = (*Provider)(nil)
)

// NewProvider serves the flags of client, which stays the caller's: the caller runs it, and a
// Shutdown of the provider does not end it. A nil client is never ready.
func NewProvider(client *flags.Client) *Provider {
	return &Provider{client: client, life: life{events: make(chan of.Event)}}
}

// Metadata names the provider.
func (p *Provider) Metadata() of.Metadata { return of.Metadata{Name: name} }

// Hooks are none.
func (p *Provider) Hooks() []of.Hook { return nil }

// BooleanEvaluation evaluates a boolean flag.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, fallback bool, who of.FlattenedContext) of.BoolResolutionDetail {
	return evaluate(p, p.client.BoolDetail, flag, fallback, who)
}

// StringEvaluation evaluates a flag of strings.
func (p *Provider) StringEvaluation(_ context.Context, flag, fallback string, who of.FlattenedContext) of.StringResolutionDetail {
	return evaluate(p, p.client.StringDetail, flag, fallback, who)
}

// FloatEvaluation evaluates a flag of numbers.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, fallback float64, who of.FlattenedContext) of.FloatResolutionDetail {
	return evaluate(p, p.client.FloatDetail, flag, fallback, who)
}

// IntEvaluation evaluates a flag of whole numbers.
func (p *Provider) IntEvaluation(_ context.Context, flag string, fallback int64, who of.FlattenedContext) of.IntResolutionDetail {
	return evaluate(p, p.client.IntDetail, flag, fallback, who)
}

// ObjectEvaluation evaluates a flag of objects or lists. What it returns is the caller's own.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, fallback any, flat of.FlattenedContext) of.InterfaceResolutionDetail {
	who := flags.FromMap(flat)
	d := p.client.Raw(flag, &who)
	out := of.InterfaceResolutionDetail{Value: fallback, ProviderResolutionDetail: resolution(p.client, flag, d)}
	if d.Value == nil {
		return out
	}
	var value any
	if text := bytes.TrimSpace(d.Value); text[0] != '{' && text[0] != '[' {
		out.ProviderResolutionDetail = failure(flag, flags.TypeMismatch)
	} else if err := json.Unmarshal(text, &value); err != nil {
		out.ProviderResolutionDetail = failure(flag, flags.Failed)
	} else {
		out.Value = value
	}
	return out
}

func evaluate[T any](
	p *Provider, by func(string, T, *flags.Context) flags.Detail[T], flag string, fallback T, flat of.FlattenedContext,
) of.GenericResolutionDetail[T] {
	who := flags.FromMap(flat)
	d := by(flag, fallback, &who)
	return of.GenericResolutionDetail[T]{Value: d.Value, ProviderResolutionDetail: resolution(p.client, flag, d)}
}

// resolution is a detail in OpenFeature's words, without its value.
func resolution[T any](client *flags.Client, flag string, d flags.Detail[T]) of.ProviderResolutionDetail {
	if d.Reason.Failure() {
		return failure(flag, d.Reason)
	}
	out := of.ProviderResolutionDetail{Reason: of.Reason(d.Reason.OpenFeature()), Variant: d.Variant}
	if f, ok := client.Flag(flag); ok {
		out.FlagMetadata = metadata(f)
	}
	if d.Version == 0 && d.Rule == "" {
		return out
	}
	if out.FlagMetadata == nil {
		out.FlagMetadata = make(of.FlagMetadata, 2)
	}
	if d.Version != 0 {
		out.FlagMetadata["version"] = d.Version
	}
	if d.Rule != "" {
		out.FlagMetadata["rule"] = d.Rule
	}
	return out
}

func failure(flag string, reason flags.Reason) of.ProviderResolutionDetail {
	text := fmt.Sprintf("flags: %q: %v", flag, reason)
	out := of.ProviderResolutionDetail{Reason: of.ErrorReason}
	switch reason {
	case flags.NotReady:
		out.ResolutionError = of.NewProviderNotReadyResolutionError(text)
	case flags.NotFound:
		out.ResolutionError = of.NewFlagNotFoundResolutionError(text)
	case flags.TypeMismatch:
		out.ResolutionError = of.NewTypeMismatchResolutionError(text)
	default:
		out.ResolutionError = of.NewGeneralResolutionError(text)
	}
	return out
}

// metadata is what a flag says of itself, or nil. It is kept in a field that flags does not
// know and therefore keeps.
func metadata(f *flags.Flag) of.FlagMetadata {
	raw, ok := f.Extra["metadata"]
	if !ok {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil { // of another's making, and not an object
		return nil
	}
	out := make(of.FlagMetadata, len(fields)+2)
	for key, text := range fields {
		var whole int64
		var value flags.Value
		if json.Unmarshal(text, &whole) == nil && string(text) != "null" {
			out[key] = whole
		} else if value.UnmarshalJSON(text) == nil {
			put(out, key, value)
		}
	}
	return out
}

func put(out of.FlagMetadata, key string, value flags.Value) {
	switch value.Kind() { //nolint:exhaustive // JSON has no more scalars
	case flags.StringKind:
		out[key] = value.Text()
	case flags.NumberKind:
		out[key] = value.Number()
	case flags.BoolKind:
		out[key] = value.Truth()
	}
}
