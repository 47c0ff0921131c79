// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// codec is kube.Codec for a TraefikService.
type codec struct{ total int64 }

func (c codec) Caps() traffic.Caps {
	return traffic.Caps{
		Granularity: traffic.Full / traffic.Weight(c.total), //nolint:gosec // it divides Full
		Evidence:    traffic.Written, Lag: lag,
	}
}

func (codec) Fields() [][]string {
	return [][]string{{"spec", "weighted", "services"}}
}

func (codec) Read(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	all, err := entries(o)
	if err != nil {
		return traffic.Route{}, err
	}
	if arms == (traffic.Arms{}) {
		arms.Stable = all[0].arm
		if len(all) > 1 {
			arms.Candidate = all[1].arm
		}
	}
	backends := make([]weights.Backend, len(all))
	for i, e := range all {
		backends[i] = weights.Backend{Arm: e.arm, Weight: e.weight}
	}
	candidate, stranger, err := weights.Candidate(backends, arms)
	switch {
	case err != nil:
		return traffic.Route{}, fmt.Errorf("spec.weighted.services: %w", err)
	case stranger != "":
		return traffic.Route{Arms: traffic.Arms{Stable: stranger}}, nil
	}
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: candidate}}, nil
}

func (c codec) Write(ctx context.Context, reader kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	all, err := entries(o)
	if err != nil {
		return err
	}
	pair := weights.Of(route, c.total)
	lacks, err := pair.Missing(ctx, reader, func(arm string) kube.Object { return service(o.GetNamespace(), arm) })
	if err != nil {
		return err
	}
	for _, b := range pair {
		all = with(all, o.GetNamespace(), b.Arm, route.Arms)
	}
	list := make([]any, 0, len(all))
	for _, e := range all {
		if !lacks[e.arm] {
			e.says["weight"] = pair.For(e.arm)
			list = append(list, e.says)
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, list, "spec", "weighted", "services"); err != nil {
		return fmt.Errorf("spec.weighted.services: %w", err)
	}
	return nil
}

// entry is one of spec.weighted.services.
type entry struct {
	arm    string
	weight int64
	says   map[string]any // a copy
}

// entries are at least one.
func entries(o *unstructured.Unstructured) ([]entry, error) {
	list, _, err := unstructured.NestedSlice(o.Object, "spec", "weighted", "services")
	if err != nil {
		return nil, fmt.Errorf("spec.weighted.services: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("spec.weighted.services: there are none; add that of stable with its port")
	}
	all, seen := make([]entry, len(list)), map[string]bool{}
	for i := range list {
		if all[i], err = entryOf(o.GetNamespace(), list[i]); err != nil {
			return nil, fmt.Errorf("spec.weighted.services[%d]: %w", i, err)
		}
		if seen[all[i].arm] {
			return nil, fmt.Errorf("spec.weighted.services[%d]: %q is there twice", i, all[i].arm)
		}
		seen[all[i].arm] = true
	}
	return all, nil
}

func entryOf(namespace string, item any) (entry, error) {
	says, ok := item.(map[string]any)
	if !ok {
		return entry{}, errors.New("it is not an object")
	}
	name, _, err := unstructured.NestedString(says, "name")
	if err != nil || name == "" {
		return entry{}, errors.New("it has no name")
	}
	if in, _, _ := unstructured.NestedString(says, "namespace"); in != "" && in != namespace {
		name = in + "/" + name
	}
	if kind, _, _ := unstructured.NestedString(says, "kind"); kind != "" && kind != "Service" {
		name = kind + " " + name // no arm is called so
	}
	weight, err := weights.In(says, 1)
	if err != nil {
		return entry{}, err
	}
	return entry{name, weight, says}, nil
}

// with adds the entry of an arm, if there is none, made like that of the other one.
func with(all []entry, namespace, arm string, arms traffic.Arms) []entry {
	like := all[0]
	for _, e := range all {
		if e.arm == arm {
			return all
		}
		if e.arm == arms.Stable || e.arm == arms.Candidate {
			like = e
		}
	}
	at, says := service(namespace, arm), runtime.DeepCopyJSON(like.says)
	says["name"] = at.Name
	delete(says, "kind")
	delete(says, "namespace")
	if at.Namespace != namespace {
		says["namespace"] = at.Namespace
	}
	return append(all, entry{arm: arm, says: says})
}
