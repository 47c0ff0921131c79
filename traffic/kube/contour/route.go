// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

var errNobody = errors.New("services: there are none; add that of stable with its port")

// proxy is the routes of an HTTPProxy, told apart.
type proxy struct {
	arms   traffic.Arms
	routes []any // a copy
	turned []int // those that send to an arm
}

// proxyOf copies the routes of o. Where arms are not named, they are those of the first
// route that sends anywhere; where they are named nowhere, the only one that does is turned.
func proxyOf(o *unstructured.Unstructured, arms traffic.Arms) (*proxy, error) {
	routes, _, err := unstructured.NestedSlice(o.Object, "spec", "routes")
	if err != nil {
		return nil, fmt.Errorf("spec.routes: %w", err)
	}
	p := &proxy{arms: arms, routes: routes}
	var sending []int
	for at := range routes {
		all, err := p.entries(at)
		if err != nil {
			return nil, fmt.Errorf("spec.routes[%d].%w", at, err)
		}
		if !slices.ContainsFunc(all, entry.counts) {
			continue
		}
		sending = append(sending, at)
		if p.arms == (traffic.Arms{}) {
			p.arms = found(all)
		}
		if slices.ContainsFunc(all, func(e entry) bool { return e.counts() && p.is(e.name) }) {
			p.turned = append(p.turned, at)
		}
	}
	switch {
	case len(p.turned) > 0:
		return p, nil
	case len(sending) == 1:
		p.turned = sending
		return p, nil
	case len(sending) == 0:
		return nil, fmt.Errorf("spec.routes: %w", errNobody)
	}
	return nil, fmt.Errorf("spec.routes: none of %d sends to %q or %q", len(sending), arms.Stable, arms.Candidate)
}

func (p *proxy) is(name string) bool { return name == p.arms.Stable || name == p.arms.Candidate }

// found is the arms of a route that nobody has named.
func found(all []entry) (arms traffic.Arms) {
	for _, e := range all {
		switch {
		case !e.counts():
		case arms.Stable == "":
			arms.Stable = e.name
		case arms.Candidate == "":
			arms.Candidate = e.name
		}
	}
	return arms
}

// share is what the candidate gets by a route, or who else gets requests by it.
func (p *proxy) share(at int) (candidate traffic.Weight, stranger string, err error) {
	all, err := p.entries(at)
	if err != nil {
		return 0, "", err
	}
	var backends []weights.Backend
	for _, e := range all {
		if e.counts() {
			backends = append(backends, weights.Backend{Arm: e.name, Weight: e.weight})
		}
	}
	if !slices.ContainsFunc(backends, func(b weights.Backend) bool { return b.Weight > 0 }) {
		for i := range backends {
			backends[i].Weight = 1
		}
	}
	if candidate, stranger, err = weights.Candidate(backends, p.arms); err != nil {
		return 0, "", fmt.Errorf("services: %w", err)
	}
	return candidate, stranger, nil
}

// turn gives the entries of a route their weights.
func (p *proxy) turn(at int, pair weights.Pair, lacks map[string]bool) error {
	all, err := p.entries(at)
	if err != nil {
		return err
	}
	for _, b := range pair {
		if all, err = p.with(all, b.Arm); err != nil {
			return err
		}
	}
	list := make([]any, 0, len(all))
	for _, e := range all {
		switch {
		case e.mirror:
		case lacks[e.name]:
			continue
		default:
			e.says["weight"] = pair.For(e.name)
		}
		list = append(list, e.says)
	}
	route, _ := p.routes[at].(map[string]any)
	route["services"] = list
	return nil
}

// with adds the entry of an arm, if there is none, made like that of the other one.
func (p *proxy) with(all []entry, arm string) ([]entry, error) {
	var like *entry
	for i, e := range all {
		switch {
		case !e.counts():
		case e.name == arm:
			return all, nil
		case like == nil, p.is(e.name):
			like = &all[i]
		}
	}
	if like == nil {
		return nil, errNobody
	}
	says := runtime.DeepCopyJSON(like.says)
	says["name"] = arm
	return append(all, entry{name: arm, says: says}), nil
}

// entry is one of spec.routes[].services.
type entry struct {
	name   string
	weight int64
	mirror bool
	says   map[string]any
}

// counts says whether an entry has a share of the requests.
func (e entry) counts() bool { return !e.mirror }

// entries are those of a route; what is changed in what they say is changed in the route.
func (p *proxy) entries(at int) ([]entry, error) {
	route, ok := p.routes[at].(map[string]any)
	if !ok {
		return nil, errors.New("services: the route is not an object")
	}
	list, _ := route["services"].([]any)
	all, seen := make([]entry, 0, len(list)), map[string]bool{}
	for i, item := range list {
		e, err := entryOf(item)
		if err != nil {
			return nil, fmt.Errorf("services[%d]: %w", i, err)
		}
		if e.counts() && seen[e.name] {
			return nil, fmt.Errorf("services[%d]: %q is there twice", i, e.name)
		}
		seen[e.name] = seen[e.name] || e.counts()
		all = append(all, e)
	}
	return all, nil
}

func entryOf(item any) (entry, error) {
	says, ok := item.(map[string]any)
	if !ok {
		return entry{}, errors.New("it is not an object")
	}
	name, _, err := unstructured.NestedString(says, "name")
	if err != nil || name == "" {
		return entry{}, errors.New("it has no name")
	}
	mirror, _, err := unstructured.NestedBool(says, "mirror")
	if err != nil {
		return entry{}, fmt.Errorf("mirror: %w", err)
	}
	weight, err := weights.In(says, 0)
	if err != nil {
		return entry{}, err
	}
	return entry{name, weight, mirror, says}, nil
}
