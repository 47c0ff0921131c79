// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// codec is kube.Codec for both kinds of routes.
type codec struct {
	kind
	rules []string
	total int64
	regex bool
}

func (c codec) Caps() traffic.Caps {
	return traffic.Caps{
		Granularity: traffic.Full / traffic.Weight(c.total), //nolint:gosec // it divides Full
		Mirror:      true, Match: c.regex, Query: c.regex && c.http,
		Evidence: traffic.Programmed, Lag: lag,
	}
}

func (c codec) Fields() [][]string { return [][]string{{"spec", "rules"}} }

func (c codec) Read(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	v, err := c.view(o, arms)
	if err != nil {
		return traffic.Route{}, err
	}
	route := traffic.Route{Arms: v.arms}
	for n, at := range v.bases {
		split, stranger, err := v.split(at)
		if err != nil {
			return traffic.Route{}, fmt.Errorf("spec.rules[%d]: %w", at, err)
		}
		if stranger != "" {
			return traffic.Route{Arms: traffic.Arms{Stable: stranger}}, nil
		}
		if n == 0 {
			route.Split = split
		} else if !split.Equal(route.Split) {
			return traffic.Route{}, fmt.Errorf("spec.rules[%d] says %q, and spec.rules[%d] says %q: no route says both; options.rules names those to be turned",
				at, traffic.Route{Arms: v.arms, Split: split}, v.bases[0], route)
		}
	}
	if len(v.lost) > 0 {
		return traffic.Route{}, fmt.Errorf("spec.rules[%d]: it is a match for a rule that is no longer there", v.lost[0])
	}
	return route, nil
}

func (c codec) Write(ctx context.Context, reader kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	if route.Split.Mirror > 0 && route.Split.Candidate > 0 {
		return fmt.Errorf("mirror: the filter of a rule copies what the candidate answers, too; mirror while its weight is 0: %w", errors.ErrUnsupported)
	}
	v, err := c.view(o, route.Arms)
	if err != nil {
		return err
	}
	v.arms = route.Arms
	next := make([]any, 0, len(v.all)+len(v.bases))
	for _, at := range v.bases {
		if err := v.turn(at, route); err != nil {
			return fmt.Errorf("spec.rules[%d]: %w", at, err)
		}
		if len(route.Split.Match) > 0 {
			p, err := v.pin(at, route.Split.Match)
			if err != nil {
				return err
			}
			next = append(next, p)
		}
	}
	if err := v.exist(ctx, reader, route); err != nil {
		return err
	}
	for at, r := range v.all {
		if !v.pinned(at) {
			next = append(next, r)
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, next, "spec", "rules"); err != nil {
		return fmt.Errorf("spec.rules: %w", err)
	}
	return nil
}

// view is the rules of a route, told apart.
type view struct {
	codec
	namespace string
	arms      traffic.Arms
	all       []map[string]any
	bases     []int         // those that are turned
	pins      map[int][]int // those that carry out matches, by base
	lost      []int         // those that were written for a base that is not there
}

// view copies the rules of o. Where arms are named nowhere, it looks for some.
func (c codec) view(o *unstructured.Unstructured, arms traffic.Arms) (*view, error) {
	list, _, err := unstructured.NestedSlice(o.Object, "spec", "rules")
	if err != nil {
		return nil, fmt.Errorf("spec.rules: %w", err)
	}
	v := &view{codec: c, namespace: o.GetNamespace(), arms: arms, pins: map[int][]int{}}
	for i := range list {
		r, ok := list[i].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("spec.rules[%d]: it is not an object", i)
		}
		v.all = append(v.all, r)
	}
	if v.sort(); len(v.bases) > 0 {
		return v, nil
	}
	if at := v.only(); at >= 0 {
		v.bases = []int{at}
		v.arms = weights.Found(v.backends(at))
		return v, nil
	}
	return nil, fmt.Errorf("spec.rules: none of %d sends to %q or %q; options.rules names those to be turned", len(v.all), arms.Stable, arms.Candidate)
}

// sort tells bases and pins apart.
func (v *view) sort() {
	if v.arms == (traffic.Arms{}) {
		for at := range v.all {
			if v.mine(at) && len(v.refs(at)) > 0 {
				v.arms = weights.Found(v.backends(at))
				break
			}
		}
	}
	for at := range v.all {
		if v.mine(at) && !named(v.all[at]) && (len(v.rules) > 0 || v.sends(at, v.arms.Stable) || v.sends(at, v.arms.Candidate)) {
			v.bases = append(v.bases, at)
		}
	}
	for at := range v.all {
		base, ok := v.baseOf(at)
		switch {
		case ok:
			v.pins[base] = append(v.pins[base], at)
		case named(v.all[at]):
			v.lost = append(v.lost, at)
		}
	}
	v.bases = slices.DeleteFunc(v.bases, v.pinned)
}

// mine says whether options.rules leave a rule to the router.
func (v *view) mine(at int) bool {
	name, _ := v.all[at]["name"].(string)
	return len(v.rules) == 0 || slices.Contains(v.rules, name)
}

// pinned says whether a rule carries out a match.
func (v *view) pinned(at int) bool {
	for _, pins := range v.pins {
		if slices.Contains(pins, at) {
			return true
		}
	}
	return slices.Contains(v.lost, at)
}

// only is the one rule that sends anywhere, -1 if there are more.
func (v *view) only() int {
	only := -1
	for at := range v.all {
		if v.mine(at) && !v.pinned(at) && len(v.refs(at)) > 0 {
			if only >= 0 {
				return -1
			}
			only = at
		}
	}
	return only
}
