// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: ARM, namespace: NS, labels: {app: web, version: ARM}}
spec: {containers: [{name: web, image: "web:1"}]}
`

// inNamespace puts a VirtualService, and all that it names, into a namespace of its own.
func inNamespace(t *testing.T, c *kubetest.Cluster, version, name, text string) kube.Object {
	t.Helper()
	namespace := kubefake.Namespace(t, c, "web-a", "web-b", "web")
	for _, arm := range []string{"blue", "green"} {
		c.Apply(t, strings.NewReplacer("ARM", arm, "NS", namespace).Replace(pod))
	}
	kubefake.Make(t, c, "networking.istio.io/"+version, "DestinationRule", namespace, "web", subsetsOfWeb)
	kubefake.Make(t, c, "networking.istio.io/"+version, "VirtualService", namespace, name, strings.ReplaceAll(text, ".prod.svc", "."+namespace+".svc"))
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
	client := kubefake.Client(t, c.Config())
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
