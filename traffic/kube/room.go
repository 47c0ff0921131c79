// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/traffic"
)

var (
	sliceResource = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	podResource   = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Backend says where the endpoints of an arm are. Exactly one of Service and Pods is set.
type Backend struct {
	// Namespace is that of the object if it is empty.
	Namespace string
	// Service is one whose EndpointSlices tell.
	Service string
	// Pods is the labels of the pods, where no Service has only those of the arm.
	Pods map[string]string
}

// Ready counts endpoints: those that take requests now, and all that are there and do not
// go away. A pod with several addresses is one endpoint, and so is one without any yet.
func (b Backend) Ready(ctx context.Context, c Reader) (ready, all int, err error) {
	switch {
	case b.Service != "" && len(b.Pods) == 0:
		slices, err := b.slices(ctx, c)
		if err != nil {
			return 0, 0, err
		}
		for _, is := range endpoints(slices) {
			all++
			if is {
				ready++
			}
		}
	case b.Service == "" && len(b.Pods) > 0:
		pods, err := c.List(ctx, podResource, b.Namespace, b.Pods)
		if err != nil {
			return 0, 0, fmt.Errorf("pods with %v: %w", b.Pods, err)
		}
		ready, all = countPods(pods)
	default:
		return 0, 0, errors.New("backend: name either a service or the labels of pods")
	}
	return ready, all, nil
}

// slices are the EndpointSlices of a Service.
func (b Backend) slices(ctx context.Context, c Reader) ([]*unstructured.Unstructured, error) {
	list, err := c.List(ctx, sliceResource, b.Namespace, map[string]string{"kubernetes.io/service-name": b.Service})
	if err != nil {
		return nil, fmt.Errorf("endpoints of service %s/%s: %w", b.Namespace, b.Service, err)
	}
	return list, nil
}

// endpoints tells of each endpoint that does not go away whether it is ready. It may be in
// a slice for each family of addresses, and for a moment in two of one; where they differ,
// it is not.
func endpoints(slices []*unstructured.Unstructured) map[string]bool {
	seen := map[string]bool{}
	for _, slice := range slices {
		list, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
		for _, e := range list {
			endpoint, ok := e.(map[string]any)
			if !ok {
				continue
			}
			if going, _, _ := unstructured.NestedBool(endpoint, "conditions", "terminating"); going {
				continue
			}
			id := identity(endpoint)
			ready, told, _ := unstructured.NestedBool(endpoint, "conditions", "ready")
			ready = ready || !told // no word means ready
			before, again := seen[id]
			seen[id] = ready && (before || !again)
		}
	}
	return seen
}

// identity is the pod behind an endpoint, or its first address if there is none.
func identity(endpoint map[string]any) string {
	for _, path := range [][]string{{"targetRef", "uid"}, {"targetRef", "name"}} {
		if id, _, _ := unstructured.NestedString(endpoint, path...); id != "" {
			return id
		}
	}
	if addresses, _, _ := unstructured.NestedStringSlice(endpoint, "addresses"); len(addresses) > 0 {
		return addresses[0]
	}
	return ""
}

func countPods(pods []*unstructured.Unstructured) (ready, all int) {
	for _, pod := range pods {
		phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
		if pod.GetDeletionTimestamp() != nil || phase == "Succeeded" || phase == "Failed" {
			continue
		}
		all++
		conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == "Ready" && c["status"] == "True" {
				ready++
			}
		}
	}
	return ready, all
}

// room is what the arms of a route in force could carry. What cannot be read, or compared
// with nothing, is not known.
func (r *Router) room(ctx context.Context, c Reader, route traffic.Route, rec record) traffic.Room {
	if route.Arms.Stable == "" || route.Arms.Candidate == "" {
		return traffic.Room{}
	}
	stable, all, err := r.ready(ctx, c, route.Arms.Stable)
	if err != nil {
		return traffic.Room{}
	}
	candidate, allCandidate, err := r.ready(ctx, c, route.Arms.Candidate)
	if err != nil {
		return traffic.Room{}
	}
	need := r.o.Replicas
	if need == 0 {
		if rec.Route.Arms == route.Arms {
			need = rec.Need
		}
		switch route.Serves() {
		case route.Arms.Stable:
			need = all
		case route.Arms.Candidate:
			need = max(need, allCandidate)
		}
	}
	if need == 0 {
		return traffic.Room{}
	}
	return traffic.Room{Known: true, Stable: share(stable, need), Candidate: share(candidate, need)}
}

// share is ready out of need as a weight, at most Full, rounded down.
func share(ready, need int) traffic.Weight {
	return traffic.Weight(min(int64(ready)*int64(traffic.Full)/int64(need), int64(traffic.Full))) //nolint:gosec // between 0 and Full
}

// need is how many endpoints the record keeps as enough for everything: those of stable
// while it serves alone, and what it had where that is not so or cannot be read.
func (r *Router) need(ctx context.Context, c Reader, was record, before, route traffic.Route) int {
	if was.Route.Arms != route.Arms {
		was.Need = 0
	}
	if r.o.Replicas > 0 || before.Serves() != route.Arms.Stable {
		return was.Need
	}
	if _, all, err := r.ready(ctx, c, route.Arms.Stable); err == nil && all > 0 {
		return all
	}
	return was.Need
}

func (r *Router) ready(ctx context.Context, c Reader, arm string) (ready, all int, err error) {
	b := Backend{Service: arm}
	if r.o.Backend != nil {
		if b, err = r.o.Backend(ctx, c, arm); err != nil {
			return 0, 0, fmt.Errorf("arm %q: %w", arm, err)
		}
	}
	if b.Namespace == "" {
		b.Namespace = r.object.Namespace
	}
	return b.Ready(ctx, c)
}
