// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import "encoding/json"

// mark notes that a flag has been evaluated, and with what outcome.
func (c *Client) mark(f *compiled, who *Context, o outcome) outcome {
	// A store each time would have all cores fight for the line; once a minute is
	// enough for "when was it last asked for".
	if minute := c.minute.Load(); f.seen.Load() != minute {
		f.seen.Store(minute)
	}
	if c.options.Exposed != nil {
		d := f.detail(o)
		c.options.Exposed(Exposure{Flag: f.source.Key, Variant: d.Variant, Unit: who.key, Reason: o.reason, Version: d.Version})
	}
	return o
}

// absent is the outcome of a flag that is not there.
func (c *Client) absent(s *snapshot, key string, who *Context) outcome {
	o := outcome{variant: none, reason: NotFound}
	if s.index == nil {
		o.reason = NotReady
	}
	if c.options.Exposed != nil && c.remote == nil {
		c.options.Exposed(Exposure{Flag: key, Unit: who.key, Reason: o.reason})
	}
	return o
}

// ask leaves a flag to the client's evaluator.
func ask[T any](c *Client, by func(Evaluator, string, T, Context) Detail[T], key string, fallback T, who *Context) Detail[T] {
	if who == nil {
		who = &nobody
	}
	d := by(c.remote, key, fallback, *who)
	if c.options.Exposed != nil {
		c.options.Exposed(Exposure{Flag: key, Variant: d.Variant, Unit: who.key, Reason: d.Reason, Version: d.Version})
	}
	return d
}

// detail is an outcome in words, without its value.
func (f *compiled) detail(o outcome) Detail[json.RawMessage] {
	d := Detail[json.RawMessage]{Reason: o.reason, Version: f.source.Version}
	if o.variant >= 0 {
		d.Variant = f.variants[o.variant].name
	}
	if o.rule > 0 {
		d.Rule = f.rules[o.rule-1].id
	}
	return d
}

// with is a detail of another value.
func with[T, U any](d Detail[U], value T) Detail[T] {
	return Detail[T]{Value: value, Variant: d.Variant, Reason: d.Reason, Rule: d.Rule, Version: d.Version}
}
