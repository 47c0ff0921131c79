// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature

import (
	"context"
	"encoding/json"
	"errors"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/rheostat-go/rheostat/flags"
)

// Client is what an Evaluator needs of OpenFeature: *openfeature.Client has it.
type Client interface {
	// BooleanValueDetails is a boolean flag with all that there is to say.
	BooleanValueDetails(ctx context.Context, flag string, fallback bool, who of.EvaluationContext, options ...of.Option) (of.BooleanEvaluationDetails, error)
	// StringValueDetails is a flag of strings with all that there is to say.
	StringValueDetails(ctx context.Context, flag string, fallback string, who of.EvaluationContext, options ...of.Option) (of.StringEvaluationDetails, error)
	// IntValueDetails is a flag of whole numbers with all that there is to say.
	IntValueDetails(ctx context.Context, flag string, fallback int64, who of.EvaluationContext, options ...of.Option) (of.IntEvaluationDetails, error)
	// FloatValueDetails is a flag of numbers with all that there is to say.
	FloatValueDetails(ctx context.Context, flag string, fallback float64, who of.EvaluationContext, options ...of.Option) (of.FloatEvaluationDetails, error)
	// ObjectValueDetails is a flag of any structure with all that there is to say.
	ObjectValueDetails(ctx context.Context, flag string, fallback any, who of.EvaluationContext, options ...of.Option) (of.InterfaceEvaluationDetails, error)
}

// Evaluator leaves flags to an OpenFeature provider. It goes through OpenFeature's client, so
// that hooks, the client's context and the provider's state count. It is safe for
// many goroutines.
type Evaluator struct {
	client Client
}

var _ flags.Evaluator = (*Evaluator)(nil)

// NewEvaluator leaves flags to the provider that client is bound to. The API instance of
// the client, with its providers, is the caller's to set up and to shut down.
func NewEvaluator(client Client) (*Evaluator, error) {
	if client == nil {
		return nil, errors.New("openfeature: NewEvaluator: no client; use NewClient of an API instance")
	}
	return &Evaluator{client: client}, nil
}

// Bool is a boolean flag.
func (e *Evaluator) Bool(key string, fallback bool, who flags.Context) flags.Detail[bool] {
	d, err := e.client.BooleanValueDetails(context.Background(), key, fallback, contextOf(&who))
	return detail(d, fallback, err)
}

// String is a flag of strings.
func (e *Evaluator) String(key, fallback string, who flags.Context) flags.Detail[string] {
	d, err := e.client.StringValueDetails(context.Background(), key, fallback, contextOf(&who))
	return detail(d, fallback, err)
}

// Int is a flag of whole numbers.
func (e *Evaluator) Int(key string, fallback int64, who flags.Context) flags.Detail[int64] {
	d, err := e.client.IntValueDetails(context.Background(), key, fallback, contextOf(&who))
	return detail(d, fallback, err)
}

// Float is a flag of numbers.
func (e *Evaluator) Float(key string, fallback float64, who flags.Context) flags.Detail[float64] {
	d, err := e.client.FloatValueDetails(context.Background(), key, fallback, contextOf(&who))
	return detail(d, fallback, err)
}

// JSON is a flag of any type. OpenFeature asks for one type at a time: an object is asked for
// first, and where that is a type mismatch a boolean, a string and a number, each an
// evaluation that hooks see.
func (e *Evaluator) JSON(key string, who flags.Context) flags.Detail[json.RawMessage] {
	ctx, ec := context.Background(), contextOf(&who)
	object, err := e.client.ObjectValueDetails(ctx, key, nil, ec)
	d := raw(detail(object, nil, err))
	if d.Reason != flags.TypeMismatch {
		return d
	}
	truth, err := e.client.BooleanValueDetails(ctx, key, false, ec)
	if b := detail(truth, false, err); b.Reason != flags.TypeMismatch {
		return raw(b)
	}
	text, err := e.client.StringValueDetails(ctx, key, "", ec)
	if s := detail(text, "", err); s.Reason != flags.TypeMismatch {
		return raw(s)
	}
	number, err := e.client.FloatValueDetails(ctx, key, 0, ec)
	return raw(detail(number, 0, err))
}

// raw writes a detail's value as JSON; nil is the caller's default.
func raw[T any](d flags.Detail[T]) flags.Detail[json.RawMessage] {
	out := flags.Detail[json.RawMessage]{Variant: d.Variant, Reason: d.Reason, Rule: d.Rule, Version: d.Version}
	if d.Reason.Failure() || d.Reason == flags.Anonymous || any(d.Value) == nil {
		return out
	}
	// A provider that returns its caller's default says so by naming no variant.
	if d.Variant == "" && (d.Reason == flags.Disabled || d.Reason == flags.Fallthrough) {
		return out
	}
	text, err := json.Marshal(d.Value)
	if err != nil {
		out.Reason, out.Variant = flags.TypeMismatch, ""
		return out
	}
	out.Value = text
	return out
}

// contextOf is a context in OpenFeature's form.
func contextOf(who *flags.Context) of.EvaluationContext {
	attributes := who.Map()
	delete(attributes, of.TargetingKey)
	return of.NewEvaluationContext(who.Key(), attributes)
}

// detail is OpenFeature's detail in our words.
func detail[T any](d of.GenericEvaluationDetails[T], fallback T, err error) flags.Detail[T] {
	if err != nil || d.ErrorCode != "" {
		return flags.Detail[T]{Value: fallback, Reason: reasonOf(d.ErrorCode)}
	}
	out := flags.Detail[T]{Value: d.Value, Variant: d.Variant, Reason: reasons[d.Reason]}
	if rule, err := d.FlagMetadata.GetString("rule"); err == nil {
		out.Rule = rule
	}
	if version, err := d.FlagMetadata.GetInt("version"); err == nil {
		out.Version = version
	}
	return out
}

// reasons are OpenFeature's in our words. CACHED says where a value was, and not why: it
// is Unknown, as is whatever else providers make up.
var reasons = map[of.Reason]flags.Reason{
	of.DisabledReason:       flags.Disabled,
	of.StaticReason:         flags.Static,
	of.DefaultReason:        flags.Fallthrough,
	of.TargetingMatchReason: flags.Matched,
	of.SplitReason:          flags.Split,
	of.ErrorReason:          flags.Failed,
}

// reasonOf is an error in our words. No code at all is a hook's error.
func reasonOf(code of.ErrorCode) flags.Reason {
	switch code {
	case of.ProviderNotReadyCode, of.ProviderFatalCode:
		return flags.NotReady
	case of.FlagNotFoundCode:
		return flags.NotFound
	case of.TypeMismatchCode:
		return flags.TypeMismatch
	case of.TargetingKeyMissingCode:
		return flags.Anonymous
	case of.ParseErrorCode, of.InvalidContextCode, of.GeneralCode:
		return flags.Failed
	default:
		return flags.Failed
	}
}
