// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rheostat-go/rheostat/internal/kube"
)

// deployment is a Deployment as it was read.
type deployment struct{ *unstructured.Unstructured }

// record is what a rollout keeps of a Deployment until it has ended.
type record struct {
	// Run is the rollout's.
	Run uint64 `json:"run"`
	// Replicas is how many stable had when the run began: what carries everything.
	Replicas int64 `json:"replicas,omitempty"`
	// Template is a hash of stable's template when the run began, or of the candidate's
	// as it was written.
	Template string `json:"template,omitempty"`
	// Pod is the template that stable had before it took the candidate's, and Promoted a
	// hash of what it took.
	Pod      map[string]any `json:"pod,omitempty"`
	Promoted string         `json:"promoted,omitempty"`
}

func (d deployment) replicas() int64 {
	if n, ok, err := unstructured.NestedFieldNoCopy(d.Object, "spec", "replicas"); !ok || err != nil || n == nil {
		return 1 // what the API server makes of none
	}
	return number(d.Object, "spec", "replicas")
}

func (d deployment) total() int64       { return number(d.Object, "status", "replicas") }
func (d deployment) updated() int64     { return number(d.Object, "status", "updatedReplicas") }
func (d deployment) available() int64   { return number(d.Object, "status", "availableReplicas") }
func (d deployment) terminating() int64 { return number(d.Object, "status", "terminatingReplicas") }

// observed says that the status is about the Deployment as it is now. Before that it is
// about an earlier one, and may look as if all were done.
func (d deployment) observed() bool {
	return number(d.Object, "status", "observedGeneration") >= d.GetGeneration()
}

// rolled says that every pod is of the template as it is now.
func (d deployment) rolled() bool {
	return d.observed() && d.updated() >= d.replicas() && d.total() == d.updated()
}

func (d deployment) paused() bool { return field[bool](d.Object, "spec", "paused") }

// template is a copy of the Deployment's.
func (d deployment) template() map[string]any {
	return runtime.DeepCopyJSON(field[map[string]any](d.Object, "spec", "template"))
}

// digest identifies the template. That somebody restarted the pods changes nothing about it.
func (d deployment) digest() string {
	template := d.template()
	unstructured.RemoveNestedField(template, "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
	if len(field[map[string]any](template, "metadata", "annotations")) == 0 {
		unstructured.RemoveNestedField(template, "metadata", "annotations")
	}
	return hash(template)
}

// capacity is how many pods can serve. Those that are on their way out count no more.
func (d deployment) capacity() int64 {
	if d.resting() {
		return 0
	}
	return min(d.available(), d.replicas())
}

func (d deployment) resting() bool { return d.GetAnnotations()[resting] != "" }

// rested is how long the Deployment has been declared to be resting. A note that cannot be
// read, or of the future, is of now.
func (d deployment) rested(now time.Time) time.Duration {
	since, err := time.Parse(time.RFC3339Nano, d.GetAnnotations()[resting])
	if err != nil {
		return 0
	}
	return now.Sub(since)
}

// record is the one of a run, the zero record where there is none.
func (d deployment) record() record {
	var r record
	if json.Unmarshal([]byte(d.GetAnnotations()[kube.Original]), &r) != nil {
		return record{}
	}
	return r
}

func (d deployment) setRecord(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	note(d.Unstructured, kube.Original, string(data))
	return nil
}

// selects are the labels by which the Deployment knows its pods.
func (d deployment) selects() map[string]any {
	return field[map[string]any](d.Object, "spec", "selector", "matchLabels")
}

func (d deployment) selector() (labels.Selector, error) {
	return selector(d.Object, "spec", "selector")
}

func (d deployment) podLabels() labels.Set { return podLabels(d.template()) }

func podLabels(template map[string]any) labels.Set {
	set := labels.Set{}
	for key, value := range field[map[string]any](template, "metadata", "labels") {
		if text, ok := value.(string); ok {
			set[key] = text
		}
	}
	return set
}

// selector reads a label selector. One that is not there selects nothing.
func selector(o map[string]any, path ...string) (labels.Selector, error) {
	raw := field[map[string]any](o, path...)
	if raw == nil {
		return labels.Nothing(), nil
	}
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &s); err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	return metav1.LabelSelectorAsSelector(&s)
}

// hash identifies what is in v, in the same way in every process: encoding/json sorts the
// keys of maps.
func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "" // what came as JSON can be written as JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}
