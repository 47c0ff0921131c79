// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// codec is kube.Codec for an HTTPProxy.
type codec struct{ total int64 }

func (c codec) Caps() traffic.Caps {
	return traffic.Caps{
		Granularity: traffic.Full / traffic.Weight(c.total), //nolint:gosec // it divides Full
		Evidence:    traffic.Programmed, Lag: lag,
	}
}

func (codec) Fields() [][]string { return [][]string{{"spec", "routes"}} }

func (codec) Read(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	p, err := proxyOf(o, arms)
	if err != nil {
		return traffic.Route{}, err
	}
	route := traffic.Route{Arms: p.arms}
	for n, at := range p.turned {
		candidate, stranger, err := p.share(at)
		switch {
		case err != nil:
			return traffic.Route{}, fmt.Errorf("spec.routes[%d]: %w", at, err)
		case stranger != "":
			return traffic.Route{Arms: traffic.Arms{Stable: stranger}}, nil
		case n > 0 && candidate != route.Split.Candidate:
			return traffic.Route{}, fmt.Errorf("spec.routes[%d] gives the candidate %v, and spec.routes[%d] gives it %v: no route says both",
				at, candidate, p.turned[0], route.Split.Candidate)
		}
		route.Split.Candidate = candidate
	}
	return route, nil
}

func (c codec) Write(ctx context.Context, reader kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	p, err := proxyOf(o, route.Arms)
	if err != nil {
		return err
	}
	p.arms = route.Arms
	pair := weights.Of(route, c.total)
	lacks, err := pair.Missing(ctx, reader, func(arm string) kube.Object {
		return kube.Object{Resource: services, Namespace: o.GetNamespace(), Name: arm}
	})
	if err != nil {
		return err
	}
	for _, at := range p.turned {
		if err := p.turn(at, pair, lacks); err != nil {
			return fmt.Errorf("spec.routes[%d]: %w", at, err)
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, p.routes, "spec", "routes"); err != nil {
		return fmt.Errorf("spec.routes: %w", err)
	}
	return nil
}

// Proof is Programmed when Contour says that what the object says now is valid.
func (codec) Proof(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, _ traffic.Route) (traffic.Evidence, error) {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return 0, fmt.Errorf("status.conditions: %w", err)
	}
	for _, item := range conditions {
		says, _ := item.(map[string]any)
		kind, _, _ := unstructured.NestedString(says, "type")
		status, _, _ := unstructured.NestedString(says, "status")
		seen, _, _ := unstructured.NestedInt64(says, "observedGeneration")
		if kind == "Valid" && status == "True" && seen == o.GetGeneration() {
			return traffic.Programmed, nil
		}
	}
	return traffic.Written, nil
}
