// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// backends are what is behind the routes, whichever arms they have.
const backends = `
apiVersion: v1
kind: Service
metadata: {name: ARM, namespace: NS}
spec: {clusterIP: None, ports: [{port: 80}], selector: {app: ARM}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ARM, namespace: NS, labels: {kubernetes.io/service-name: ARM}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
`

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: ARM, namespace: NS, labels: {app: web, version: ARM}}
spec: {containers: [{name: web, image: "web:1"}]}
`

// inNamespace puts a VirtualService, and all that it names, into a namespace of its own.
func inNamespace(t *testing.T, c *kubetest.Cluster, version, name, text string) kube.Object {
	t.Helper()
	namespace := c.Namespace(t)
	fill := func(text, arm string) { c.Apply(t, strings.NewReplacer("ARM", arm, "NS", namespace).Replace(text)) }
	for _, arm := range []string{"web-a", "web-b", "web"} {
		fill(backends, arm)
	}
	for _, arm := range []string{"blue", "green"} {
		fill(pod, arm)
	}
	for _, x := range []struct{ kind, name, text string }{
		{"DestinationRule", "web", subsetsOfWeb},
		{"VirtualService", name, strings.ReplaceAll(text, ".prod.svc", "."+namespace+".svc")},
	} {
		o := unstructured.Unstructured{Object: object(x.text)}
		o.SetAPIVersion("networking.istio.io/" + version)
		o.SetKind(x.kind)
		o.SetName(x.name)
		o.SetNamespace(namespace)
		json, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		c.Apply(t, string(json))
	}
	resource := virtualservices
	resource.Version = version
	return kube.Object{Resource: resource, Namespace: namespace, Name: name}
}

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	c.InstallCRDs(t, kubetest.CRDs(t, "istio", "virtualservices", "destinationrules"))
	t.Run("hosts", func(t *testing.T) {
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			return subject(t, c.Config(), inNamespace(t, c, "v1", "web", declared), arms, istio.Options{})
		})
	})
	t.Run("subsets in v1beta1", func(t *testing.T) {
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			return subject(t, c.Config(), inNamespace(t, c, "v1beta1", "subsets", ofSubsets), blueGreen, istio.Options{Version: "v1beta1", Host: "web"})
		})
	})
	t.Run("what was declared comes back", func(t *testing.T) { comesBack(t, c) })
}

// comesBack turns a VirtualService by everything that there is, as the server validates it.
func comesBack(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	object := inNamespace(t, c, "v1", "web", declared)
	client := clientOf(t, c.Config())
	spec := func() any {
		o, err := kube.Live(client).Get(t.Context(), object)
		if err != nil {
			t.Fatal(err)
		}
		return o.Object["spec"]
	}
	r, err := istio.New(t.Context(), client, object.Namespace, "web", istio.Options{Total: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	before := spec()
	matches := at(5)
	matches.Split.Match = []traffic.Match{
		{Header: "X-Preview", Value: "yes"}, {Header: "x-tester"}, {Cookie: "ring", Value: `a.b"c`}, {Cookie: "beta"}, {Query: "preview", Value: "1"}, {Query: "beta"},
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
