// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// silence is after how many seconds the API server ends a watch, so that one that has
// gone deaf is noticed. Rollouts under way do not depend on it: they have turns of their own.
const silence = int64(300)

// informer hears of objects that come, go and are changed by people. It keeps their
// metadata only: nothing is decided by what it holds.
func (c *Controller) informer() cache.SharedIndexInformer {
	resource := c.client.Resource(c.store.gvr).Namespace(c.options.Namespace)
	selector := ""
	if c.options.ConfigMaps {
		selector = stateLabel
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return resource.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			limit := silence
			o.TimeoutSeconds = &limit
			return resource.Watch(ctx, o)
		},
	}
	informer := cache.NewSharedIndexInformer(source, &unstructured.Unstructured{}, 0, cache.Indexers{})
	// Both fail only on an informer that runs already.
	if err := informer.SetTransform(bare); err != nil {
		panic("BUG: strategy/kube: " + err.Error())
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { c.heard(object) },
		UpdateFunc: func(before, now any) { c.changed(before, now) },
		DeleteFunc: func(object any) { c.heard(object) },
	}); err != nil {
		panic("BUG: strategy/kube: " + err.Error())
	}
	return informer
}

// bare is an object without spec and status.
func bare(object any) (any, error) {
	full, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	thin := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": full.Object["apiVersion"], "kind": full.Object["kind"], "metadata": full.Object["metadata"],
	}}
	thin.SetManagedFields(nil)
	return thin, nil
}

// heard queues a service of ours.
func (c *Controller) heard(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if thin, ok := object.(*unstructured.Unstructured); ok {
		if service := c.store.serviceOf(thin); c.shards.holds(service) {
			c.queue.Add(service)
		}
	}
}

// changed queues a service whose object was changed by somebody: a save of ours changes
// the status alone.
func (c *Controller) changed(before, now any) {
	was, ok := before.(*unstructured.Unstructured)
	is, ok2 := now.(*unstructured.Unstructured)
	if !ok || !ok2 {
		return
	}
	if was.GetGeneration() != is.GetGeneration() || was.GetUID() != is.GetUID() || (was.GetDeletionTimestamp() == nil) != (is.GetDeletionTimestamp() == nil) ||
		!maps.Equal(was.GetAnnotations(), is.GetAnnotations()) {
		c.heard(now)
	}
}

// gained queues every service of a shard that has become ours.
func (c *Controller) gained(shard int) {
	for _, object := range c.objects.GetStore().List() {
		if thin, ok := object.(*unstructured.Unstructured); ok {
			if service := c.store.serviceOf(thin); shardOf(service, c.options.Sharding.Shards) == shard {
				c.queue.Add(service)
			}
		}
	}
}
