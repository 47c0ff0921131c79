// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// status is what kubectl get rollouts shows.
type status struct {
	Run, Phase, Step, Weight, Candidate, Conditions any
}

func (s *shop) status(ctx context.Context, name string) (status, error) {
	object, err := s.get(ctx, rollouts, name)
	if err != nil {
		return status{}, err
	}
	have, _, _ := unstructured.NestedMap(object.Object, "status")
	return status{have["run"], have["phase"], have["step"], have["weight"], have["candidate"], have["conditions"]}, nil
}

// until waits until a Rollout's status is as wanted; nil stands for anything.
func (s *shop) until(t *testing.T, name string, want status) {
	t.Helper()
	kubetest.Eventually(t, fmt.Sprintf("%s as %+v", name, want), func(ctx context.Context) error {
		have, err := s.status(ctx, name)
		if err != nil {
			return err
		}
		for _, pair := range [][2]any{{want.Run, have.Run}, {want.Phase, have.Phase}, {want.Step, have.Step}, {want.Weight, have.Weight}, {want.Candidate, have.Candidate}} {
			if pair[0] != nil && pair[0] != pair[1] {
				return fmt.Errorf("it is %+v", have)
			}
		}
		return nil
	})
}

// serves checks what the two Deployments of a Rollout have in the end.
func (s *shop) serves(t *testing.T, name, want string) {
	t.Helper()
	var said []string
	for _, side := range []string{"-blue", "-green"} {
		o, err := s.get(t.Context(), deployments, name+side)
		if err != nil {
			t.Fatal(err)
		}
		replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
		available, _, _ := unstructured.NestedInt64(o.Object, "status", "availableReplicas")
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		first, _ := containers[0].(map[string]any)
		_, tag, _ := strings.Cut(fmt.Sprint(first["image"]), ":")
		said = append(said, fmt.Sprintf("%d/%d %s", available, replicas, tag))
	}
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("Deployments of %s: %s, want %s", name, got, want)
	}
}

// share is what the HTTPRoute sends to a Service.
func (s *shop) share(t *testing.T, route, service string) (weight int64) {
	t.Helper()
	o, err := s.get(t.Context(), httproutes, route)
	if err != nil {
		t.Fatal(err)
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	rule, _ := rules[0].(map[string]any)
	refs, _ := rule["backendRefs"].([]any)
	for _, ref := range refs {
		if ref, ok := ref.(map[string]any); ok && ref["name"] == service {
			weight, _ = ref["weight"].(int64)
		}
	}
	return weight
}

// acted is nil when the controller has acted upon the spec as it is.
func (s *shop) acted(ctx context.Context, name string) error {
	o, err := s.get(ctx, rollouts, name)
	if err != nil {
		return err
	}
	if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); seen != o.GetGeneration() {
		return fmt.Errorf("%s: generation %d of %d is observed", name, seen, o.GetGeneration())
	}
	return nil
}
