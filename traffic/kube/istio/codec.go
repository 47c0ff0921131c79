// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

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

// codec is kube.Codec for VirtualServices.
type codec struct {
	routes    []string
	l4        bool
	total     int64
	namespace string
	host      string   // whose subsets the arms are
	subsets   *subsets // nil if arms are hosts
}

func (c codec) Caps() traffic.Caps {
	return traffic.Caps{
		Granularity: traffic.Full / traffic.Weight(c.total), //nolint:gosec // it divides Full
		Mirror:      !c.l4, Match: !c.l4, Query: !c.l4,
		Evidence: traffic.Written, Lag: lag,
	}
}

// lists are what a VirtualService has routes in.
func (c codec) lists() []string {
	if c.l4 {
		return []string{"tcp", "tls"}
	}
	return []string{"http", "tcp", "tls"}
}

func (c codec) Fields() (fields [][]string) {
	for _, list := range c.lists() {
		fields = append(fields, []string{"spec", list})
	}
	return fields
}

func (c codec) backend(ctx context.Context, r kube.Reader, arm string) (kube.Backend, error) {
	if c.subsets != nil {
		return c.subsets.backend(ctx, r, arm)
	}
	b := service(arm)
	if b.Service == "" {
		return b, fmt.Errorf("host %q is no service of the cluster; options.backend tells where its endpoints are: %w", arm, errors.ErrUnsupported)
	}
	return b, nil
}

func (c codec) Read(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	v, err := c.view(o, arms)
	if err != nil {
		return traffic.Route{}, err
	}
	route := traffic.Route{Arms: v.arms}
	for n, e := range v.bases {
		split, stranger, err := v.split(e)
		if err != nil {
			return traffic.Route{}, fmt.Errorf("%v: %w", e, err)
		}
		if stranger != "" {
			return traffic.Route{Arms: traffic.Arms{Stable: stranger}}, nil
		}
		// Those of http come first, and only they know more than weights.
		switch {
		case n == 0:
			route.Split = split
		case e.http() && !split.Equal(route.Split), split.Candidate != route.Split.Candidate:
			return traffic.Route{}, fmt.Errorf("%v says %q, and %v says %q: no route says both; options.routes names those to be turned",
				e, traffic.Route{Arms: v.arms, Split: split}, v.bases[0], route)
		}
	}
	if len(v.lost) > 0 {
		return traffic.Route{}, fmt.Errorf("%v: it is a match for a route that is no longer there", v.lost[0])
	}
	return route, nil
}

func (c codec) Write(ctx context.Context, r kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	split := route.Split
	if split.Mirror > 0 && split.Candidate > 0 {
		return fmt.Errorf("mirror: a route copies what the candidate answers, too; mirror while its weight is 0: %w", errors.ErrUnsupported)
	}
	v, err := c.view(o, route.Arms)
	if err != nil {
		return err
	}
	v.arms = route.Arms
	if (split.Mirror > 0 || len(split.Match) > 0) && !slices.ContainsFunc(v.bases, (*entry).http) {
		return fmt.Errorf("match, mirror: none of the routes that are turned is one of http; set options.l4: %w", errors.ErrUnsupported)
	}
	next := map[string][]any{}
	for _, e := range v.all {
		switch {
		case v.pinned(e):
			continue
		case slices.Contains(v.bases, e):
			if err := v.turn(e, route); err != nil {
				return fmt.Errorf("%v: %w", e, err)
			}
			if len(split.Match) > 0 && e.http() {
				p, err := v.pin(e, split.Match)
				if err != nil {
					return err
				}
				next[e.list] = append(next[e.list], p)
			}
		}
		next[e.list] = append(next[e.list], e.route)
	}
	if err := v.exist(ctx, r, route); err != nil {
		return err
	}
	for list, routes := range next {
		if err := unstructured.SetNestedSlice(o.Object, routes, "spec", list); err != nil {
			return fmt.Errorf("spec.%s: %w", list, err)
		}
	}
	return nil
}

// entry is one route of a VirtualService.
type entry struct {
	list  string
	at    int
	route map[string]any
}

func (e *entry) String() string { return fmt.Sprintf("spec.%s[%d]", e.list, e.at) }
func (e *entry) http() bool     { return e.list == "http" }
func (e *entry) name() string   { name, _ := e.route["name"].(string); return name }

// to is where a route sends; what is changed in it is changed in the route.
func (e *entry) to() []map[string]any { return objects(e.route["route"]) }

func objects(list any) (all []map[string]any) {
	items, _ := list.([]any)
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all
}

// view is the routes of a VirtualService, told apart.
type view struct {
	codec
	arms  traffic.Arms
	all   []*entry
	bases []*entry            // those that are turned
	pins  map[*entry][]*entry // those that carry out matches, by base
	below []*entry            // those that would, if they stood above their base
	lost  []*entry            // those that were written for a base that is not there
}

// view copies the routes of o. Where arms are named nowhere, it looks for some.
func (c codec) view(o *unstructured.Unstructured, arms traffic.Arms) (*view, error) {
	v := &view{codec: c, arms: arms, pins: map[*entry][]*entry{}}
	for _, list := range c.lists() {
		items, _, err := unstructured.NestedSlice(o.Object, "spec", list)
		if err != nil {
			return nil, fmt.Errorf("spec.%s: %w", list, err)
		}
		for at := range items {
			route, ok := items[at].(map[string]any)
			if !ok {
				return nil, fmt.Errorf("spec.%s[%d]: it is not an object", list, at)
			}
			v.all = append(v.all, &entry{list, at, route})
		}
	}
	if v.sort(); len(v.bases) > 0 {
		return v, nil
	}
	if e := v.only(); e != nil {
		v.bases, v.arms = []*entry{e}, weights.Found(v.backends(e))
		return v, nil
	}
	return nil, fmt.Errorf("spec: none of %d routes sends to %q or %q; options.routes names those to be turned", len(v.all), arms.Stable, arms.Candidate)
}

// sort tells bases and pins apart.
func (v *view) sort() {
	if v.arms == (traffic.Arms{}) {
		if i := slices.IndexFunc(v.all, func(e *entry) bool { return v.mine(e) && len(e.to()) > 0 }); i >= 0 {
			v.arms = weights.Found(v.backends(v.all[i]))
		}
	}
	for _, e := range v.all {
		if v.mine(e) && !marked(e) && (len(v.routes) > 0 || v.sends(e, v.arms.Stable) || v.sends(e, v.arms.Candidate)) {
			v.bases = append(v.bases, e)
		}
	}
	for _, e := range v.all {
		base := v.baseOf(e)
		switch {
		case base != nil && e.at < base.at:
			v.pins[base] = append(v.pins[base], e)
		case base != nil:
			v.below = append(v.below, e)
		case marked(e):
			v.lost = append(v.lost, e)
		}
	}
	v.bases = slices.DeleteFunc(v.bases, v.pinned)
}

// mine says whether options.routes leave a route to the router.
func (v *view) mine(e *entry) bool { return len(v.routes) == 0 || slices.Contains(v.routes, e.name()) }

// pinned says whether a route carries out a match, or was written to.
func (v *view) pinned(e *entry) bool {
	for _, pins := range v.pins {
		if slices.Contains(pins, e) {
			return true
		}
	}
	return slices.Contains(v.below, e) || slices.Contains(v.lost, e)
}

// only is the one route that sends anywhere, nil if there are more.
func (v *view) only() (only *entry) {
	for _, e := range v.all {
		if v.mine(e) && !v.pinned(e) && len(e.to()) > 0 {
			if only != nil {
				return nil
			}
			only = e
		}
	}
	return only
}
