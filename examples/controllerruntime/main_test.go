// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// web is two versions that run side by side, and a Rollout from one to the other.
const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web, version: v1}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: web, image: "web:v1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v2, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web, version: v2}}
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: web, image: "web:v2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {ports: [{port: 80}], selector: {app: web, version: v1}}
---
apiVersion: rheostat.dev/v1alpha1
kind: Rollout
metadata: {name: web, namespace: NS}
spec:
  stable: {version: v1}
  candidate: {version: v2}
  plan: {lanes: [{name: web, steps: [{name: switch, set: [{target: web, split: {candidate: "100%"}}], hold: 1h}]}]}
`

// TestAManagerReleasesAVersion has one promoted by a word in spec.intent, and the next go
// home because its object is deleted.
func TestAManagerReleasesAVersion(t *testing.T) {
	log.SetLogger(zap.New(zap.WriteTo(t.Output())))
	cluster := kubetest.Shared(t)
	cluster.InstallCRDs(t, kube.CRD())
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	m, err := manager.New(cluster.Config(), manager.Options{Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := add(m, cluster.Config(), strategy.Config{Poll: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the manager: %v", err)
		}
	})

	namespace := cluster.Namespace(t)
	cluster.Apply(t, strings.ReplaceAll(web, "NS", namespace))
	rollouts := client.Resource(kube.Rollouts).Namespace(namespace)
	patch := func(text string) {
		t.Helper()
		if _, err := rollouts.Patch(t.Context(), "web", types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(run int64, key, want string) {
		t.Helper()
		eventually(t, func(ctx context.Context) string {
			o, err := rollouts.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			n, _, _ := unstructured.NestedInt64(o.Object, "status", "run")
			if got, _, _ := unstructured.NestedString(o.Object, "status", key); got != want || n != run {
				return "want " + key + " " + want + ": " + fmt.Sprint(o.Object["status"])
			}
			return ""
		})
	}
	serves := func(ctx context.Context) string {
		o, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		version, _, _ := unstructured.NestedString(o.Object, "spec", "selector", "version")
		return version
	}
	until(1, "weight", "100%")
	patch(`{"spec":{"intent":{"run":1,"promote":true,"by":"admin"}}}`)
	until(1, "phase", "promoted")
	if got := serves(t.Context()); got != "v2" {
		t.Errorf("%s serves after the promotion of v2", got)
	}

	patch(`{"spec":{"candidate":{"version":"v1"}}}`)
	until(2, "weight", "100%")
	if err := rollouts.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) string {
		if list, err := rollouts.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
			return fmt.Sprint("it is not gone", err)
		}
		return ""
	})
	if got := serves(t.Context()); got != "v2" {
		t.Errorf("%s serves after the rollout of v1 was deleted", got)
	}
}

// eventually asks until there is nothing left to say.
func eventually(t *testing.T, ask func(ctx context.Context) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	said := ""
	for {
		if now := ask(ctx); now == "" {
			return
		} else if ctx.Err() == nil {
			said = now
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after two minutes: %s", said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
