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
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
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

// What follows is how the controllers make pods of Deployments.

type pod struct {
	template string // a digest
	image    string
	made     time.Time
	ready    time.Time // when it becomes ready, the zero time never
	ending   time.Time // when it is gone, the zero time as long as it is wanted
	// restarted says that it was not ready for a while, which is nobody's fault.
	restarted bool
}

func (p *pod) serves(now time.Time) bool {
	return p.ending.IsZero() && !p.ready.IsZero() && !p.ready.After(now)
}

func (c *cluster) serving(name string, now time.Time) (n int64, images map[string]bool) {
	images = map[string]bool{}
	for _, p := range c.pods[name] {
		if p.serves(now) {
			n++
			images[p.image] = true
		}
	}
	return n, images
}

func imageOf(o map[string]any) string {
	containers, _, _ := unstructured.NestedSlice(o, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	image, _ := containers[0].(map[string]any)["image"].(string)
	return image
}

func replicasOf(o map[string]any) int64 {
	n, ok, _ := unstructured.NestedInt64(o, "spec", "replicas")
	if !ok {
		return 1
	}
	return n
}

const (
	ends     = 10 * time.Second // how long a pod takes to end
	deadline = 2 * time.Minute  // without progress
)

// tick lets every controller look once.
func (c *cluster) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.objects[deployments])) {
		c.roll(name)
	}
	c.disrupt()
}

