// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/rollback"
)

// share is what is there of what is needed; nothing of nothing is not a number.
func share(have, need int64) float64 {
	if need == 0 && have == 0 {
		return math.NaN()
	}
	return float64(have) / float64(max(need, 1))
}

// say sets the verdict of a status.
func say(s *rollback.Status, h rollback.Health, format string, args ...any) {
	s.Health, s.Reason = h, fmt.Sprintf(format, args...)
}

func deploymentStatus(ctx context.Context, t *Target, w *workload, s *rollback.Status) error {
	want := w.number(1, "spec", "replicas")
	all, updated := w.number(0, "status", "replicas"), w.number(0, "status", "updatedReplicas")
	available, leaving := w.number(0, "status", "availableReplicas"), w.number(0, "status", "terminatingReplicas")
	s.Ready = share(available, want)
	if leaving > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%d pods are terminating", leaving))
	}
	if reason, message := w.condition("ReplicaFailure", "True"); reason != "" {
		s.Notes = append(s.Notes, "pods cannot be made: "+message)
	}
	paused, _, err := unstructured.NestedBool(w.u.Object, "spec", "paused")
	if err != nil {
		return fmt.Errorf("kube: %v: %w", t, err)
	}
	missed, err := t.missed(ctx, w)
	if err != nil {
		return err
	}
	progress, _ := w.condition("Progressing", "True")
	switch {
	case missed != "":
		say(s, rollback.Failed, "%s", missed)
	case updated < want && paused:
		say(s, rollback.Degraded, "it is paused with %d of %d pods updated", updated, want)
	case updated < want:
		say(s, rollback.Progressing, "%d of %d pods are updated", updated, want)
	case all > updated:
		say(s, rollback.Progressing, "%d pods of other revisions are still there", all-updated)
	case available < updated && progress == "NewReplicaSetAvailable":
		say(s, rollback.Degraded, "%d of %d pods are available, and all were", available, updated)
	case available < updated:
		say(s, rollback.Progressing, "%d of %d pods are available", available, updated)
	case leaving > 0 && t.o.WaitTerminating:
		say(s, rollback.Progressing, "%d pods are terminating", leaving)
	default:
		say(s, rollback.Healthy, "%d of %d pods are available", available, want)
	}
	return nil
}

// missed says that the revision asked for has exceeded its progress deadline. The condition
// outlives the revision that exceeded it: until something moves, it is still that of the
// one before, and names its ReplicaSet.
func (t *Target) missed(ctx context.Context, w *workload) (string, error) {
	reason, message := w.condition("Progressing", "False")
	if reason != "ProgressDeadlineExceeded" {
		return "", nil
	}
	copies, err := t.copies(ctx, w)
	if err != nil {
		return "", err
	}
	for _, e := range copies {
		if !e.Current && strings.Contains(message, `"`+e.Object+`"`) {
			return "", nil
		}
	}
	return message, nil
}

// condition is the reason and the message of a condition that has this status.
func (w *workload) condition(kind, status string) (reason, message string) {
	list, _, err := unstructured.NestedSlice(w.u.Object, "status", "conditions")
	if err != nil {
		return "", ""
	}
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["type"] == kind && c["status"] == status {
			reason, _ = c["reason"].(string)
			message, _ = c["message"].(string)
			return reason, message
		}
	}
	return "", ""
}

func daemonSetStatus(_ context.Context, _ *Target, w *workload, s *rollback.Status) error {
	want := w.number(0, "status", "desiredNumberScheduled")
	updated, available := w.number(0, "status", "updatedNumberScheduled"), w.number(0, "status", "numberAvailable")
	s.Ready = share(available, want)
	switch {
	case updated < want && w.strategy() == onDelete:
		say(s, rollback.Degraded, "%d of %d pods are updated; the others stay until they are deleted (OnDelete)", updated, want)
	case updated < want:
		say(s, rollback.Progressing, "%d of %d pods are updated", updated, want)
	case available < want:
		say(s, rollback.Progressing, "%d of %d pods are available", available, want)
	default:
		say(s, rollback.Healthy, "%d of %d pods are available", available, want)
	}
	return nil
}

func statefulSetStatus(ctx context.Context, t *Target, w *workload, s *rollback.Status) error {
	replicas, partition := w.number(1, "spec", "replicas"), w.partition()
	want := max(replicas-partition, 0)
	ready := w.number(0, "status", "readyReplicas")
	available, updated := w.number(ready, "status", "availableReplicas"), w.number(0, "status", "updatedReplicas")
	s.Ready = share(available, replicas)
	if partition > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("the pods below %d are not updated (partition)", partition))
	}
	switch {
	case updated < want && w.strategy() == onDelete:
		say(s, rollback.Degraded, "%d of %d pods are updated; the others stay until they are deleted (OnDelete)", updated, want)
	case updated < want:
		say(s, rollback.Progressing, "%d of %d pods are updated", updated, want)
	case available < replicas:
		say(s, rollback.Progressing, "%d of %d pods are available", available, replicas)
	default:
		say(s, rollback.Healthy, "%d of %d pods are available", available, replicas)
		return nil
	}
	blockers, _, err := t.blockers(ctx, w)
	if err != nil {
		return err
	}
	if len(blockers) > 0 {
		say(s, rollback.Degraded, "pod %s of revision %s is not ready and holds up the others; delete it, or set Unstick",
			blockers[0].GetName(), blockers[0].GetLabels()[revisionLabel])
	}
	return nil
}
