// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Control plays the controller of a kind of objects in a namespace, on this API server or on
// a real one: of each generation of each of them it says that it was taken up, in the words
// of status. It ends with the test.
func Control(t *testing.T, client dynamic.Interface, resource schema.GroupVersionResource, namespace string, status func(o *unstructured.Unstructured) map[string]any) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		said, api := map[types.UID]int64{}, client.Resource(resource).Namespace(namespace)
		for {
			err := answer(ctx, api, said, status)
			select {
			case <-ctx.Done():
				ended <- err
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && t.Failed() {
			t.Logf("the controller of %s in %s: %v", resource.Resource, namespace, err)
		}
	})
}

// answer writes the status of what has changed since the last time.
func answer(ctx context.Context, api dynamic.ResourceInterface, said map[types.UID]int64, status func(o *unstructured.Unstructured) map[string]any) error {
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var failed error
	for _, o := range list.Items {
		if said[o.GetUID()] == o.GetGeneration() {
			continue
		}
		o.Object["status"] = status(&o)
		if _, err := api.UpdateStatus(ctx, &o, metav1.UpdateOptions{FieldManager: "controller"}); err != nil {
			failed = errors.Join(failed, err) // the next time
			continue
		}
		said[o.GetUID()] = o.GetGeneration()
	}
	return failed
}

// Parents is the status of a route of the Gateway API that each of its parents has programmed.
func Parents(o *unstructured.Unstructured) map[string]any {
	refs, _, _ := unstructured.NestedSlice(o.Object, "spec", "parentRefs")
	parents := make([]any, len(refs))
	for i, ref := range refs {
		parents[i] = map[string]any{
			"parentRef": ref, "controllerName": "example.com/gateway",
			"conditions": []any{condition(o, "Accepted"), condition(o, "ResolvedRefs")},
		}
	}
	return map[string]any{"parents": parents}
}

// Valid is the status of an HTTPProxy that Contour has taken.
func Valid(o *unstructured.Unstructured) map[string]any {
	return map[string]any{"currentStatus": "valid", "conditions": []any{condition(o, "Valid")}}
}

// condition is one that holds of what an object says now.
func condition(o *unstructured.Unstructured, kind string) map[string]any {
	return map[string]any{
		"type": kind, "status": "True", "reason": kind, "message": "",
		"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": o.GetGeneration(),
	}
}
