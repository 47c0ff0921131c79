// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"context"
	"errors"
	"fmt"
	"math"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
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
	var sum, candidate int64
	for _, e := range all {
		if e.weight > 0 && e.arm != arms.Stable && e.arm != arms.Candidate {
			return traffic.Route{Arms: traffic.Arms{Stable: e.arm}}, nil
		}
		if sum += e.weight; e.arm == arms.Candidate {
			candidate = e.weight
		}
	}
	if sum == 0 {
		return traffic.Route{}, errors.New("spec.weighted.services: nobody gets anything")
	}
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: share(candidate, sum)}}, nil
}

// share never makes nothing of something, or the whole of a part.
func share(weight, sum int64) traffic.Weight {
	switch weight {
	case 0:
		return 0
	case sum:
		return traffic.Full
	}
	return min(max(traffic.Weight(weight*int64(traffic.Full)/sum), 1), traffic.Full-1) //nolint:gosec // it is less than Full
}

func (c codec) Write(ctx context.Context, reader kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	all, err := entries(o)
	if err != nil {
		return err
	}
	candidate := int64(route.Split.Candidate) * c.total / int64(traffic.Full)
	weights := map[string]int64{route.Arms.Stable: c.total - candidate, route.Arms.Candidate: candidate}
	lacks := map[string]bool{}
	for arm, weight := range weights {
		_, err := reader.Get(ctx, service(o.GetNamespace(), arm))
		if err != nil && weight > 0 { // not to know of the other one is in nobody's way
			return fmt.Errorf("arm %q: %w", arm, err)
		}
		lacks[arm] = apierrors.IsNotFound(err)
	}
	for _, arm := range []string{route.Arms.Stable, route.Arms.Candidate} {
		all = with(all, o.GetNamespace(), arm, route.Arms)
	}
	list := make([]any, 0, len(all))
	for _, e := range all {
		if !lacks[e.arm] {
			e.says["weight"] = weights[e.arm]
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
	weight, found, err := unstructured.NestedInt64(says, "weight")
	switch {
	case err != nil:
		return entry{}, fmt.Errorf("weight: %w", err)
	case weight < 0 || weight > math.MaxInt32:
		return entry{}, fmt.Errorf("weight: %d is not from 0 to %d", weight, math.MaxInt32)
	case !found:
		weight = 1
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
