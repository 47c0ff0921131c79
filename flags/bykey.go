// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import "encoding/json"

// Bool is the boolean flag of that key for who. A handle is faster.
func (c *Client) Bool(key string, fallback bool, who *Context) bool {
	v, remote := c.serve(key, who, BoolKind)
	switch {
	case v != nil:
		return v.truth
	case remote:
		return ask(c, Evaluator.Bool, key, fallback, who).Value
	default:
		return fallback
	}
}

// String is the string flag of that key for who.
func (c *Client) String(key, fallback string, who *Context) string {
	v, remote := c.serve(key, who, StringKind)
	switch {
	case v != nil:
		return v.text
	case remote:
		return ask(c, Evaluator.String, key, fallback, who).Value
	default:
		return fallback
	}
}

// Int is the flag of that key for who, whose variants are whole numbers.
func (c *Client) Int(key string, fallback int64, who *Context) int64 {
	v, remote := c.serve(key, who, wholeKind)
	switch {
	case v != nil:
		return v.int
	case remote:
		return ask(c, Evaluator.Int, key, fallback, who).Value
	default:
		return fallback
	}
}

// Float is the flag of that key for who, whose variants are numbers.
func (c *Client) Float(key string, fallback float64, who *Context) float64 {
	v, remote := c.serve(key, who, NumberKind)
	switch {
	case v != nil:
		return v.num
	case remote:
		return ask(c, Evaluator.Float, key, fallback, who).Value
	default:
		return fallback
	}
}

// The methods below must not be inlined where they are called: the compiler does not know
// there that detailOf keeps no context, and would put every caller's on the heap.

// BoolDetail is the boolean flag of that key for who, and how it came about.
//
//go:noinline
func (c *Client) BoolDetail(key string, fallback bool, who *Context) Detail[bool] {
	return detailOf(c, key, fallback, who, BoolKind, asBool, Evaluator.Bool)
}

// StringDetail is the string flag of that key for who, and how it came about.
//
//go:noinline
func (c *Client) StringDetail(key, fallback string, who *Context) Detail[string] {
	return detailOf(c, key, fallback, who, StringKind, asString, Evaluator.String)
}

// IntDetail is the flag of whole numbers of that key for who, and how it came about.
//
//go:noinline
func (c *Client) IntDetail(key string, fallback int64, who *Context) Detail[int64] {
	return detailOf(c, key, fallback, who, wholeKind, asInt, Evaluator.Int)
}

// FloatDetail is the flag of numbers of that key for who, and how it came about.
//
//go:noinline
func (c *Client) FloatDetail(key string, fallback float64, who *Context) Detail[float64] {
	return detailOf(c, key, fallback, who, NumberKind, asFloat, Evaluator.Float)
}

// Raw is the flag of that key for who, of whatever type, as JSON, with all that there is to
// say. Its value is nil where it would be the caller's default.
//
//go:noinline
func (c *Client) Raw(key string, who *Context) Detail[json.RawMessage] {
	return detailOf(c, key, nil, who, None, asRaw, askJSON)
}

func asRaw(v *variant) (json.RawMessage, bool) { return v.raw, true }

func askJSON(e Evaluator, key string, _ json.RawMessage, who Context) Detail[json.RawMessage] {
	return e.JSON(key, who)
}

func detailOf[T any](
	c *Client, key string, fallback T, who *Context, kind Kind,
	as func(*variant) (T, bool), by func(Evaluator, string, T, Context) Detail[T],
) Detail[T] {
	f, o, remote := c.lookup(key, who, kind)
	switch {
	case f != nil:
		value := fallback
		if o.variant >= 0 {
			value, _ = as(&f.variants[o.variant]) // lookup has seen to the type
		}
		return with(f.detail(o), value)
	case remote:
		return ask(c, by, key, fallback, who)
	default:
		return Detail[T]{Value: fallback, Reason: o.reason}
	}
}

// serve is the variant for who, nil for the caller's default. Remote says that
// the client's evaluator is to be asked.
func (c *Client) serve(key string, who *Context, kind Kind) (v *variant, remote bool) {
	f, o, remote := c.lookup(key, who, kind)
	if o.variant < 0 {
		return nil, remote
	}
	return &f.variants[o.variant], false
}

// lookup evaluates the flag of that key, which must be of that kind, None being any.
func (c *Client) lookup(key string, who *Context, kind Kind) (f *compiled, o outcome, remote bool) {
	if c == nil {
		return nil, outcome{variant: none, reason: NotReady}, false
	}
	if who == nil {
		who = &nobody
	}
	s := c.now.Load()
	f = s.find(key)
	if f == nil {
		return nil, c.absent(s, key, who), c.remote != nil
	}
	if kind != f.kind && !f.fits(kind) {
		return f, c.mark(f, who, outcome{variant: none, reason: TypeMismatch}), false
	}
	return f, c.mark(f, who, f.decide(s, who)), false
}

// wholeKind asks for numbers that are all whole.
const wholeKind Kind = 255

// fits reports whether the flag's variants can be had as that kind, beside its own.
func (f *compiled) fits(kind Kind) bool {
	return kind == None || kind == wholeKind && f.whole
}
