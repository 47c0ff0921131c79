// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// seed keeps the draw of variants apart from that of rollouts, which would otherwise
// have only the first variants within a small rollout.
const seed = 86028157

// variants are what a feature, or one of its strategies, shares out.
type variants struct {
	list   []variant
	total  uint32
	sticky string
	group  murmur3.Hash // after "group:"
}

type variant struct {
	name string
	// key is the name, and more where two variants of a feature have one name and
	// different values.
	key       string
	weight    uint32
	kind      string // of the payload, "" if there is none
	value     string
	overrides []override
}

type override struct {
	field  string
	values []string
}

// variants compiles variants, nil if there are none.
func (b *builder) variants(in *jsonFeature, list []jsonVariant, path, group, sticky string) *variants {
	if len(list) == 0 {
		return nil
	}
	out := &variants{sticky: sticky, group: murmur3.New(seed).Add(group).Add(":")}
	if list[0].Stickiness != "" {
		out.sticky = list[0].Stickiness
	}
	for i := range list {
		raw := &list[i]
		v := variant{name: raw.Name, key: raw.Name}
		if raw.Name == "" {
			b.fail(in.Name+Suffix, fmt.Sprintf("%s[%d].name", path, i), fmt.Errorf("missing"))
			continue
		}
		if !(raw.Weight >= 0 && raw.Weight <= 1e6) {
			b.warn(in.Name, fmt.Sprintf("%s[%d].weight", path, i), fmt.Errorf("%v is no weight, and is taken for 0", raw.Weight))
		} else {
			v.weight = uint32(raw.Weight)
		}
		if raw.Payload != nil {
			v.kind, v.value = raw.Payload.Type, string(raw.Payload.Value)
		}
		for _, o := range raw.Overrides {
			v.overrides = append(v.overrides, override{o.ContextName, texts(o.Values)})
		}
		out.total += v.weight
		out.list = append(out.list, v)
	}
	return out
}

// choose is the variant for who asks, nil if there is nothing to share out.
func (v *variants) choose(a *asker) *variant {
	if v.total == 0 {
		return nil
	}
	for i := range v.list {
		for j := range v.list[i].overrides {
			o := &v.list[i].overrides[j]
			if text, ok := a.get(o.field); ok && slices.Contains(o.values, text) {
				return &v.list[i]
			}
		}
	}
	var place uint32
	id, _, ok := a.unit(v.sticky)
	if !ok && (v.sticky == "" || v.sticky == stickyDefault) {
		id, ok = a.get(fieldAddress)
	}
	if ok {
		place = v.group.Add(id).Sum()%v.total + 1
	} else {
		place = rand.Uint32N(v.total) + 1 //nolint:gosec // no secret
	}
	for i := range v.list {
		if place <= v.list[i].weight {
			return &v.list[i]
		}
		place -= v.list[i].weight
	}
	return nil
}

// all are the variants of a feature and of its strategies.
func (f *feature) all() []*variant {
	var out []*variant
	add := func(v *variants) {
		if v == nil {
			return
		}
		for i := range v.list {
			out = append(out, &v.list[i])
		}
	}
	add(f.variants)
	for i := range f.strategies {
		add(f.strategies[i].variants)
	}
	return out
}

// distinguish gives variants of one name keys of their own where their values differ.
func (b *builder) distinguish(f *feature) {
	taken := make(map[string]*variant)
	for _, v := range f.all() {
		for n := 2; ; n++ {
			other := taken[v.key]
			if other == nil || other.name == v.name && other.kind == v.kind && other.value == v.value {
				break
			}
			v.key = v.name + "#" + strconv.Itoa(n)
		}
		taken[v.key] = v
		if v.key != v.name {
			b.warn(f.name, "variants", fmt.Errorf("two variants %q have different values: the second is called %q", v.name, v.key))
		}
	}
}

// values are the variants as a flag has them: numbers or objects if all payloads are, and
// else texts, where a variant without a payload is its own name.
func (f *feature) values() map[string]json.RawMessage {
	all := f.all()
	out := make(map[string]json.RawMessage, len(all))
	raw := uniform(all, "number", isNumber) || uniform(all, "json", isObject)
	for _, v := range all {
		value := v.value
		if v.kind == "" {
			value = v.name
		}
		if raw {
			out[v.key] = json.RawMessage(value)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			panic("BUG: unleash: a text is no JSON: " + err.Error())
		}
		out[v.key] = text
	}
	return out
}

// uniform reports whether all payloads are of a kind, and what it promises.
func uniform(all []*variant, kind string, is func(any) bool) bool {
	for _, v := range all {
		var x any
		if v.kind != kind || json.Unmarshal([]byte(v.value), &x) != nil || !is(x) {
			return false
		}
	}
	return true
}

func isNumber(x any) bool {
	_, ok := x.(float64)
	return ok
}

func isObject(x any) bool {
	switch x.(type) {
	case map[string]any, []any:
		return true
	default:
		return false
	}
}
