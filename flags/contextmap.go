// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"strings"
	"time"
)

// Map is the context as FromMap would read it: the unit's key under targetingKey, names
// with dots as nested objects, a name given several times as a list. Values are
// string, float64, bool or time.Time. Where a name stands both for a value and, with a
// dot, for an object, the longer one stays as it is.
func (c *Context) Map() map[string]any {
	out := make(map[string]any, c.n+len(c.more)+1)
	// Short names first: a value must be there before what would make it an object.
	for dots, deeper := 0, true; deeper; dots++ {
		deeper = false
		for name, value := range c.All() {
			switch n := strings.Count(name, "."); {
			case n == dots:
				nest(out, name, value.any())
			case n > dots:
				deeper = true
			}
		}
	}
	if c.key != "" {
		out[targetingKey] = c.key
	}
	return out
}

func (v Value) any() any {
	switch v.kind {
	case StringKind:
		return v.text
	case BoolKind:
		return v.Truth()
	case TimeKind:
		return v.Instant()
	default:
		return v.num
	}
}

// nest puts a value where the dots of its name lead to.
func nest(out map[string]any, name string, value any) {
	parts := strings.Split(name, ".")
	last := len(parts) - 1
	at := out
	for i, part := range parts[:last] {
		if at[part] == nil {
			at[part] = make(map[string]any)
		}
		inner, ok := at[part].(map[string]any)
		if !ok {
			put(at, strings.Join(parts[i:], "."), value)
			return
		}
		at = inner
	}
	put(at, parts[last], value)
}

// put sets a value, or makes a list with what is there already.
func put(out map[string]any, name string, value any) {
	switch there := out[name].(type) {
	case nil:
		out[name] = value
	case []any:
		out[name] = append(there, value)
	case string, float64, bool, time.Time:
		out[name] = []any{there, value}
	}
}
