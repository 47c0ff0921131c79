// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
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
		kubetest.Eventually(t, fmt.Sprintf("run %d with %s %s", run, key, want), func(ctx context.Context) error {
			o, err := rollouts.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			n, _, _ := unstructured.NestedInt64(o.Object, "status", "run")
			if got, _, _ := unstructured.NestedString(o.Object, "status", key); got != want || n != run {
				return fmt.Errorf("the status is %v", o.Object["status"])
			}
			return nil
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
	kubetest.Eventually(t, "the end of the Rollout", func(ctx context.Context) error {
		list, err := rollouts.List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = errors.New("it is still there")
		}
		return err
	})
	if got := serves(t.Context()); got != "v2" {
		t.Errorf("%s serves after the rollout of v1 was deleted", got)
	}
}
