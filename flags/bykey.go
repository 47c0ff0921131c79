// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import "encoding/json"

// Bool is the boolean flag of that key for who. A handle is faster.
func (c *Client) Bool(key string, fallback bool, who *Context) bool {
	return byKey(c, key, fallback, who, asBool, Evaluator.Bool).Value
}

// String is the string flag of that key for who.
func (c *Client) String(key, fallback string, who *Context) string {
	return byKey(c, key, fallback, who, asString, Evaluator.String).Value
}

// Int is the flag of that key for who, whose variants are whole numbers.
func (c *Client) Int(key string, fallback int64, who *Context) int64 {
	return byKey(c, key, fallback, who, asInt, Evaluator.Int).Value
}

// Float is the flag of that key for who, whose variants are numbers.
func (c *Client) Float(key string, fallback float64, who *Context) float64 {
	return byKey(c, key, fallback, who, asFloat, Evaluator.Float).Value
}

// Raw is the flag of that key for who, of whatever type, as JSON, with all that there is to
// say. Its value is nil where it would be the caller's default.
func (c *Client) Raw(key string, who *Context) Detail[json.RawMessage] {
	return byKey(c, key, nil, who, asRaw, func(e Evaluator, key string, _ json.RawMessage, who Context) Detail[json.RawMessage] {
		return e.JSON(key, who)
	})
}

func asRaw(v *variant) (json.RawMessage, bool) { return v.raw, true }

func byKey[T any](
	c *Client, key string, fallback T, who *Context,
	as func(*variant) (T, bool), remote func(Evaluator, string, T, Context) Detail[T],
) Detail[T] {
	if c == nil {
		return Detail[T]{Value: fallback, Reason: NotReady}
	}
	if who == nil {
		who = &nobody
	}
	if c.remote != nil {
		return ask(c, remote, key, fallback, who)
	}
	s := c.now.Load()
	f := s.find(key)
	if f == nil {
		return Detail[T]{Value: fallback, Reason: c.absent(s, key, who).reason}
	}
	o := f.decide(s, who)
	value := fallback
	if o.variant >= 0 {
		var ok bool
		if value, ok = as(&f.variants[o.variant]); !ok {
			value, o = fallback, outcome{variant: none, reason: TypeMismatch}
		}
	}
	d := f.detail(c.mark(f, who, o))
	return Detail[T]{Value: value, Variant: d.Variant, Reason: d.Reason, Rule: d.Rule, Version: d.Version}
}
