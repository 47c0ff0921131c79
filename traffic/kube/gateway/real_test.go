// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// inNamespace puts a route and its backends into a namespace of their own.
func inNamespace(t *testing.T, c *kubetest.Cluster, kind, text string) (namespace string) {
	t.Helper()
	namespace = kubefake.Namespace(t, c, arms.Stable, arms.Candidate)
	kubefake.Make(t, c, "gateway.networking.k8s.io/v1", kind, namespace, "web", text)
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
	client := kubefake.Client(t, c.Config())
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
		kubefake.Apply(t, r, uint64(i+1), route)
		if seen := kubefake.Observe(t, r); !seen.Route.Equal(route) || seen.Fence != uint64(i+1) {
			t.Errorf("seen is %+v, want %+v", seen, route)
		}
	}
	kubefake.Apply(t, r, 9, at(0))
	if d := cmp.Diff(before, spec()); d != "" {
		t.Errorf("at the end (-declared +is):\n%s", d)
	}
}
