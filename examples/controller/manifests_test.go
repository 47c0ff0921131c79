// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// rights checks that the Role grants what was used, and that nothing more is granted.
func (s *shop) rights(t *testing.T, replicas []*replica) {
	t.Helper()
	used, denied := map[string]bool{}, map[string]bool{}
	for _, r := range replicas {
		r.mu.Lock()
		maps.Copy(used, r.used)
		maps.Copy(denied, r.denied)
		r.mu.Unlock()
	}
	if len(denied) > 0 {
		t.Errorf("the Role lacks %v", slices.Sorted(maps.Keys(denied)))
	}
	if t.Failed() {
		return // not all was done that has to be granted
	}
	granted := map[string]bool{}
	for _, object := range s.apply(t, read(t, "manifests/rbac.yaml")) {
		rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
		for _, rule := range rules {
			texts := func(key string) []string {
				list, _, _ := unstructured.NestedStringSlice(rule.(map[string]any), key) //nolint:errcheck // a panic tells as much
				return list
			}
			for _, group := range texts("apiGroups") {
				for _, resource := range texts("resources") {
					for _, verb := range texts("verbs") {
						granted[verb+" "+group+"/"+resource] = true
					}
				}
			}
		}
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(granted)), slices.Sorted(maps.Keys(used))); d != "" {
		t.Errorf("granted (-) and used (+):\n%s", d)
	}
}

// manifest applies the Deployment where only what is restricted may run, waits for its pods,
// and returns their container.
func (s *shop) manifest(t *testing.T) map[string]any {
	t.Helper()
	s.cluster.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+s.namespace+"-system, labels: {pod-security.kubernetes.io/enforce: restricted}}}")
	into := func(name string) string {
		return strings.ReplaceAll(read(t, name), "namespace: shop", "namespace: "+s.namespace+"-system")
	}
	s.cluster.Apply(t, into("manifests/rbac.yaml"))
	applied := s.cluster.Apply(t, into("manifests/deployment.yaml"))[0]
	kubetest.Eventually(t, "the pods of the manifest", func(ctx context.Context) error {
		o, err := s.client.Resource(deployments).Namespace(s.namespace+"-system").Get(ctx, applied.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if available, _, _ := unstructured.NestedInt64(o.Object, "status", "availableReplicas"); available != 2 {
			return fmt.Errorf("the status is %v", o.Object["status"])
		}
		return nil
	})
	containers, _, _ := unstructured.NestedSlice(applied.Object, "spec", "template", "spec", "containers")
	container, _ := containers[0].(map[string]any)
	return container
}

// probe asks a replica what its manifest has the kubelet ask.
func probe(t *testing.T, address string, container map[string]any) {
	t.Helper()
	for _, kind := range []string{"livenessProbe", "readinessProbe"} {
		path, _, _ := unstructured.NestedString(container, kind, "httpGet", "path")
		kubetest.Eventually(t, "what the "+kind+" asks", func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return errors.New(response.Status)
			}
			return nil
		})
	}
}
