// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
)

var (
	httproutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	grpcroutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"}
	services   = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	arms       = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
)

// declared is an HTTPRoute of three rules, of which two send to web-a.
const declared = `
metadata:
  labels: {team: shop}
spec:
  parentRefs:
  - {name: edge}
  - {name: inner, namespace: infra, sectionName: https}
  hostnames: [shop.example.com]
  rules:
  - name: static
    matches:
    - {path: {type: PathPrefix, value: /static}}
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {add: [{name: cache-control, value: public}]}
    backendRefs:
    - {name: static, port: 80}
  - name: api
    matches:
    - {path: {type: PathPrefix, value: /api}, headers: [{name: x-tenant, value: gold}]}
    - {path: {type: Exact, value: /graphql}, method: POST}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-api, value: "1"}]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: audit, port: 80}}
    timeouts: {request: 10s}
    backendRefs:
    - {name: web-a, port: 8080}
  - backendRefs:
    - {name: web-a, port: 80}
`

const declaredGRPC = `
spec:
  parentRefs:
  - {name: edge}
  rules:
  - name: health
    matches:
    - {method: {service: grpc.health.v1.Health}}
    backendRefs:
    - {name: health, port: 80}
  - backendRefs:
    - {name: web-a, port: 80}
`

// cluster has the routes prod/web, and Services with pods.
func cluster() *kubefake.Server {
	s := kubefake.New()
	s.Add(httproutes, "HTTPRoute", "prod", "web", kubefake.Parse(declared))
	s.Add(grpcroutes, "GRPCRoute", "prod", "web", kubefake.Parse(declaredGRPC))
	for _, name := range []string{"web-a", "web-b"} {
		s.Add(services, "Service", "prod", name, map[string]any{})
		s.Endpoints("prod", name, 4, 4)
	}
	return s
}

func target(resource schema.GroupVersionResource) kube.Object {
	return kube.Object{Resource: resource, Namespace: "prod", Name: "web"}
}

func routerOf(t *testing.T, s *kubefake.Server, o gateway.Options) *kube.Router {
	t.Helper()
	r, err := gateway.NewHTTPRoute(kubefake.Client(t, s.Config()), "prod", "web", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(percent float64) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Percent(percent)}}
}

func spec(s *kubefake.Server) any { return s.Object(httproutes, "prod", "web")["spec"] }

func rules(s *kubefake.Server) []map[string]any {
	o := unstructured.Unstructured{Object: s.Object(httproutes, "prod", "web")}
	return items(&o, "spec", "rules")
}

// items are a copy of a list of objects.
func items(o *unstructured.Unstructured, path ...string) (all []map[string]any) {
	list, _, _ := unstructured.NestedSlice(o.Object, path...)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func setItems(o *unstructured.Unstructured, all []map[string]any, path ...string) {
	list := []any{}
	for _, m := range all {
		list = append(list, m)
	}
	if err := unstructured.SetNestedSlice(o.Object, list, path...); err != nil {
		panic(err) // they are what items gave
	}
}

func edit(t *testing.T, s *kubefake.Server, manager string, change func(o *unstructured.Unstructured)) {
	t.Helper()
	err := kubefake.Edit(t.Context(), kubefake.Client(t, s.Config()), target(httproutes), manager, func(o *unstructured.Unstructured) error {
		change(o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// web says whether a rule is one of those that are turned.
func web(rule map[string]any) bool {
	name, _ := rule["name"].(string)
	refs, _ := rule["backendRefs"].([]any)
	if len(refs) == 0 || strings.HasPrefix(name, "rheostat") {
		return false
	}
	ref, _ := refs[0].(map[string]any)
	return ref["name"] == "web-a" || ref["name"] == "web-b"
}

// turn is what a tool does that knows nothing of this package.
func turn(o *unstructured.Unstructured, route traffic.Route) error {
	all := items(o, "spec", "rules")
	for _, rule := range all {
		if !web(rule) {
			continue
		}
		refs, _ := rule["backendRefs"].([]any)
		ref, _ := refs[0].(map[string]any)
		w := int64(route.Split.Candidate)
		rule["backendRefs"] = []any{
			map[string]any{"name": route.Arms.Stable, "port": ref["port"], "weight": 1_000_000 - w},
			map[string]any{"name": route.Arms.Candidate, "port": ref["port"], "weight": w},
		}
	}
	setItems(o, all, "spec", "rules")
	return nil
}

// forget removes what is the route's, and what the controller says of it.
func forget(o *unstructured.Unstructured) {
	unstructured.RemoveNestedField(o.Object, "status")
	var rest []map[string]any
	for _, rule := range items(o, "spec", "rules") {
		if name, _ := rule["name"].(string); strings.HasPrefix(name, "rheostat") {
			continue
		}
		if web(rule) {
			refs, _ := rule["backendRefs"].([]any)
			ref, _ := refs[0].(map[string]any)
			rule["backendRefs"] = []any{map[string]any{"name": "web-a", "port": ref["port"]}}
		}
		if filters, ok := rule["filters"].([]any); ok {
			kept := []any{}
			for _, f := range filters {
				if to, _, _ := unstructured.NestedString(f.(map[string]any), "requestMirror", "backendRef", "name"); to != "web-b" { //nolint:errcheck // it panics, which a test may
					kept = append(kept, f)
				}
			}
			if rule["filters"] = kept; len(kept) == 0 {
				delete(rule, "filters")
			}
		}
		rest = append(rest, rule)
	}
	setItems(o, rest, "spec", "rules")
}

// say writes what each parent says of a route that it has programmed, as change makes it.
func say(o *unstructured.Unstructured, change func(n int, parent map[string]any, conditions map[string]map[string]any)) {
	o.Object["status"] = kubefake.Parents(o)
	all := items(o, "status", "parents")
	for n, parent := range all {
		conditions := map[string]map[string]any{}
		for _, c := range parent["conditions"].([]any) { //nolint:errcheck // it panics, which a test may
			c, _ := c.(map[string]any)
			conditions[fmt.Sprint(c["type"])] = c
		}
		if change != nil {
			change(n, parent, conditions)
		}
		list := []any{}
		for _, c := range conditions {
			list = append(list, c)
		}
		parent["conditions"] = list
	}
	setItems(o, all, "status", "parents")
}
