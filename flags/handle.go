// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"sync/atomic"
)

// Handle is a flag as a program uses it: its key, its type and the value where nothing better
// is known. Make it once, as a package variable, with [Bool], [String], [Int],
// [Float] or [JSON]; it finds the flag once for each state of the flags and then
// evaluates without a lookup. It is safe for many goroutines and any number of
// clients, and fastest with one.
type Handle[T any] struct {
	key      string
	fallback T
	decode   func(*variant) (T, bool)
	remote   func(Evaluator, string, T, Context) Detail[T]
	last     atomic.Pointer[resolved[T]]
}

// resolved is a flag as one snapshot has it, with its variants' values.
type resolved[T any] struct {
	snapshot uint64
	flag     *compiled
	values   []T  // by variant
	mismatch bool // the flag is of another type
}

// BoolHandle is a boolean flag.
type BoolHandle struct{ Handle[bool] }

// Bool is a handle of a boolean flag.
func Bool(key string, fallback bool) *BoolHandle {
	return &BoolHandle{Handle[bool]{key: key, fallback: fallback, decode: asBool, remote: Evaluator.Bool}}
}

// String is a handle of a flag whose variants are strings.
func String(key, fallback string) *Handle[string] {
	return &Handle[string]{key: key, fallback: fallback, decode: asString, remote: Evaluator.String}
}

// Int is a handle of a flag whose variants are whole numbers.
func Int(key string, fallback int64) *Handle[int64] {
	return &Handle[int64]{key: key, fallback: fallback, decode: asInt, remote: Evaluator.Int}
}

// Float is a handle of a flag whose variants are numbers.
func Float(key string, fallback float64) *Handle[float64] {
	return &Handle[float64]{key: key, fallback: fallback, decode: asFloat, remote: Evaluator.Float}
}

// JSON is a handle of a flag whose variants are objects, or anything else that
// decodes into T. They are decoded once for each state of the flags, not for each call: what
// Get returns is shared, and must not be changed.
func JSON[T any](key string, fallback T) *Handle[T] {
	return &Handle[T]{key: key, fallback: fallback, decode: asJSON[T], remote: remoteJSON[T]}
}

func asBool(v *variant) (bool, bool) { return v.truth, v.kind == BoolKind }

func asString(v *variant) (string, bool) { return v.text, v.kind == StringKind }

func asInt(v *variant) (int64, bool) { return v.int, v.whole }

func asFloat(v *variant) (float64, bool) { return v.num, v.kind == NumberKind }

func asJSON[T any](v *variant) (T, bool) {
	var t T
	err := json.Unmarshal(v.raw, &t)
	return t, err == nil
}

func remoteJSON[T any](e Evaluator, key string, fallback T, who Context) Detail[T] {
	d := e.JSON(key, who)
	if d.Value == nil {
		return with(d, fallback)
	}
	var t T
	if err := json.Unmarshal(d.Value, &t); err != nil {
		d.Reason, d.Variant = TypeMismatch, ""
		return with(d, fallback)
	}
	return with(d, t)
}

// Key is the flag's key.
func (h *Handle[T]) Key() string { return h.key }

// Fallback is the value where nothing better is known.
func (h *Handle[T]) Fallback() T { return h.fallback }

// On reports whether the flag is on for who. A nil who is nobody.
func (h *BoolHandle) On(c *Client, who *Context) bool { return h.Get(c, who) }

// Get is the flag's value for who. A nil who is nobody.
func (h *Handle[T]) Get(c *Client, who *Context) T {
	r, o := h.decide(c, who)
	switch {
	case o.variant >= 0:
		return r.values[o.variant]
	case c != nil && c.remote != nil:
		return ask(c, h.remote, h.key, h.fallback, who).Value
	default:
		return h.fallback
	}
}

// Eval is the flag's value for who, and how it came about. A nil who is nobody.
func (h *Handle[T]) Eval(c *Client, who *Context) Detail[T] {
	r, o := h.decide(c, who)
	switch {
	case r != nil && r.flag != nil:
		return with(r.flag.detail(o), h.value(r, o))
	case c != nil && c.remote != nil:
		return ask(c, h.remote, h.key, h.fallback, who)
	default:
		return Detail[T]{Value: h.fallback, Reason: o.reason}
	}
}

func (h *Handle[T]) value(r *resolved[T], o outcome) T {
	if o.variant >= 0 {
		return r.values[o.variant]
	}
	return h.fallback
}

var nobody Context

func (h *Handle[T]) decide(c *Client, who *Context) (*resolved[T], outcome) {
	if c == nil {
		return nil, outcome{variant: none, reason: NotReady}
	}
	if who == nil {
		who = &nobody
	}
	s := c.now.Load()
	r := h.last.Load()
	if r == nil || r.snapshot != s.id {
		r = h.resolve(s)
	}
	if r.flag == nil {
		return r, c.absent(s, h.key, who)
	}
	if r.mismatch {
		return r, c.mark(r.flag, who, outcome{variant: none, reason: TypeMismatch})
	}
	return r, c.mark(r.flag, who, r.flag.decide(s, who))
}

// resolve finds the flag in a snapshot and decodes its variants.
func (h *Handle[T]) resolve(s *snapshot) *resolved[T] {
	r := &resolved[T]{snapshot: s.id, flag: s.find(h.key)}
	if r.flag != nil {
		r.values = make([]T, len(r.flag.variants))
		for i := range r.flag.variants {
			value, ok := h.decode(&r.flag.variants[i])
			if !ok {
				r.mismatch = true
			}
			r.values[i] = value
		}
	}
	h.last.Store(r)
	return r
}
