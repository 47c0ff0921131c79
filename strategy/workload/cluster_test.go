// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	scaled      = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	budgets     = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
	podsOf      = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secretsOf   = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// cluster is as much of a control plane as the tasks see: objects with generations and
// resourceVersions that are checked, and, in controllers_test.go, what makes pods of them.
// It does not validate, and knows one namespace. kubetest is the real one.
type cluster struct {
	mu       sync.Mutex
	version  int64
	objects  map[schema.GroupVersionResource]map[string]*unstructured.Unstructured
	pods     map[string][]*pod // by Deployment
	pace     func(template string) time.Duration
	progress map[string]time.Time
	// complete is the template of a Deployment's last rollout that the controller saw complete:
	// nobody watches over the deadline of that one any more.
	complete map[string]string
	// forgetful controllers miss that a rollout has begun, as they do where their own write
	// of it meets another.
	forgetful bool

	// fault is asked before and after every call of a client.
	fault func(ctx context.Context) error
	// wrote is told every change, with the object before and after, under the lock.
	wrote func(manager string, before, after *unstructured.Unstructured)
	// ended is told that a pod that served was ended, under the lock.
	ended func(deployment string)
	calls map[string]int
}

func newCluster() *cluster {
	return &cluster{
		objects: map[schema.GroupVersionResource]map[string]*unstructured.Unstructured{},
		pods:    map[string][]*pod{}, progress: map[string]time.Time{}, complete: map[string]string{}, calls: map[string]int{},
		pace:  func(string) time.Duration { return 0 },
		fault: func(context.Context) error { return nil },
		wrote: func(string, *unstructured.Unstructured, *unstructured.Unstructured) {},
		ended: func(string) {},
	}
}

// put writes an object as somebody else does, past every fault.
func (c *cluster) put(tb testing.TB, kind schema.GroupVersionResource, text string) {
	tb.Helper()
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	normal(o.Object)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(kind, "kubectl", o)
}

// change edits an object as somebody else does.
func (c *cluster) change(kind schema.GroupVersionResource, name, manager string, edit func(o map[string]any)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edit(kind, name, manager, edit)
}

func (c *cluster) edit(kind schema.GroupVersionResource, name, manager string, edit func(o map[string]any)) {
	o := c.objects[kind][name]
	if o == nil {
		return
	}
	next := o.DeepCopy()
	edit(next.Object)
	c.store(kind, manager, next)
}

func (c *cluster) object(kind schema.GroupVersionResource, name string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.objects[kind][name]; o != nil {
		return o.DeepCopy().Object
	}
	return nil
}

func (c *cluster) names(kind schema.GroupVersionResource) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.objects[kind]))
}

// store is the one place where an object changes.
func (c *cluster) store(kind schema.GroupVersionResource, manager string, o *unstructured.Unstructured) *unstructured.Unstructured {
	if c.objects[kind] == nil {
		c.objects[kind] = map[string]*unstructured.Unstructured{}
	}
	before := c.objects[kind][o.GetName()]
	c.version++
	o.SetResourceVersion(strconv.FormatInt(c.version, 10))
	switch {
	case before == nil:
		o.SetUID(types.UID("uid-" + strconv.FormatInt(c.version, 10)))
		o.SetGeneration(1)
		o.SetNamespace("prod")
	case digest(before.Object["spec"]) != digest(o.Object["spec"]):
		o.SetGeneration(before.GetGeneration() + 1)
	}
	if kind == deployments && (before == nil || digest(before.Object["spec"]) != digest(o.Object["spec"])) {
		path := `{"f:spec":{"f:template":{}}}`
		at := metav1.Now()
		if before == nil || digest(at0(before, "spec", "template")) != digest(at0(o, "spec", "template")) {
			o.SetManagedFields(append(o.GetManagedFields(), metav1.ManagedFieldsEntry{Manager: manager, Operation: "Update", APIVersion: "apps/v1", Time: &at, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(path)}))
		}
	}
	c.wrote(manager, before, o)
	c.objects[kind][o.GetName()] = o.DeepCopy()
	return o.DeepCopy()
}

func at0(o *unstructured.Unstructured, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	return v
}

func digest(v any) string {
	data, _ := json.Marshal(v)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// normal makes numbers what the API machinery makes of them.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = normal(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = normal(inner)
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return v
}

// client is the cluster as a process sees it.
func (c *cluster) client() dynamic.Interface { return clientOf{c} }

type clientOf struct{ c *cluster }

func (d clientOf) Resource(kind schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return &resource{c: d.c, kind: kind}
}

