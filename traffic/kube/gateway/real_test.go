// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// backends are the Services and what is behind them.
const backends = `
apiVersion: v1
kind: Service
metadata: {name: ARM, namespace: NS}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ARM, namespace: NS, labels: {kubernetes.io/service-name: ARM}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
`

// inNamespace puts a route and its backends into a namespace of their own.
func inNamespace(t *testing.T, c *kubetest.Cluster, kind, text string) (namespace string) {
	t.Helper()
	namespace = c.Namespace(t)
	for _, arm := range []string{arms.Stable, arms.Candidate} {
		c.Apply(t, strings.NewReplacer("ARM", arm, "NS", namespace).Replace(backends))
	}
	o := unstructured.Unstructured{Object: object(text)}
	o.SetAPIVersion("gateway.networking.k8s.io/v1")
	o.SetKind(kind)
	o.SetName("web")
	o.SetNamespace(namespace)
	json, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(json))
	return namespace
}

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	c.InstallCRDs(t, kubetest.CRDs(t, "gateway", "httproutes", "grpcroutes"))
	for _, k := range []struct {
		kind, text string
		resource   schema.GroupVersionResource
		construct  constructor
	}{
		{"HTTPRoute", declared, httproutes, gateway.NewHTTPRoute},
		{"GRPCRoute", declaredGRPC, grpcroutes, gateway.NewGRPCRoute},
	} {
		t.Run(k.kind, func(t *testing.T) {
			traffictest.Run(t, func(t *testing.T) traffictest.Subject {
				return subject(t, c.Config(), k.resource, inNamespace(t, c, k.kind, k.text), k.construct)
			})
		})
	}
	t.Run("what was declared comes back", func(t *testing.T) { comesBack(t, c) })
}

// comesBack turns a route by everything that there is, as the server validates it.
func comesBack(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	namespace := inNamespace(t, c, "HTTPRoute", declared)
	client := clientOf(t, c.Config())
	spec := func() any {
		o, err := kube.Live(client).Get(t.Context(), kube.Object{Resource: httproutes, Namespace: namespace, Name: "web"})
		if err != nil {
			t.Fatal(err)
		}
		return o.Object["spec"]
	}
	r, err := gateway.NewHTTPRoute(client, namespace, "web", gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := spec()
	matches := at(5)
	matches.Split.Match = []traffic.Match{
		{Header: "X-Preview", Value: "yes"}, {Header: "X-Tester"}, {Cookie: "ring", Value: `a.b"c`}, {Cookie: "beta"}, {Query: "preview", Value: "1"}, {Query: "beta"},
	}
	mirror := at(0)
	mirror.Split.Mirror = traffic.Percent(0.5)
	for i, route := range []traffic.Route{matches, mirror, at(0.0001), at(99.9999), at(100)} {
		apply(t, r, uint64(i+1), route)
		if seen := observe(t, r); !seen.Route.Equal(route) || seen.Fence != uint64(i+1) {
			t.Errorf("seen is %+v, want %+v", seen, route)
		}
	}
	apply(t, r, 9, at(0))
	if d := cmp.Diff(before, spec()); d != "" {
		t.Errorf("at the end (-declared +is):\n%s", d)
	}
}
