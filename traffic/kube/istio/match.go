// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

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

// mark begins the names of the routes that carry out matches. Behind it stand the names of
// headers as they were given, since Istio wants them in lower case.
const mark = "rheostat-match-"

func marked(e *entry) bool { return strings.HasPrefix(e.name(), mark) }

// pin is a route for the candidate: what the base matches, and one of the matches on top.
// It has the base's rewrites, timeouts and retries.
func (v *view) pin(base *entry, list []traffic.Match) (map[string]any, error) {
	to, err := v.to(base, v.arms.Candidate)
	if err != nil {
		return nil, err
	}
	p := runtime.DeepCopyJSON(base.route)
	only := runtime.DeepCopyJSON(to)
	delete(only, "weight")
	if err := v.mirror(p, 0); err != nil {
		return nil, err
	}
	p["route"] = []any{only}
	var all []any
	var headers []string
	for i, m := range list {
		if m.Header != "" && m.Header != strings.ToLower(m.Header) {
			headers = append(headers, m.Header)
		}
		for _, on := range conditions(base) {
			if err := narrow(on, m); err != nil {
				return nil, fmt.Errorf("match[%d]: %v: %w", i, base, err)
			}
			all = append(all, on)
		}
	}
	p["match"] = all
	p["name"] = strings.Join(append([]string{mark + strconv.Itoa(slices.Index(v.bases, base))}, headers...), ",")
	return p, nil
}

// conditions are the matches of a route: one without any if it takes everything.
func conditions(e *entry) []map[string]any {
	list := objects(runtime.DeepCopyJSONValue(e.route["match"]))
	if len(list) == 0 {
		return []map[string]any{{}}
	}
	return list
}

// narrow adds a match to a condition.
func narrow(on map[string]any, m traffic.Match) error {
	field, name := "headers", strings.ToLower(m.Header)
	value := map[string]any{"exact": m.Value}
	if m.Value == "" {
		value = map[string]any{"regex": pattern.Any}
	}
	switch {
	case m.Query != "":
		field, name = "queryParams", m.Query
	case m.Cookie != "":
		if !pattern.Token(m.Cookie) {
			return fmt.Errorf("cookie %q: it cannot be the name of one", m.Cookie)
		}
		name = "cookie"
		value = map[string]any{"regex": pattern.Cookie(m.Cookie, m.Value)}
	case !pattern.Token(name):
		return fmt.Errorf("header %q: it cannot be the name of one", m.Header)
	}
	has, ok := on[field].(map[string]any)
	if !ok {
		has = map[string]any{}
		on[field] = has
	}
	if _, ok := has[name]; ok {
		return fmt.Errorf("the route matches %q itself, and one name has one condition: %w", name, errors.ErrUnsupported)
	}
	has[name] = value
	return nil
}

// baseOf is the route for which another one carries out matches, nil if it does not.
func (v *view) baseOf(e *entry) *entry {
	to := e.to()
	if !e.http() || len(to) != 1 || e.name() != "" && !marked(e) {
		return nil
	}
	arm, other := v.arm(to[0]), v.arms.Stable
	switch arm {
	case v.arms.Candidate:
	case v.arms.Stable:
		other = v.arms.Candidate
	default:
		return nil
	}
	for _, base := range v.bases {
		if base == e || !base.http() || !v.sends(base, other) {
			continue
		}
		if _, ok := matches(e, base); ok {
			return base
		}
	}
	return nil
}

// matches is what a route demands on top of a base, for each of the base's conditions.
func matches(e, base *entry) (list []traffic.Match, ok bool) {
	pinned, on := conditions(e), conditions(base)
	if len(pinned)%len(on) != 0 {
		return nil, false
	}
	_, spelled, _ := strings.Cut(e.name(), ",")
	for i := range pinned {
		m, ok := narrower(pinned[i], on[i%len(on)])
		if !ok {
			return nil, false
		}
		for name := range strings.SplitSeq(spelled, ",") {
			if marked(e) && m.Header != "" && strings.EqualFold(name, m.Header) {
				m.Header = name
			}
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
		more, _ := a[field].(map[string]any)
		fewer, _ := b[field].(map[string]any)
		if len(more) != len(fewer)+1 {
			continue
		}
		for name, value := range more {
			if _, ok := fewer[name]; ok {
				continue
			}
			rest := runtime.DeepCopyJSON(a)
			fields, _ := rest[field].(map[string]any)
			if delete(fields, name); len(fields) == 0 && b[field] == nil {
				delete(rest, field)
			}
			on, _ := value.(map[string]any)
			if !reflect.DeepEqual(rest, b) || len(on) != 1 {
				return traffic.Match{}, false
			}
			return matchOf(field, name, on)
		}
	}
	return traffic.Match{}, false
}

func matchOf(field, name string, on map[string]any) (traffic.Match, bool) {
	m := traffic.Match{Header: name}
	if field == "queryParams" {
		m = traffic.Match{Query: name}
	}
	if exact, ok := on["exact"].(string); ok {
		m.Value = exact
		return m, exact != ""
	}
	regex, _ := on["regex"].(string)
	if cookie, value, ok := pattern.ReadCookie(regex); ok && field == "headers" && name == "cookie" {
		return traffic.Match{Cookie: cookie, Value: value}, true
	}
	return m, regex == pattern.Any
}