// roll is the Deployment controller: 25 % surge and 25 % unavailable.
func (c *cluster) roll(name string) {
	now := time.Now()
	o := c.objects[deployments][name].DeepCopy()
	want, current := replicasOf(o.Object), digest(at0(o, "spec", "template"))
	live := c.reap(name, now)
	var fresh, old []*pod
	available := int64(0)
	for _, p := range live {
		if p.template == current {
			fresh = append(fresh, p)
		} else {
			old = append(old, p)
		}
		if p.serves(now) {
			available++
		}
	}
	surge, spare := (want+3)/4, want/4
	if len(old) == 0 {
		surge = 0
	}
	end := func(p *pod) {
		served := p.serves(now)
		p.ending = now.Add(ends)
		if served {
			available--
			c.ended(name)
		}
	}
	for int64(len(fresh)) < want && int64(len(fresh)+len(old)) < want+surge {
		p := &pod{template: current, image: imageOf(o.Object), made: now}
		if !strings.HasSuffix(p.image, "broken") {
			p.ready = now.Add(c.pace(p.image))
		}
		if !p.ready.After(now) && !p.ready.IsZero() {
			available++
		}
		fresh = append(fresh, p)
		c.pods[name] = append(c.pods[name], p)
		c.progress[name] = now
	}
	for len(old) > 0 && (!old[0].serves(now) || available > want-spare) {
		end(old[0])
		old = old[1:]
		c.progress[name] = now
	}
	for int64(len(fresh)) > want {
		slices.SortStableFunc(fresh, func(a, b *pod) int {
			return map[bool]int{true: 1}[a.serves(now)] - map[bool]int{true: 1}[b.serves(now)]
		})
		end(fresh[0])
		fresh = fresh[1:]
	}
	ending := int64(0)
	for _, p := range c.pods[name] {
		if !p.ending.IsZero() {
			ending++
		}
	}
	if available == int64(len(fresh)) && len(old) == 0 {
		c.progress[name] = now
		if available == want {
			c.complete[name] = current
		}
	}
	status := map[string]any{
		"observedGeneration": o.GetGeneration(), "replicas": int64(len(fresh) + len(old)), "updatedReplicas": int64(len(fresh)),
		"availableReplicas": available, "terminatingReplicas": ending,
	}
	progressing := map[string]any{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
	switch {
	case c.complete[name] == current || c.forgetful && c.complete[name] != "":
		progressing["reason"] = "NewReplicaSetAvailable"
	case now.Sub(c.progress[name]) > deadline:
		progressing["status"], progressing["reason"] = "False", "ProgressDeadlineExceeded"
	}
	status["conditions"] = []any{progressing}
	c.revise(o, current)
	if digest(o.Object["status"]) != digest(status) {
		c.edit(deployments, name, "kube-controller-manager", func(o map[string]any) { o["status"] = status })
	}
}

// reap forgets pods that are gone, and returns those that are wanted.
func (c *cluster) reap(name string, now time.Time) (live []*pod) {
	c.pods[name] = slices.DeleteFunc(c.pods[name], func(p *pod) bool {
		return !p.ending.IsZero() && !p.ending.After(now)
	})
	for _, p := range c.pods[name] {
		if p.ending.IsZero() {
			live = append(live, p)
		}
	}
	return live
}

// revise keeps a ReplicaSet for each template, three at the most.
func (c *cluster) revise(o *unstructured.Unstructured, current string) {
	name := o.GetName() + "-" + current
	if c.objects[replicaSets][name] != nil {
		return
	}
	yes := true
	rs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": runtime.DeepCopyJSONValue(at0(o, "spec", "template"))}}}
	rs.SetName(name)
	rs.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Deployment", Name: o.GetName(), UID: o.GetUID(), Controller: &yes}})
	c.store(replicaSets, "kube-controller-manager", rs)
	var mine []*unstructured.Unstructured
	for _, other := range c.objects[replicaSets] {
		if metav1.GetControllerOf(other).UID == o.GetUID() {
			mine = append(mine, other)
		}
	}
	slices.SortFunc(mine, func(a, b *unstructured.Unstructured) int {
		va, _ := strconv.Atoi(a.GetResourceVersion())
		vb, _ := strconv.Atoi(b.GetResourceVersion())
		return va - vb
	})
	for ; len(mine) > 3; mine = mine[1:] {
		delete(c.objects[replicaSets], mine[0].GetName())
	}
}

// disrupt is the controller of PodDisruptionBudgets.
func (c *cluster) disrupt() {
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(c.objects[budgets])) {
		b := c.objects[budgets][name]
		match, _, _ := unstructured.NestedStringMap(b.Object, "spec", "selector", "matchLabels")
		var expected, healthy int64
		for d, o := range c.objects[deployments] {
			set, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
			if labels.SelectorFromSet(match).Matches(labels.Set(set)) {
				n, _ := c.serving(d, now)
				expected, healthy = expected+replicasOf(o.Object), healthy+n
			}
		}
		least, _, _ := unstructured.NestedInt64(b.Object, "spec", "minAvailable")
		status := map[string]any{"observedGeneration": b.GetGeneration(), "expectedPods": expected, "currentHealthy": healthy, "disruptionsAllowed": max(0, healthy-least)}
		if digest(b.Object["status"]) != digest(status) {
			c.edit(budgets, name, "kube-controller-manager", func(o map[string]any) { o["status"] = status })
		}
	}
}

// podObjects are the pods as objects.
func (c *cluster) podObjects(selector labels.Selector) (items []unstructured.Unstructured) {
	for name, o := range c.objects[deployments] {
		set, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
		if !selector.Matches(labels.Set(set)) {
			continue
		}
		for i, p := range c.pods[name] {
			if !p.ending.IsZero() {
				continue
			}
			status := map[string]any{}
			switch {
			case p.ready.IsZero():
				status["containerStatuses"] = []any{map[string]any{"image": p.image, "state": map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff"}}}}
			case p.serves(time.Now()):
				status["conditions"] = []any{map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": p.ready.UTC().Format(time.RFC3339)}}
			}
			items = append(items, unstructured.Unstructured{Object: map[string]any{
				"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", name, i), "creationTimestamp": p.made.UTC().Format(time.RFC3339)}, "status": status,
			}})
		}
	}
	return items
}

// recorded is how many replicas carry everything, as a rollout has noted; 0 is none.
func recorded(o *unstructured.Unstructured) int64 {
	var r struct{ Replicas int64 }
	_ = json.Unmarshal([]byte(o.GetAnnotations()["rheostat.dev/original"]), &r)
	return r.Replicas
}
