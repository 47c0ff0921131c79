// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// app is what there is before the first release, beside what splits the traffic.
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
`

// splitters are the objects that -by can name.
var splitters = map[string]string{
	"service/shop": `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec: {ports: [{port: 80}], selector: {app: web}}
`,
	"ingress/web": `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: NS}
spec:
  ingressClassName: nginx
  rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`,
	"gateway/web": `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: NS}
spec: {parentRefs: [{name: public}], rules: [{backendRefs: [{name: web, port: 80}]}]}
`,
	"istio/web": `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: NS}
spec: {hosts: [shop.example.com], http: [{route: [{destination: {host: web}}]}]}
`,
	"traefik/web": `
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: web, namespace: NS}
spec: {weighted: {services: [{name: web, port: 80}]}}
`,
	"contour/web": `
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: web, namespace: NS}
spec: {virtualhost: {fqdn: shop.example.com}, routes: [{services: [{name: web, port: 80}]}]}
`,
}

// shop is the app in a namespace of its own.
type shop struct {
	cluster       *kubetest.Cluster
	client        dynamic.Interface
	namespace, by string
}

func newShop(t *testing.T, by string) shop {
	t.Helper()
	cluster := kubetest.Shared(t)
	cluster.InstallCRDs(t, kubetest.CRDs(t, "gateway", "httproutes"), kubetest.CRDs(t, "istio", "virtualservices", "destinationrules"),
		kubetest.CRDs(t, "traefik", "traefikservices"), kubetest.CRDs(t, "contour", "httpproxies"))
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	s := shop{cluster: cluster, client: client, namespace: cluster.Namespace(t), by: by}
	cluster.Apply(t, strings.ReplaceAll(app+splitters[by], "NS", s.namespace))
	kubefake.Control(t, client, schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}, s.namespace, kubefake.Parents)
	kubefake.Control(t, client, schema.GroupVersionResource{Group: "projectcontour.io", Version: "v1", Resource: "httpproxies"}, s.namespace, kubefake.Valid)
	return s
}

// release runs the command, and tells what it printed where it went wrong.
func (s shop) release(ctx context.Context, t *testing.T, from, to string, out io.Writer) error {
	t.Helper()
	var printed bytes.Buffer
	began := time.Now()
	err := run(ctx, []string{
		"-kubeconfig", s.cluster.Kubeconfig(), "-n", s.namespace, "-by", s.by, "-app", "web", "-image", "web",
		"-from", from, "-to", to, "-hold", "100ms", "-drain", "1s", "-lag", "1ms",
	}, io.MultiWriter(&printed, out))
	t.Logf("%s to %s in %v: %v", from, to, time.Since(began).Round(time.Second), err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s to %s printed:\n%s", from, to, &printed)
		}
	})
	return err
}

// deployed are the Deployments: name, replicas and image.
func (s shop) deployed(t *testing.T) (said string) {
	t.Helper()
	deployments := s.client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(s.namespace)
	for _, name := range []string{"web", "web-candidate"} {
		o, err := deployments.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		first, _ := containers[0].(map[string]any)
		said += fmt.Sprintf("%s %d×%v ", name, replicas, first["image"])
	}
	return strings.TrimSpace(said)
}

// TestAVersionIsReleasedAndABrokenOneIsNot carries both out on a real control plane, by each
// kind of object.
func TestAVersionIsReleasedAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	for _, by := range slices.Sorted(maps.Keys(splitters)) {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, by)
			if err := s.release(t.Context(), t, "v1", "v2", io.Discard); err != nil {
				t.Fatal(err)
			}
			if got, want := s.deployed(t), "web 4×web:v2 web-candidate 0×web:v2"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			var outcome *strategy.Outcome
			if err := s.release(t.Context(), t, "v2", "broken", io.Discard); !errors.As(err, &outcome) || outcome.Phase != strategy.RolledBack {
				t.Errorf("%v, want that it was rolled back", err)
			}
			if got, want := s.deployed(t), "web 4×web:v2 web-candidate 0×web:broken"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// interrupting ends a context as soon as something is printed.
type interrupting struct {
	at   string
	stop context.CancelFunc
}

func (i interrupting) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(i.at)) {
		i.stop()
	}
	return len(p), nil
}

func TestTheSameCommandGoesOn(t *testing.T) {
	t.Parallel()
	s := newShop(t, "ingress/web")
	ctx, stop := context.WithCancel(t.Context())
	err := s.release(ctx, t, "v1", "v2", interrupting{`step=25%`, stop})
	if err == nil || !strings.Contains(err.Error(), "the same command goes on") {
		t.Fatalf("%v, want that it was interrupted", err)
	}
	var out bytes.Buffer
	if err := s.release(t.Context(), t, "v1", "v2", &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "v2: promoted\n") || strings.Contains(out.String(), "run started") || strings.Contains(out.String(), "the way home:") {
		t.Errorf("it began anew, or previewed what is under way:\n%s", &out)
	}
	if got, want := s.deployed(t), "web 4×web:v2 web-candidate 0×web:v2"; got != want {
		t.Errorf("%s, want %s", got, want)
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
