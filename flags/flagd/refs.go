// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// refs are the $evaluators of a set.
type refs struct {
	evaluators map[string]any
}

func newRefs(raw map[string]json.RawMessage) (*refs, error) {
	r := &refs{evaluators: make(map[string]any, len(raw))}
	for name, text := range raw {
		var x any
		if err := json.Unmarshal(text, &x); err != nil {
			return nil, fmt.Errorf("flagd: $evaluators.%s: %w", name, err)
		}
		r.evaluators[name] = x
	}
	return r, nil
}

// fill is a targeting with its $refs replaced by what they name.
func (r *refs) fill(targeting json.RawMessage) (json.RawMessage, error) {
	if r == nil || !bytes.Contains(targeting, []byte("$ref")) {
		return targeting, nil
	}
	var x any
	if err := json.Unmarshal(targeting, &x); err != nil {
		return nil, err
	}
	f := filler{refs: r}
	x, err := f.fill(x, nil, 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(x)
}

// filler fills one targeting. Refs within refs could make it grow without end, so the
// values are counted.
type filler struct {
	refs   *refs
	values int
}

func (f *filler) fill(x any, within []string, depth int) (any, error) {
	f.values++
	if f.values > maxNodes || depth > maxDepth {
		return nil, fmt.Errorf("too deep or too large with its $refs: %d levels and %d values are the most", maxDepth, maxNodes)
	}
	var err error
	switch x := x.(type) {
	case []any:
		out := make([]any, len(x))
		for i := range x {
			if out[i], err = f.fill(x[i], within, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		if name, ok := x["$ref"].(string); ok && len(x) == 1 {
			return f.ref(name, within, depth)
		}
		out := make(map[string]any, len(x))
		for name := range x {
			if out[name], err = f.fill(x[name], within, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return x, nil
	}
}

func (f *filler) ref(name string, within []string, depth int) (any, error) {
	x, ok := f.refs.evaluators[name]
	if !ok {
		return nil, fmt.Errorf("$ref: there is no %q among the $evaluators", name)
	}
	if slices.Contains(within, name) {
		return nil, fmt.Errorf("$ref: %q refers to itself", name)
	}
	return f.fill(x, append(slices.Clip(within), name), depth+1)
}
