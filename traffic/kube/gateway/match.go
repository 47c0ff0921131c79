// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/pattern"
)

// mark begins the names of the rules that carry out matches. CRDs of before 1.4 drop
// names; then such a rule is known by what it says.
const mark = "rheostat-match-"

func named(r map[string]any) bool {
	name, _ := r["name"].(string)
	return strings.HasPrefix(name, mark)
}

// pin is a rule for the candidate: what the base matches, and one of the matches on top.
// More conditions win over fewer, so it is found before the base wherever the two stand.
// It has the base's filters and timeouts.
func (v *view) pin(base int, list []traffic.Match) (map[string]any, error) {
	ref, err := v.ref(base, v.arms.Candidate)
	if err != nil {
		return nil, err
	}
	p := runtime.DeepCopyJSON(v.all[base])
	only := runtime.DeepCopyJSON(ref)
	only["weight"] = int64(1)
	p["backendRefs"] = []any{only}
	v.mirror(p, 0)
	p["name"] = mark + strconv.Itoa(slices.Index(v.bases, base))
	var all []any
	for i, m := range list {
		for _, on := range v.conditions(base) {
			if err := v.narrow(on, m); err != nil {
				return nil, fmt.Errorf("match[%d]: spec.rules[%d]: %w", i, base, err)
			}
			all = append(all, on)
		}
	}
	p["matches"] = all
	return p, nil
}

// conditions are the matches of a rule, each with what the server would add to it.
func (v *view) conditions(at int) []map[string]any {
	list := objects(runtime.DeepCopyJSONValue(v.all[at]["matches"]))
	if len(list) == 0 {
		list = []map[string]any{{}}
	}
	for _, m := range list {
		if v.http {
			path, ok := m["path"].(map[string]any)
			if !ok {
				path = map[string]any{}
				m["path"] = path
			}
			missing(path, "value", "/")
			missing(path, "type", "PathPrefix")
		}
		for _, field := range []string{"headers", "queryParams"} {
			for _, h := range objects(m[field]) {
				missing(h, "type", "Exact")
			}
		}
	}
	return list
}

func missing(m map[string]any, field string, value any) {
	if _, ok := m[field]; !ok {
		m[field] = value
	}
}

// narrow adds a match to a condition.
func (v *view) narrow(on map[string]any, m traffic.Match) error {
	field, name := "headers", m.Header
	value := map[string]any{"type": "Exact", "value": m.Value}
	if m.Value == "" {
		value = map[string]any{"type": "RegularExpression", "value": pattern.Any}
	}
	switch {
	case m.Query != "":
		field, name = "queryParams", m.Query
	case m.Cookie != "":
		if !pattern.Token(m.Cookie) {
			return fmt.Errorf("cookie %q: it cannot be the name of one", m.Cookie)
		}
		name = "cookie"
		value = map[string]any{"type": "RegularExpression", "value": pattern.Cookie(m.Cookie, m.Value)}
	}
	for _, h := range objects(on[field]) {
		if has, _ := h["name"].(string); strings.EqualFold(has, name) {
			return fmt.Errorf("the rule matches %q itself, and of two conditions on one only the first counts: %w", name, errors.ErrUnsupported)
		}
	}
	value["name"] = name
	list, _ := on[field].([]any)
	on[field] = append(list, value)
	return nil
}

// baseOf is the rule for which another one carries out matches.
func (v *view) baseOf(at int) (int, bool) {
	refs := v.refs(at)
	name, _ := v.all[at]["name"].(string)
	if len(refs) != 1 || name != "" && !named(v.all[at]) {
		return 0, false
	}
	arm, other := v.arm(refs[0]), v.arms.Stable
	if arm == v.arms.Stable {
		other = v.arms.Candidate
	}
	for _, base := range v.bases {
		if base == at || !v.sends(base, other) {
			continue
		}
		if _, ok := v.matches(at, base); ok && (arm == v.arms.Candidate || arm == v.arms.Stable) {
			return base, true
		}
	}
	return 0, false
}

// matches is what a rule demands on top of a base, for each of the base's conditions.
func (v *view) matches(at, base int) (list []traffic.Match, ok bool) {
	narrow, on := v.conditions(at), v.conditions(base)
	if len(narrow)%len(on) != 0 {
		return nil, false
	}
	for i := range narrow {
		m, ok := narrower(narrow[i], on[i%len(on)])
		if !ok {
			return nil, false
		}
		if i%len(on) == 0 {
			list = append(list, m)
		} else if m != list[len(list)-1] {
			return nil, false
		}
	}
	return list, true
}

// narrower is the one condition that a has and b has not.
func narrower(a, b map[string]any) (traffic.Match, bool) {
	for _, field := range []string{"headers", "queryParams"} {
		more, _ := a[field].([]any)
		fewer, _ := b[field].([]any)
		if len(more) != len(fewer)+1 {
			continue
		}
		rest := runtime.DeepCopyJSON(a)
		last, _ := more[len(fewer)].(map[string]any)
		if rest[field] = slices.Clone(more[:len(fewer)]); len(fewer) == 0 {
			delete(rest, field)
		}
		if !reflect.DeepEqual(rest, b) {
			return traffic.Match{}, false
		}
		return matchOf(field, last)
	}
	return traffic.Match{}, false
}

func matchOf(field string, on map[string]any) (traffic.Match, bool) {
	name, _ := on["name"].(string)
	value, _ := on["value"].(string)
	regex := on["type"] == "RegularExpression"
	m := traffic.Match{Header: name, Value: value}
	if field == "queryParams" {
		m = traffic.Match{Query: name, Value: value}
	}
	if !regex {
		return m, name != "" && value != ""
	}
	if cookie, value, ok := pattern.ReadCookie(value); ok && field == "headers" && strings.EqualFold(name, "cookie") {
		return traffic.Match{Cookie: cookie, Value: value}, true
	}
	m.Value = ""
	return m, value == pattern.Any
}
