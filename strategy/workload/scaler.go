// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// scaler is what scales a Deployment beside us. The zero scaler is nothing.
type scaler struct {
	kind schema.GroupVersionResource
	name string
	// field is where the least replicas stand.
	field string
	// least is what its owner wants at least, most the most; pinned what stands there now.
	least, most, pinned int64
	// ours says that the least is raised for a rollout.
	ours bool
	// fence is the one under which it was last written.
	fence uint64
}

// floor is what a scaler had before a rollout raised it.
type floor struct {
	Run   uint64 `json:"run"`
	Least *int64 `json:"least"`
}

// scalerOf finds the HorizontalPodAutoscaler of a Deployment, or the KEDA ScaledObject that
// made that one and would put back what is written to it.
func (x *Workload) scalerOf(ctx context.Context, deployment string) (scaler, error) {
	found, err := x.list(ctx, autoscalers, metav1.ListOptions{})
	if err != nil {
		return scaler{}, err
	}
	for _, o := range found {
		target := field[map[string]any](o.Object, "spec", "scaleTargetRef")
		if target["kind"] != "Deployment" || target["name"] != deployment {
			continue
		}
		for _, owner := range o.GetOwnerReferences() {
			if owner.Kind != "ScaledObject" {
				continue
			}
			keda, err := x.get(ctx, scaled, owner.Name)
			if err != nil {
				return scaler{}, err
			}
			if keda != nil {
				return scalerIn(scaled, keda, "minReplicaCount", "maxReplicaCount", 100), nil
			}
		}
		return scalerIn(autoscalers, &o, "minReplicas", "maxReplicas", 0), nil
	}
	return scaler{}, nil
}

// scalerIn reads one. most is what its API takes where nothing is said.
func scalerIn(kind schema.GroupVersionResource, o *unstructured.Unstructured, least, maximum string, most int64) scaler {
	s := scaler{kind: kind, name: o.GetName(), field: least, most: most, pinned: number(o.Object, "spec", least), fence: admitted(o)}
	if n := number(o.Object, "spec", maximum); n > 0 {
		s.most = n
	}
	s.least = s.pinned
	var had floor
	if json.Unmarshal([]byte(o.GetAnnotations()[kube.Original]), &had) == nil {
		s.ours, s.least = true, 0
		if had.Least != nil {
			s.least = *had.Least
		}
	}
	if kind == autoscalers {
		s.least = max(s.least, 1)
	}
	return s
}

// pin makes the scaler of a Deployment, if it has one, let it have at least need replicas
// while the run lasts.
func (x *Workload) pin(ctx context.Context, deployment string, need int64, r strategy.Ref) error {
	s, err := x.scalerOf(ctx, deployment)
	if err != nil || s.holds(need) {
		return err
	}
	return x.pinScaler(ctx, s, deployment, need, r)
}

// holds says that the scaler keeps need replicas, or that there is none.
func (s scaler) holds(need int64) bool { return s.name == "" || s.pinned >= need }

// pinScaler writes the fence even where nothing else is to be written: whoever was overtaken
// must not put back the least now.
func (x *Workload) pinScaler(ctx context.Context, s scaler, deployment string, need int64, r strategy.Ref) error {
	if s.most < need {
		return fmt.Errorf("%s %s lets Deployment %s have %d replicas at the most, and it needs %d: raise that", s.kind.Resource, s.name, deployment, s.most, need)
	}
	_, err := x.edit(ctx, s.kind, s.name, r.Fence, func(o *unstructured.Unstructured) error {
		if o.GetAnnotations()[kube.Original] == "" {
			had := floor{Run: r.Run}
			if n, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", s.field); ok && n != nil {
				least := number(o.Object, "spec", s.field)
				had.Least = &least
			}
			data, err := json.Marshal(had)
			if err != nil {
				return err
			}
			note(o, kube.Original, string(data))
		}
		return set(o.Object, max(need, number(o.Object, "spec", s.field)), "spec", s.field)
	})
	return err
}

// unpin gives the scaler of a Deployment back what it had.
func (x *Workload) unpin(ctx context.Context, deployment string, r strategy.Ref) error {
	s, err := x.scalerOf(ctx, deployment)
	if err != nil || !s.ours {
		return err
	}
	_, err = x.edit(ctx, s.kind, s.name, r.Fence, func(o *unstructured.Unstructured) error {
		var had floor
		if json.Unmarshal([]byte(o.GetAnnotations()[kube.Original]), &had) != nil {
			return nil
		}
		note(o, kube.Original, "")
		if had.Least == nil {
			unstructured.RemoveNestedField(o.Object, "spec", s.field)
			return nil
		}
		return set(o.Object, *had.Least, "spec", s.field)
	})
	return err
}

// noted is a change that sets an annotation, or removes it.
func noted(key, value string) func(*unstructured.Unstructured) error {
	return func(o *unstructured.Unstructured) error {
		note(o, key, value)
		return nil
	}
}
