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
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/rollback"
)

// Entry is a revision as the cluster keeps it.
type Entry struct {
	rollback.Revision
	// Number is what kubectl calls the revision now. Going back gives it another one.
	Number int64
	// Object is the ReplicaSet or ControllerRevision that keeps it, "" while there is none.
	Object string
	// Created is when that was made.
	Created time.Time
	// Images are those of its containers, in their order.
	Images []string
	// Cause is its annotation kubernetes.io/change-cause.
	Cause string
	// Current says that it is the one that is asked for now.
	Current bool

	template map[string]any
	notes    map[string]string
}

var errAbsent = errors.New("data.spec.template is not there")

// version is what a ReplicaSet or a ControllerRevision says.
type version struct {
	number   int64
	template map[string]any
	notes    map[string]string
}

// History implements [rollback.Target]. Two that differ only in a restart are one.
func (t *Target) History(ctx context.Context) ([]rollback.Revision, error) {
	entries, err := t.Revisions(ctx)
	list := make([]rollback.Revision, len(entries))
	for i := range entries {
		list[i] = entries[i].Revision
	}
	return list, err
}

// Revisions is History with what a person wants to know of each.
func (t *Target) Revisions(ctx context.Context) ([]Entry, error) {
	w, err := t.get(ctx)
	if err != nil {
		return nil, err
	}
	return t.entries(ctx, w)
}

// Find is the revision that a person means: by its ID, the name of its ReplicaSet or
// ControllerRevision, or the number it has now. "0" and "previous" are none.
func (t *Target) Find(ctx context.Context, name string) (Entry, error) {
	entries, err := t.Revisions(ctx)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.Number > 0 && name == strconv.FormatInt(e.Number, 10) || name != "" && (name == e.ID || name == e.Object) {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("kube: %v has no revision %q; name one of its history by number or name: %w", t, name, rollback.ErrNoTarget)
}

// entries are the revisions, oldest first, each content once as its newest copy.
func (t *Target) entries(ctx context.Context, w *workload) ([]Entry, error) {
	all, err := t.copies(ctx, w)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for i, e := range all {
		if !slices.ContainsFunc(all[i+1:], func(later Entry) bool { return later.Digest == e.Digest }) {
			entries = append(entries, e)
		}
	}
	if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Current }) {
		entries = append(entries, Entry{Revision: w.current, Images: images(w.template), Current: true, template: w.template})
	}
	return entries, nil
}

// copies are all that the workload's controller has kept for it, oldest first.
func (t *Target) copies(ctx context.Context, w *workload) ([]Entry, error) {
	items, err := t.owned(ctx, w, t.kind.history)
	if err != nil {
		return nil, err
	}
	var all []Entry
	for i := range items {
		u := &items[i]
		v, err := t.kind.read(u)
		if err != nil {
			return nil, fmt.Errorf("kube: %v: %s %s: %w", t, u.GetKind(), u.GetName(), err)
		}
		e := Entry{
			Number: v.number, Object: u.GetName(), Created: u.GetCreationTimestamp().UTC(), Images: images(v.template),
			Cause: u.GetAnnotations()[causeNote], template: v.template, notes: v.notes,
		}
		if e.Revision, err = t.revision(v.template); err != nil {
			return nil, err
		}
		e.Current = e.Digest == w.current.Digest
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), a.Created.Compare(b.Created), cmp.Compare(a.Object, b.Object))
	})
	return all, nil
}

// owned lists what has the workload's labels and is controlled by it: labels alone may be
// those of another workload, or of one of the same name that was deleted.
func (t *Target) owned(ctx context.Context, w *workload, resource schema.GroupVersionResource) ([]unstructured.Unstructured, error) {
	raw, _, err := unstructured.NestedMap(w.u.Object, "spec", "selector")
	if err != nil {
		return nil, fmt.Errorf("kube: %v: %w", t, err)
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector); err != nil {
		return nil, fmt.Errorf("kube: %v: spec.selector: %w", t, err)
	}
	list, err := t.client.Resource(resource).Namespace(t.namespace).
		List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&selector)})
	if err != nil {
		return nil, t.wrap("listing its "+resource.Resource, err)
	}
	return slices.DeleteFunc(list.Items, func(u unstructured.Unstructured) bool {
		return !metav1.IsControlledBy(&u, w.u)
	}), nil
}

// find is a revision among those that can be gone to.
func (t *Target) find(ctx context.Context, w *workload, to rollback.Revision) (Entry, error) {
	entries, err := t.entries(ctx, w)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.ID == to.ID && e.Digest == to.Digest {
			return e, nil
		}
	}
	limit := w.number(10, "spec", "revisionHistoryLimit")
	why := fmt.Sprintf("its revisionHistoryLimit is %d, so that older ones are gone", limit)
	if limit == 0 {
		why = "its revisionHistoryLimit is 0, so that it keeps none but the current one; set it to at least 1 before the next deploy"
	}
	return Entry{}, fmt.Errorf("kube: %v has no revision %s; %s: %w", t, to, why, rollback.ErrNoTarget)
}

// readReplicaSet reads what a Deployment was. The label that its controller adds stays out
// of a Deployment, or the next ReplicaSet would get the name of this one.
func readReplicaSet(u *unstructured.Unstructured) (version, error) {
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return version{}, err
	}
	unstructured.RemoveNestedField(template, "metadata", "labels", hashLabel)
	notes := u.GetAnnotations()
	v := version{template: template, notes: notes}
	if text := notes[revisionNote]; text != "" {
		if v.number, err = strconv.ParseInt(text, 10, 64); err != nil {
			return version{}, fmt.Errorf("annotation %s: %w", revisionNote, err)
		}
	}
	return v, nil
}

// readRevision reads what a StatefulSet or a DaemonSet was: a strategic merge patch.
func readRevision(u *unstructured.Unstructured) (version, error) {
	template, ok, err := unstructured.NestedMap(u.Object, "data", "spec", "template")
	if err != nil || !ok {
		return version{}, fmt.Errorf("it holds no template that can be read: %w", cmp.Or(err, errAbsent))
	}
	delete(template, "$patch")
	number, _, err := unstructured.NestedInt64(u.Object, "revision")
	return version{template: template, number: number}, err
}

func images(template map[string]any) (list []string) {
	containers, _, err := unstructured.NestedSlice(template, "spec", "containers")
	if err != nil {
		return nil
	}
	for _, c := range containers {
		if c, ok := c.(map[string]any); ok {
			image, _ := c["image"].(string)
			list = append(list, image)
		}
	}
	return list
}
