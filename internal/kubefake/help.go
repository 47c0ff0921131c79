// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
)

// Client is a client of an API server, this one or a real one.
func Client(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Parse is an object, or a part of one, that a test has as YAML.
func Parse(text string) map[string]any {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		panic(err) // it stands in a test
	}
	return o
}

// Apply makes a route the one in force.
func Apply(t *testing.T, r traffic.Router, fence uint64, route traffic.Route) {
	t.Helper()
	if err := r.Apply(t.Context(), fence, route); err != nil {
		t.Fatal(err)
	}
}

// Observe is what is in force.
func Observe(t *testing.T, r traffic.Router) traffic.Seen {
	t.Helper()
	seen, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// backends is a Service and what is behind it.
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

// Namespace is a new namespace of a real control plane in which only an API server runs,
// with these Services and two endpoints for each.
func Namespace(t *testing.T, c *kubetest.Cluster, services ...string) string {
	t.Helper()
	namespace := c.Namespace(t)
	for _, name := range services {
		c.Apply(t, strings.NewReplacer("ARM", name, "NS", namespace).Replace(backends))
	}
	return namespace
}

// Make puts an object that a test has as YAML onto a real control plane.
func Make(t *testing.T, c *kubetest.Cluster, version, kind, namespace, name, text string) {
	t.Helper()
	o := unstructured.Unstructured{Object: Parse(text)}
	o.SetAPIVersion(version)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	json, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(json))
}
