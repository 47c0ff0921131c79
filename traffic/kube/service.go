// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
)

// defaultKey is the label that tells the arms of a Service apart.
const defaultKey = "version"

// serviceLag is what kube-proxy needs to take up endpoints, by its defaults, with something
// to spare.
const serviceLag = 5 * time.Second

var serviceResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}

// ServiceOptions are what NewService has a default for.
type ServiceOptions struct {
	Options
	// Key is the label of the Service's selector whose value is an arm. "" is "version".
	Key string
}

// NewService is a router that switches a Service from the pods of one arm to those of the
// other, all or nothing, by one label of its selector. An arm is a value of that label:
// with the key "version", the arm "blue" is the pods that the rest of the selector selects
// and that have version=blue. All of both must be there before the switch, which is what
// their room tells.
//
// The route is Programmed when the EndpointSlices of the Service have a ready pod of the
// arm that serves, and none of the other one. Lag, by default five seconds, is for
// kube-proxy to follow. Connections that are open stay where they are.
func NewService(client dynamic.Interface, namespace, name string, o ServiceOptions) (*Router, error) {
	if o.Key == "" {
		o.Key = defaultKey
	}
	if wrong := validation.IsQualifiedName(o.Key); len(wrong) > 0 {
		return nil, fmt.Errorf("kube: options.key: %q is not the name of a label: %s", o.Key, wrong[0])
	}
	service := Object{Resource: serviceResource, Namespace: namespace, Name: name}
	codec := selector{key: o.Key, service: service}
	if o.Backend == nil {
		o.Backend = codec.backend
	}
	return New(client, service, codec, o.Options)
}

// selector is the codec of a Service.
type selector struct {
	key     string
	service Object
}

func (s selector) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Full, Evidence: traffic.Programmed, Lag: serviceLag}
}

func (s selector) Fields() [][]string { return [][]string{{"spec", "selector", s.key}} }

func (s selector) Read(_ context.Context, _ Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	now, _, err := unstructured.NestedString(o.Object, "spec", "selector", s.key)
	if err != nil {
		return traffic.Route{}, fmt.Errorf("spec.selector: %w", err)
	}
	if now == "" {
		return traffic.Route{}, fmt.Errorf("spec.selector: it has no %s, so that it selects all arms at once; add it with the label of the arm that serves", s.key)
	}
	route := traffic.Route{Arms: arms}
	switch now {
	case arms.Candidate:
		route.Split.Candidate = traffic.Full
	case arms.Stable:
	default:
		route.Arms = traffic.Arms{Stable: now}
	}
	return route, nil
}

func (s selector) Write(_ context.Context, _ Reader, o *unstructured.Unstructured, route traffic.Route) error {
	serves := route.Serves()
	if wrong := validation.IsValidLabelValue(serves); len(wrong) > 0 {
		return fmt.Errorf("arms: %q is not the value of a label: %s", serves, wrong[0])
	}
	if err := unstructured.SetNestedField(o.Object, serves, "spec", "selector", s.key); err != nil {
		return fmt.Errorf("spec.selector: %w", err)
	}
	return nil
}

// Proof is that the Service has endpoints, and only of the arm that serves.
func (s selector) Proof(ctx context.Context, c Reader, o *unstructured.Unstructured, route traffic.Route) (traffic.Evidence, error) {
	b, err := s.pods(o, route.Serves())
	if err != nil {
		return traffic.Unknown, err
	}
	pods, err := c.List(ctx, podResource, b.Namespace, b.Pods)
	if err != nil {
		return traffic.Unknown, err
	}
	slices, err := Backend{Namespace: s.service.Namespace, Service: s.service.Name}.slices(ctx, c)
	if err != nil {
		return traffic.Unknown, err
	}
	mine := map[string]bool{}
	for _, pod := range pods {
		mine[string(pod.GetUID())] = true
	}
	served := false
	for id, ready := range endpoints(slices) {
		if !mine[id] {
			return traffic.Written, nil
		}
		served = served || ready
	}
	if !served {
		return traffic.Written, nil
	}
	return traffic.Programmed, nil
}

// backend is the pods that the Service would select for an arm.
func (s selector) backend(ctx context.Context, c Reader, arm string) (Backend, error) {
	o, err := c.Get(ctx, s.service)
	if err != nil {
		return Backend{}, err
	}
	return s.pods(o, arm)
}

func (s selector) pods(o *unstructured.Unstructured, arm string) (Backend, error) {
	selects, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector")
	if err != nil || len(selects) == 0 {
		return Backend{}, errors.New("spec.selector: it selects nothing")
	}
	selects = maps.Clone(selects)
	selects[s.key] = arm
	return Backend{Namespace: s.service.Namespace, Pods: selects}, nil
}
