// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

// backends is the codec of a kind that has a list of backends, each with a weight, as
// platform teams like to make one:
//
//	apiVersion: platform.example.com/v1
//	kind: Shares
//	spec:
//	  backends:
//	  - {service: web-a, weight: 100, zone: north}
type backends struct{}

func (backends) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Percent(0.1)}
}

func (backends) Fields() [][]string { return [][]string{{"spec", "backends"}} }

func (backends) Read(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	weights, sum := map[string]int64{}, int64(0)
	for _, b := range list(o) {
		name, _, _ := unstructured.NestedString(b, "service")
		weight, _, _ := unstructured.NestedInt64(b, "weight")
		sum += weight
		if name != arms.Stable && name != arms.Candidate && weight > 0 {
			arms = traffic.Arms{Stable: name} // it gets requests, and is neither
		}
		weights[name] = weight
	}
	if sum == 0 {
		return traffic.Route{}, fmt.Errorf("spec.backends: nobody gets anything")
	}
	split := traffic.Split{Candidate: traffic.Weight(weights[arms.Candidate] * int64(traffic.Full) / sum)}
	return traffic.Route{Arms: arms, Split: split}, nil
}

func (backends) Write(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	all := list(o)
	set := func(arm string, weight traffic.Weight) {
		i := slices.IndexFunc(all, func(b map[string]any) bool { return b["service"] == arm })
		if i < 0 {
			all, i = append(all, map[string]any{"service": arm}), len(all)
		}
		all[i]["weight"] = int64(weight / 1000)
	}
	for _, b := range all {
		b["weight"] = int64(0) // third parties get nothing while this route is in force
	}
	set(route.Arms.Stable, traffic.Full-route.Split.Candidate)
	set(route.Arms.Candidate, route.Split.Candidate)
	items := make([]any, len(all))
	for i := range all {
		items[i] = all[i]
	}
	return unstructured.SetNestedSlice(o.Object, items, "spec", "backends")
}

// list is a copy of the backends.
func list(o *unstructured.Unstructured) (all []map[string]any) {
	items, _, _ := unstructured.NestedSlice(o.Object, "spec", "backends")
	for _, item := range items {
		if b, ok := item.(map[string]any); ok {
			all = append(all, b)
		}
	}
	return all
}

var shares = schema.GroupVersionResource{Group: "platform.example.com", Version: "v1", Resource: "shares"}

// A router for a kind of one's own: four methods, of which two do the work.
func ExampleCodec() {
	client, err := dynamic.NewForConfig(cluster().Config()) // yours comes from a kubeconfig
	if err != nil {
		log.Fatal(err)
	}
	r, err := kube.New(client, kube.Object{Resource: shares, Namespace: "prod", Name: "web"}, backends{}, kube.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "web-a", Candidate: "web-b"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	if err := r.Apply(ctx, 1, route); err != nil {
		log.Fatal(err)
	}
	seen, err := r.Observe(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(seen.Route, "under fence", seen.Fence)
	fmt.Println("room:", seen.Room.Stable, "and", seen.Room.Candidate)
	fmt.Println(r.Apply(ctx, 0, route))
	// Output:
	// 5% to web-b, rest to web-a under fence 1
	// room: 100% and 25%
	// kube: apply to shares.platform.example.com prod/web: under fence 0 after 1: traffic: overtaken by a higher fence
}

// cluster has the shares of prod/web, all to web-a, with four pods of web-a and one of web-b.
func cluster() *kubefake.Server {
	s := kubefake.New()
	s.Add(shares, "Shares", "prod", "web", map[string]any{"spec": map[string]any{"backends": []any{
		map[string]any{"service": "web-a", "weight": 100, "zone": "north"},
	}}})
	s.Endpoints("prod", "web-a", 4, 4)
	s.Endpoints("prod", "web-b", 1, 1)
	return s
}
