// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

const (
	// resting is the annotation with the time since when a Deployment counts for nothing.
	resting = "rheostat.dev/resting"
	// sourceNote is the annotation of a copied ConfigMap or Secret that names the original.
	sourceNote = "rheostat.dev/source"
	// copyLabel is on every copy.
	copyLabel = "rheostat.dev/copy"
)

// maxRaces is how often an object is read anew because somebody else wrote it meanwhile.
const maxRaces = 5

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	scaled      = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	budgets     = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

func (x *Workload) api(kind schema.GroupVersionResource) dynamic.ResourceInterface {
	return x.client.Resource(kind).Namespace(x.o.Namespace)
}

// get is an object, nil where there is none.
func (x *Workload) get(ctx context.Context, kind schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	o, err := x.api(kind).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s %s: %w", kind.Resource, name, err)
	}
	return o, nil
}

func (x *Workload) list(ctx context.Context, kind schema.GroupVersionResource, o metav1.ListOptions) ([]unstructured.Unstructured, error) {
	found, err := x.api(kind).List(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	return found.Items, nil
}

// edit reads an object, lets change it, and writes the difference under the fence and the
// resourceVersion that was read; it is the object as it then is. A reply that was lost, or
// another writer, is answered by reading again. What is as it should be is not written.
func (x *Workload) edit(
	ctx context.Context, kind schema.GroupVersionResource, name string, fence uint64, change func(o *unstructured.Unstructured) error,
) (*unstructured.Unstructured, error) {
	fail := func(err error) error { return fmt.Errorf("change %s %s: %w", kind.Resource, name, err) }
	for range maxRaces {
		o, err := x.api(kind).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fail(err)
		}
		if err := admit(o, fence); err != nil {
			return nil, fail(err)
		}
		next := o.DeepCopy()
		if err := change(next); err != nil {
			return nil, fail(err)
		}
		note(next, kube.Fence, strconv.FormatUint(fence, 10))
		patch := difference(o.Object, next.Object)
		if len(patch) == 0 {
			return o, nil
		}
		written, err := x.write(ctx, kind, o, patch)
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, fail(err)
		}
		return written, nil
	}
	return nil, fail(fmt.Errorf("somebody else wrote it %d times: %w", maxRaces, traffic.ErrConflict))
}

// write sends a merge patch for an object as it was read: with its resourceVersion, so that
// the API server answers a race with 409.
func (x *Workload) write(
	ctx context.Context, kind schema.GroupVersionResource, read *unstructured.Unstructured, patch map[string]any,
) (*unstructured.Unstructured, error) {
	meta := maps.Clone(field[map[string]any](patch, "metadata"))
	if meta == nil {
		meta = map[string]any{}
	}
	meta["resourceVersion"] = read.GetResourceVersion()
	patch = maps.Clone(patch)
	patch["metadata"] = meta
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w", err)
	}
	return x.api(kind).Patch(ctx, read.GetName(), types.MergePatchType, data, metav1.PatchOptions{FieldManager: kube.Manager})
}

// admit refuses a fence below the one that the object was last written under.
func admit(o *unstructured.Unstructured, fence uint64) error {
	text := o.GetAnnotations()[kube.Fence]
	if text == "" {
		return nil
	}
	last, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("annotation %s is %q: remove it if no rollout is under way", kube.Fence, text)
	}
	if fence < last {
		return fmt.Errorf("under fence %d after %d (remove annotation %s if the rollouts' store was lost): %w", fence, last, kube.Fence, traffic.ErrFenced)
	}
	return nil
}

// note sets an annotation, or removes it if value is empty.
func note(o *unstructured.Unstructured, key, value string) {
	notes := o.GetAnnotations()
	if value == "" {
		delete(notes, key)
	} else {
		if notes == nil {
			notes = map[string]string{}
		}
		notes[key] = value
	}
	o.SetAnnotations(notes)
}

// difference is the merge patch that makes to out of from: lists as a whole, null for what
// goes.
func difference(from, to map[string]any) map[string]any {
	patch := map[string]any{}
	for key := range from {
		if _, ok := to[key]; !ok {
			patch[key] = nil
		}
	}
	for key, want := range to {
		have, ok := from[key]
		if ok && reflect.DeepEqual(have, want) {
			continue
		}
		inner, isMap := want.(map[string]any)
		before, wasMap := have.(map[string]any)
		switch {
		case isMap && wasMap:
			if d := difference(before, inner); len(d) > 0 {
				patch[key] = d
			}
		default:
			patch[key] = want
		}
	}
	return patch
}

// field is what is at the path, the zero T where nothing of that type is.
func field[T any](o map[string]any, path ...string) T {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	t, _ := v.(T)
	return t
}

// number is an integer at the path, 0 where there is none.
func number(o map[string]any, path ...string) int64 {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// set puts a value where the path says. It fails only where something else than a map is
// in the way.
func set(o map[string]any, value any, path ...string) error {
	return unstructured.SetNestedField(o, value, path...)
}
