// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

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
