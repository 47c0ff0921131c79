// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Reader reads objects: from the API server, as [Live] does, or from the cache of an
// informer. What it returns belongs to it, and is not changed.
type Reader interface {
	// Get is one object. One that is not there is an error that apierrors.IsNotFound
	// knows.
	Get(ctx context.Context, o Object) (*unstructured.Unstructured, error)
	// List is the objects of a namespace that have all of these labels.
	List(ctx context.Context, resource schema.GroupVersionResource, namespace string, with map[string]string) ([]*unstructured.Unstructured, error)
}

// Live reads from the API server itself, so that what it returns was true after it was
// asked.
func Live(client dynamic.Interface) Reader { return live{client} }

type live struct{ client dynamic.Interface }

func (l live) Get(ctx context.Context, o Object) (*unstructured.Unstructured, error) {
	got, err := l.client.Resource(o.Resource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %v: %w", o, err)
	}
	return got, nil
}

// page bounds one answer of the server; how many there are is up to the cluster.
const page = 500

func (l live) List(ctx context.Context, resource schema.GroupVersionResource, namespace string, with map[string]string) ([]*unstructured.Unstructured, error) {
	o := metav1.ListOptions{LabelSelector: labels.SelectorFromSet(with).String(), Limit: page}
	var all []*unstructured.Unstructured
	for {
		got, err := l.client.Resource(resource).Namespace(namespace).List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list %s in %s: %w", resource.GroupResource(), namespace, err)
		}
		for i := range got.Items {
			all = append(all, &got.Items[i])
		}
		if o.Continue = got.GetContinue(); o.Continue == "" {
			return all, nil
		}
	}
}

// memo is a Reader that asks another one for each object once, so that what is decided in
// one turn is decided by one view.
type memo struct {
	Reader
	seen map[Object]answer
}

type answer struct {
	object *unstructured.Unstructured
	err    error
}

// once is for one goroutine.
func once(c Reader) Reader { return memo{c, map[Object]answer{}} }

func (m memo) Get(ctx context.Context, o Object) (*unstructured.Unstructured, error) {
	got, ok := m.seen[o]
	if !ok {
		got.object, got.err = m.Reader.Get(ctx, o)
		m.seen[o] = got
	}
	return got.object, got.err
}
