// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"

	"github.com/rheostat-go/rheostat/flags"
)

// Options of an Evaluator. The zero value is useful.
type Options struct {
	// Kind of the contexts; "" is "user".
	Kind string
	// Flat leaves names with dots as they are, instead of making nested objects.
	Flat bool
	// Nobody is the key of contexts that have none; they are anonymous then, and all of
	// them are in the same place of every split. "" leaves them with the fallback.
	Nobody string
}

// Evaluator leaves flags to LaunchDarkly's SDK. It is safe for many goroutines.
type Evaluator struct {
	client  *ld.LDClient
	options Options
}

var _ flags.Evaluator = (*Evaluator)(nil)

// New leaves flags to client, which stays the caller's. It may not be ready yet.
func New(client *ld.LDClient, options Options) (*Evaluator, error) {
	if client == nil {
		return nil, errors.New("launchdarkly: New: no client; make one with the SDK's MakeClient")
	}
	if err := ldcontext.NewWithKind(ldcontext.Kind(options.Kind), "key").Err(); err != nil {
		return nil, fmt.Errorf("launchdarkly: New: Options.Kind: %q: %w", options.Kind, err)
	}
	return &Evaluator{client: client, options: options}, nil
}

// Bool is a boolean flag.
func (e *Evaluator) Bool(key string, fallback bool, who flags.Context) flags.Detail[bool] {
	c, ok := e.context(&who)
	if !ok {
		return flags.Detail[bool]{Value: fallback, Reason: flags.Anonymous}
	}
	value, d, _ := e.client.BoolVariationDetail(key, c, fallback) // the reason says what the error does
	return detail(value, fallback, &d)
}

// String is a flag of strings.
func (e *Evaluator) String(key, fallback string, who flags.Context) flags.Detail[string] {
	c, ok := e.context(&who)
	if !ok {
		return flags.Detail[string]{Value: fallback, Reason: flags.Anonymous}
	}
	value, d, _ := e.client.StringVariationDetail(key, c, fallback)
	return detail(value, fallback, &d)
}

// Int is a flag of numbers. One that is not whole is a TypeMismatch, where the SDK would cut
// it off.
func (e *Evaluator) Int(key string, fallback int64, who flags.Context) flags.Detail[int64] {
	c, ok := e.context(&who)
	if !ok {
		return flags.Detail[int64]{Value: fallback, Reason: flags.Anonymous}
	}
	value, d, _ := e.client.Float64VariationDetail(key, c, float64(fallback))
	const exact = 1 << 53
	if !d.IsDefaultValue() && (value != math.Trunc(value) || math.Abs(value) > exact) {
		return flags.Detail[int64]{Value: fallback, Reason: flags.TypeMismatch}
	}
	return detail(int64(value), fallback, &d)
}

// Float is a flag of numbers.
func (e *Evaluator) Float(key string, fallback float64, who flags.Context) flags.Detail[float64] {
	c, ok := e.context(&who)
	if !ok {
		return flags.Detail[float64]{Value: fallback, Reason: flags.Anonymous}
	}
	value, d, _ := e.client.Float64VariationDetail(key, c, fallback)
	return detail(value, fallback, &d)
}

// JSON is a flag of any type.
func (e *Evaluator) JSON(key string, who flags.Context) flags.Detail[json.RawMessage] {
	c, ok := e.context(&who)
	if !ok {
		return flags.Detail[json.RawMessage]{Reason: flags.Anonymous}
	}
	value, d, _ := e.client.JSONVariationDetail(key, c, ldvalue.Null())
	if d.IsDefaultValue() {
		return detail[json.RawMessage](nil, nil, &d)
	}
	return detail(value.AsRaw(), nil, &d)
}

// detail is the SDK's detail in our words.
func detail[T any](value, fallback T, d *ldreason.EvaluationDetail) flags.Detail[T] {
	out := flags.Detail[T]{Value: value, Reason: reasonOf(d.Reason)}
	if d.IsDefaultValue() {
		out.Value = fallback
		return out
	}
	out.Variant = strconv.Itoa(d.VariationIndex.IntValue())
	if d.Reason.GetKind() == ldreason.EvalReasonRuleMatch {
		out.Rule = d.Reason.GetRuleID()
		if out.Rule == "" {
			out.Rule = strconv.Itoa(d.Reason.GetRuleIndex() + 1)
		}
	}
	return out
}

func reasonOf(r ldreason.EvaluationReason) flags.Reason {
	if r.IsInExperiment() {
		return flags.Split
	}
	switch r.GetKind() {
	case ldreason.EvalReasonOff:
		return flags.Disabled
	case ldreason.EvalReasonFallthrough:
		return flags.Fallthrough
	case ldreason.EvalReasonTargetMatch:
		return flags.Targeted
	case ldreason.EvalReasonRuleMatch:
		return flags.Matched
	case ldreason.EvalReasonPrerequisiteFailed:
		return flags.Prerequired
	case ldreason.EvalReasonError:
		return failureOf(r.GetErrorKind())
	default:
		return flags.Unknown
	}
}

func failureOf(kind ldreason.EvalErrorKind) flags.Reason {
	switch kind {
	case ldreason.EvalErrorClientNotReady:
		return flags.NotReady
	case ldreason.EvalErrorFlagNotFound:
		return flags.NotFound
	case ldreason.EvalErrorWrongType:
		return flags.TypeMismatch
	default:
		return flags.Failed
	}
}
