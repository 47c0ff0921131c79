// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/rollback"
)

const (
	revisionLabel = "controller-revision-hash"
	// unstickLimit is how long Apply looks after pods that hold it up, and unstickPoll how often.
	unstickLimit = 20 * time.Second
	unstickPoll  = 200 * time.Millisecond
)

// Unstick deletes at most one pod that holds up a StatefulSet on its way to a revision, and
// says which, "" if none was: the controller has not seen the change yet, an earlier one is
// still terminating, or nothing is in the way. A StatefulSet that starts its pods in order
// waits for each to be ready, also for one that never will be. Call it again until the
// target is healthy. The error wraps [rollback.ErrConflict] if the workload was given
// another revision meanwhile, and [errors.ErrUnsupported] for another kind of workload.
//
// Apply calls it where [Options.Unstick] is set.
func (t *Target) Unstick(ctx context.Context, to rollback.Revision) (pod string, err error) {
	pod, _, err = t.unstickOne(ctx, to)
	return pod, err
}

// unstickOne says as well whether there may be more to do soon.
func (t *Target) unstickOne(ctx context.Context, to rollback.Revision) (pod string, more bool, err error) {
	if t.kind.name != "StatefulSet" {
		return "", false, fmt.Errorf("kube: %v: nothing waits for a pod here: %w", t, errors.ErrUnsupported)
	}
	w, err := t.get(ctx)
	if err != nil {
		return "", true, err
	}
	if w.current.Digest != to.Digest {
		return "", false, fmt.Errorf("kube: %v was given %s meanwhile: %w", t, w.current, rollback.ErrConflict)
	}
	if w.number(0, "status", "observedGeneration") < w.u.GetGeneration() {
		return "", true, nil // it would make the bad pod again
	}
	blockers, leaving, err := t.blockers(ctx, w)
	if err != nil || len(blockers) == 0 || leaving {
		return "", err != nil || leaving, err
	}
	pod = blockers[0].GetName()
	uid, version := blockers[0].GetUID(), blockers[0].GetResourceVersion()
	// A pod that became ready meanwhile has another version.
	err = t.client.Resource(podsOf).Namespace(t.namespace).
		Delete(ctx, pod, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsConflict(err) || kube.Missing(err) {
		return "", true, nil
	}
	if err != nil {
		return "", true, t.wrap("deleting pod "+pod, err)
	}
	return pod, true, nil
}

// blockers are the pods of other revisions that hold up a StatefulSet, in the order in which
// it would replace them, and whether one of its pods is terminating.
func (t *Target) blockers(ctx context.Context, w *workload) (list []unstructured.Unstructured, leaving bool, err error) {
	if w.text("spec", "podManagementPolicy") == "Parallel" || w.strategy() == onDelete {
		return nil, false, nil
	}
	pods, err := t.owned(ctx, w, podsOf)
	if err != nil {
		return nil, false, err
	}
	update, partition := w.text("status", "updateRevision"), w.partition()
	for _, p := range pods {
		if p.GetDeletionTimestamp() != nil {
			leaving = true
			continue
		}
		if p.GetLabels()[revisionLabel] != update && ordinal(&p) >= partition && !ready(&p) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b unstructured.Unstructured) int { return -cmp.Compare(ordinal(&a), ordinal(&b)) })
	return list, leaving, nil
}

func ordinal(p *unstructured.Unstructured) int64 {
	name := p.GetName()
	n, err := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func ready(p *unstructured.Unstructured) bool {
	pod := workload{u: p}
	return pod.has("Ready", "True")
}

// has says whether a condition has this status.
func (w *workload) has(kind, status string) bool {
	list, _, err := unstructured.NestedSlice(w.u.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(list, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == kind && m["status"] == status
	})
}

// unstick is Unstick until nothing is in the way, where the options say so.
func (t *Target) unstick(ctx context.Context, w *workload, to rollback.Revision) error {
	if !t.o.Unstick || t.kind.name != "StatefulSet" || w.current.Digest != to.Digest {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, unstickLimit, errors.New("pods that were deleted are not gone yet"))
	defer cancel()
	for {
		_, more, err := t.unstickOne(ctx, to)
		if err != nil && (ctx.Err() != nil || !kube.Passing(err)) {
			return err
		}
		if !more {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kube: %v: %s is accepted, but: %w", t, to, context.Cause(ctx))
		case <-time.After(unstickPoll):
		}
	}
}
