// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

const app = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 4
  progressDeadlineSeconds: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "web:v1"}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {ports: [{port: 80}], selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: web-candidate, namespace: NS}
spec: {ports: [{port: 80}], selector: {app: web-candidate}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: NS}
spec:
  ingressClassName: nginx
  rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec: {ports: [{port: 80}], selector: {app: web}}
`

// TestAVersionIsReleased carries it out on a real control plane.
func TestAVersionIsReleased(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"service/shop", "ingress/web"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			namespace := cluster.Namespace(t)
			cluster.Apply(t, strings.ReplaceAll(app, "NS", namespace))
			release := func(from, to string) error {
				var out strings.Builder
				err := run(t.Context(), []string{
					"-kubeconfig", cluster.Kubeconfig(), "-n", namespace, "-by", by, "-app", "web", "-image", "web",
					"-from", from, "-to", to, "-hold", "100ms", "-drain", "1s", "-lag", "1ms",
				}, &out)
				t.Logf("%s to %s: %v\n%s", from, to, err, out.String())
				return err
			}
			deployed := func(want string) {
				t.Helper()
				said := ""
				for _, name := range []string{"web", "web-candidate"} {
					o, err := client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
					if err != nil {
						t.Fatal(err)
					}
					replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
					containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
					first, _ := containers[0].(map[string]any)
					said += fmt.Sprintf("%s %d×%v ", name, replicas, first["image"])
				}
				if said != want {
					t.Errorf("%s, want %s", said, want)
				}
			}
			if err := release("v1", "v2"); err != nil {
				t.Fatal(err)
			}
			deployed("web 4×web:v2 web-candidate 0×web:v2 ")
		})
	}
}

func TestWhatCannotBeMeantIsSaid(t *testing.T) {
	t.Parallel()
	all := []string{"-app", "web", "-image", "web", "-from", "v1", "-to", "v2"}
	for want, args := range map[string][]string{
		"-by is missing":                      all,
		"-to is missing":                      {"-by", "service/web", "-app", "web", "-image", "web", "-from", "v1"},
		"-by mesh/web: want service, ingress": append([]string{"-by", "mesh/web"}, all...),
	} {
		c, err := parse(args)
		if err == nil {
			_, err = c.router(t.Context(), nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
