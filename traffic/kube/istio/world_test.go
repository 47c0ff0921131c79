// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
)

var (
	virtualservices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationrules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	pods             = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	arms             = traffic.Arms{Stable: "web-a", Candidate: "web-b"}
	blueGreen        = traffic.Arms{Stable: "blue", Candidate: "green"}
)

// declared is a VirtualService of which three routes send to web-a.
const declared = `
metadata:
  labels: {team: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge]
  http:
  - name: static
    match:
    - {uri: {prefix: /static}}
    route:
    - destination: {host: static}
  - name: api
    match:
    - {uri: {prefix: /api}, headers: {x-tenant: {exact: gold}}}
    - {uri: {exact: /graphql}, method: {exact: POST}}
    rewrite: {uri: /}
    timeout: 10s
    retries: {attempts: 2, perTryTimeout: 2s}
    mirrors:
    - destination: {host: audit}
    route:
    - destination: {host: web-a, port: {number: 8080}}
      headers: {response: {add: {x-served-by: web}}}
  - match:
    - {uri: {prefix: /old}}
    redirect: {uri: /}
  - route:
    - destination: {host: web-a.prod.svc.cluster.local}
  tcp:
  - match:
    - {port: 9000}
    route:
    - destination: {host: web-a, port: {number: 9000}}
  tls:
  - match:
    - {port: 443, sniHosts: [other.example.com]}
    route:
    - destination: {host: other}
`

// ofSubsets is a VirtualService between subsets of web.
const ofSubsets = `
spec:
  hosts: [web]
  http:
  - route:
    - destination: {host: web, subset: blue}
`

const subsetsOfWeb = `
spec:
  host: web
  trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}
  subsets:
  - {name: blue, labels: {version: blue}}
  - {name: green, labels: {version: green}}
`

// cluster has the VirtualServices prod/web and prod/subsets, and all that they name.
func cluster() *kubefake.Server {
	s := kubefake.New()
	s.Add(virtualservices, "VirtualService", "prod", "web", kubefake.Parse(declared))
	s.Add(virtualservices, "VirtualService", "prod", "subsets", kubefake.Parse(ofSubsets))
	s.Add(destinationrules, "DestinationRule", "prod", "web", kubefake.Parse(subsetsOfWeb))
	s.Add(services, "Service", "prod", "web", kubefake.Parse("spec: {selector: {app: web}}"))
	for _, name := range []string{"web-a", "web-b"} {
		s.Add(services, "Service", "prod", name, map[string]any{})
		s.Endpoints("prod", name, 4, 4)
	}
	for pod, version := range map[string]string{"blue-0": "blue", "blue-1": "blue", "green-0": "green"} {
		s.Add(pods, "Pod", "prod", pod, kubefake.Parse(`
metadata: {labels: {app: web, version: `+version+`}}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
`))
	}
	return s
}

func target(name string) kube.Object {
	return kube.Object{Resource: virtualservices, Namespace: "prod", Name: name}
}

func routerOf(t *testing.T, s *kubefake.Server, name string, o istio.Options) *istio.Router {
	t.Helper()
	r, err := istio.New(t.Context(), kubefake.Client(t, s.Config()), "prod", name, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(percent float64) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Percent(percent)}}
}

func spec(s *kubefake.Server, name string) map[string]any {
	have, _ := s.Object(virtualservices, "prod", name)["spec"].(map[string]any)
	return have
}

// wants holds the spec of prod/web to a text.
func wants(t *testing.T, s *kubefake.Server, what, text string) {
	t.Helper()
	if d := cmp.Diff(kubefake.Parse(text), normal(spec(s, "web"))); d != "" {
		t.Errorf("%s (-want +is):\n%s", what, d)
	}
}

// normal has numbers as YAML reads them.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case int64:
		return float64(v)
	}
	return v
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
	err := kubefake.Edit(t.Context(), kubefake.Client(t, s.Config()), target("web"), manager, func(o *unstructured.Unstructured) error {
		change(o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// each calls back for every route that is turned, and leaves out those of the router.
func each(o *unstructured.Unstructured, change func(route map[string]any, first map[string]any)) {
	for _, list := range []string{"http", "tcp", "tls"} {
		var rest []map[string]any
		for _, route := range items(o, "spec", list) {
			if name, _ := route["name"].(string); strings.HasPrefix(name, "rheostat") {
				continue
			}
			rest = append(rest, route)
			to, _ := route["route"].([]any)
			if len(to) == 0 {
				continue
			}
			first, _ := to[0].(map[string]any)
			d, _ := first["destination"].(map[string]any)
			host, _ := d["host"].(string)
			if strings.HasPrefix(host, "web") {
				change(route, first)
			}
		}
		if rest != nil {
			setItems(o, rest, "spec", list)
		}
	}
}

// turn is what a tool does that knows nothing of this package.
func turn(o *unstructured.Unstructured, route traffic.Route) error {
	each(o, func(r, first map[string]any) {
		d, _ := first["destination"].(map[string]any)
		to := func(arm string, w traffic.Weight) any {
			next := map[string]any{"host": arm}
			if d["subset"] != nil {
				next = map[string]any{"host": "web", "subset": arm}
			}
			if d["port"] != nil {
				next["port"] = d["port"]
			}
			out := map[string]any{"destination": next, "weight": int64(w / (traffic.Full / 100))}
			if first["headers"] != nil {
				out["headers"] = first["headers"]
			}
			return out
		}
		r["route"] = []any{to(route.Arms.Stable, traffic.Full-route.Split.Candidate), to(route.Arms.Candidate, route.Split.Candidate)}
	})
	return nil
}

// forget removes what is the route's.
func forget(o *unstructured.Unstructured) {
	each(o, func(r, first map[string]any) {
		if d, _ := first["destination"].(map[string]any); d["subset"] == nil {
			d["host"] = "web"
		} else {
			d["subset"] = "any"
		}
		delete(first, "weight")
		r["route"] = []any{first}
		delete(r, "mirror")
		delete(r, "mirrorPercentage")
		mirrors, ok := r["mirrors"].([]any)
		if ok && len(mirrors) > 1 {
			r["mirrors"] = mirrors[:1]
		}
	})
}