type resource struct {
	dynamic.NamespaceableResourceInterface
	c    *cluster
	kind schema.GroupVersionResource
}

func (r *resource) Namespace(string) dynamic.ResourceInterface { return r }

// call is one call of the API server: it may fail before, or lose its reply after.
func call[T any](ctx context.Context, r *resource, verb string, do func() (T, error)) (T, error) {
	var zero T
	if err := r.c.fault(ctx); err != nil {
		return zero, err
	}
	r.c.mu.Lock()
	r.c.calls[verb+" "+r.kind.Resource]++
	v, err := do()
	r.c.mu.Unlock()
	if err != nil {
		return zero, err
	}
	if err := r.c.fault(ctx); err != nil {
		return zero, err
	}
	return v, nil
}

func (r *resource) find(name string) (*unstructured.Unstructured, error) {
	if o := r.c.objects[r.kind][name]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(r.kind.GroupResource(), name)
}

func (r *resource) Get(ctx context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	return call(ctx, r, "get", func() (*unstructured.Unstructured, error) { return r.find(name) })
}

func (r *resource) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return call(ctx, r, "list", func() (*unstructured.UnstructuredList, error) {
		selector, err := labels.Parse(opts.LabelSelector)
		if err != nil {
			return nil, err
		}
		list := &unstructured.UnstructuredList{}
		for _, name := range slices.Sorted(maps.Keys(r.c.objects[r.kind])) {
			if o := r.c.objects[r.kind][name]; selector.Matches(labels.Set(o.GetLabels())) {
				list.Items = append(list.Items, *o.DeepCopy())
			}
		}
		if r.kind == podsOf {
			list.Items = r.c.podObjects(selector)
		}
		return list, nil
	})
}

func (r *resource) Create(ctx context.Context, o *unstructured.Unstructured, opts metav1.CreateOptions, _ ...string) (*unstructured.Unstructured, error) {
	return call(ctx, r, "create", func() (*unstructured.Unstructured, error) {
		if _, err := r.find(o.GetName()); err == nil {
			return nil, apierrors.NewAlreadyExists(r.kind.GroupResource(), o.GetName())
		}
		made := o.DeepCopy()
		if r.kind == deployments {
			defaults(made.Object)
		}
		return r.c.store(r.kind, opts.FieldManager, made), nil
	})
}

// defaults is what an API server adds to a template.
func defaults(o map[string]any) {
	if _, ok, _ := unstructured.NestedString(o, "spec", "template", "spec", "restartPolicy"); !ok {
		_ = unstructured.SetNestedField(o, "Always", "spec", "template", "spec", "restartPolicy")
	}
}

func (r *resource) Patch(
	ctx context.Context, name string, kind types.PatchType, data []byte, opts metav1.PatchOptions, _ ...string,
) (*unstructured.Unstructured, error) {
	return call(ctx, r, "patch", func() (*unstructured.Unstructured, error) {
		o, err := r.find(name)
		if err != nil {
			return nil, err
		}
		var patch map[string]any
		if err := json.Unmarshal(data, &patch); err != nil || kind != types.MergePatchType {
			return nil, fmt.Errorf("a %s that cannot be read: %w", kind, err)
		}
		normal(patch)
		version, _, _ := unstructured.NestedString(patch, "metadata", "resourceVersion")
		if version != o.GetResourceVersion() {
			return nil, apierrors.NewConflict(r.kind.GroupResource(), name, fmt.Errorf("it is %s, not %s", o.GetResourceVersion(), version))
		}
		merge(o.Object, patch)
		if r.kind == deployments {
			defaults(o.Object)
		}
		return r.c.store(r.kind, opts.FieldManager, o), nil
	})
}

func merge(into, patch map[string]any) {
	for key, v := range patch {
		inner, isMap := v.(map[string]any)
		have, hasMap := into[key].(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
		case isMap && hasMap:
			merge(have, inner)
		case isMap:
			fresh := map[string]any{}
			merge(fresh, inner)
			into[key] = fresh
		default:
			into[key] = v
		}
	}
}

func (r *resource) Delete(ctx context.Context, name string, opts metav1.DeleteOptions, _ ...string) error {
	_, err := call(ctx, r, "delete", func() (bool, error) {
		o, err := r.find(name)
		if err != nil {
			return false, err
		}
		if p := opts.Preconditions; p != nil && (p.UID != nil && *p.UID != o.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != o.GetResourceVersion()) {
			return false, apierrors.NewConflict(r.kind.GroupResource(), name, fmt.Errorf("it is another"))
		}
		r.c.wrote("", o, nil)
		delete(r.c.objects[r.kind], name)
		return true, nil
	})
	return err
}
