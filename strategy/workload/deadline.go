// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
)

const (
	noProgress = "no progress within its deadline"
	// defaultDeadline is what the API server makes of no progressDeadlineSeconds, and never
	// what it takes for none, in seconds.
	defaultDeadline, never = 600, math.MaxInt32
)

// failure is why a Deployment cannot make progress, "" if nothing says so.
//
// The deployment controller watches over the deadline only until it has seen a rollout
// complete, and it takes one for complete that is not: what is scaled up was complete at
// its old size, also where that was 0; and of a new template it never hears that it has begun
// if somebody wrote the Deployment at that moment, which made its own write fail. Then
// Progressing stays True by NewReplicaSetAvailable for ever, and the deadline is kept here.
func (x *Workload) failure(ctx context.Context, d deployment) string {
	if !d.observed() {
		return ""
	}
	switch progress := d.condition("Progressing"); {
	case field[string](progress, "status") == "False" && field[string](progress, "reason") == "ProgressDeadlineExceeded":
		return noProgress
	case field[string](progress, "reason") != "NewReplicaSetAvailable" || d.available() >= d.replicas():
		return ""
	}
	deadline, limited := d.deadline()
	written := d.written()
	if !limited || time.Since(written) <= deadline {
		return "" // whatever its pods did, they did it later
	}
	if moved, ok := x.moved(ctx, d, written); ok && time.Since(moved) > deadline {
		return noProgress
	}
	return ""
}

// written is when somebody last wrote what the Deployment should be, by the clock of the API
// server; the zero time if that is not known.
func (d deployment) written() (last time.Time) {
	for _, path := range [][]string{{"spec", "replicas"}, {"spec", "template"}} {
		if w, ok := kube.LastWrite(d.GetManagedFields(), path...); ok && w.At.After(last) {
			last = w.At
		}
	}
	return last
}

// moved is the later of a time and of when something happened last to the pods of a Deployment;
// false if that is not known.
func (x *Workload) moved(ctx context.Context, d deployment, last time.Time) (time.Time, bool) {
	selector, err := d.selector()
	if err != nil {
		return last, false
	}
	found, err := x.list(ctx, pods, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return last, false // it is asked again
	}
	for _, pod := range found {
		at := pod.GetCreationTimestamp().Time
		ready := condition(pod.Object, "Ready")
		if t, err := time.Parse(time.RFC3339, field[string](ready, "lastTransitionTime")); err == nil && t.After(at) {
			at = t
		}
		if at.After(last) {
			last = at
		}
	}
	return last, !last.IsZero()
}

// deadline is how long a Deployment may be without progress; false if for ever.
func (d deployment) deadline() (time.Duration, bool) {
	seconds, found, err := unstructured.NestedInt64(d.Object, "spec", "progressDeadlineSeconds")
	if !found || err != nil {
		seconds = defaultDeadline
	}
	return time.Duration(seconds) * time.Second, seconds < never
}

func (d deployment) condition(kind string) map[string]any { return condition(d.Object, kind) }

// condition is the one of a type in an object's status, nil if there is none.
func condition(o map[string]any, kind string) map[string]any {
	for _, c := range field[[]any](o, "status", "conditions") {
		if c, _ := c.(map[string]any); field[string](c, "type") == kind {
			return c
		}
	}
	return nil
}
