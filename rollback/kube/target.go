// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/rollback"
)

// maxRaces is how often the workload is read anew in one call because its status was
// written between our reading and our writing.
const maxRaces = 10

// Options of a Target. The zero Options are the careful ones.
type Options struct {
	// AcceptHelm goes back although Helm installed the workload. The next helm upgrade
	// starts from the release that Helm remembers, so tell Helm as well.
	AcceptHelm bool
	// Unstick lets Apply delete pods of a StatefulSet that hold up the way back: those
	// that are not ready and not of the revision to go to, one at a time. Without it such
	// a StatefulSet stays where it is until a person deletes them.
	Unstick bool
	// WaitTerminating says that a Deployment is healthy only when no pod of it is
	// terminating any more. They get no new requests, but may serve old ones for long.
	WaitTerminating bool
	// Cause is what to leave in the annotation kubernetes.io/change-cause. Nil says that
	// it was a rollback, from where to where, and under which key.
	Cause func(from, to rollback.Revision, key string) string
}

// Target is a workload that can be brought back. It is safe for concurrent use.
type Target struct {
	client          dynamic.Interface
	kind            kind
	namespace, name string
	o               Options
}

var _ rollback.Target = (*Target)(nil)

// kind is what the three kinds of workload differ in.
type kind struct {
	name string
	gvr  schema.GroupVersionResource
	// history is the resource that keeps old templates.
	history schema.GroupVersionResource
	read    func(u *unstructured.Unstructured) (version, error)
	status  func(ctx context.Context, t *Target, w *workload, s *rollback.Status) error
}

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

var (
	replicaSets = apps("replicasets")
	revisions   = apps("controllerrevisions")
	podsOf      = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Deployment is the Deployment of this name. It asks the server for nothing.
func Deployment(client dynamic.Interface, namespace, name string, o Options) (*Target, error) {
	return newTarget(client, kind{"Deployment", apps("deployments"), replicaSets, readReplicaSet, deploymentStatus}, namespace, name, o)
}

// StatefulSet is the StatefulSet of this name. It asks the server for nothing.
func StatefulSet(client dynamic.Interface, namespace, name string, o Options) (*Target, error) {
	return newTarget(client, kind{"StatefulSet", apps("statefulsets"), revisions, readRevision, statefulSetStatus}, namespace, name, o)
}

// DaemonSet is the DaemonSet of this name. It asks the server for nothing.
func DaemonSet(client dynamic.Interface, namespace, name string, o Options) (*Target, error) {
	return newTarget(client, kind{"DaemonSet", apps("daemonsets"), revisions, readRevision, daemonSetStatus}, namespace, name, o)
}

func newTarget(client dynamic.Interface, k kind, namespace, name string, o Options) (*Target, error) {
	if client == nil || namespace == "" || name == "" {
		return nil, fmt.Errorf("kube: %s %q in namespace %q: a client, a namespace and a name are needed", k.name, name, namespace)
	}
	return &Target{client: client, kind: k, namespace: namespace, name: name, o: o}, nil
}

// String is the kind, the namespace and the name.
func (t *Target) String() string { return t.kind.name + " " + t.namespace + "/" + t.name }

// Current implements [rollback.Target]. The token changes with the workload's spec, labels
// and annotations, and not with its status.
func (t *Target) Current(ctx context.Context) (rollback.Revision, rollback.Token, error) {
	w, err := t.get(ctx)
	if err != nil {
		return rollback.Revision{}, "", err
	}
	return w.current, w.token, nil
}

// Preflight implements [rollback.Target].
func (t *Target) Preflight(ctx context.Context, to rollback.Revision) error {
	w, err := t.get(ctx)
	if err != nil {
		return err
	}
	if err := t.allowed(w); err != nil {
		return err
	}
	if to.Digest == w.current.Digest {
		return fmt.Errorf("kube: %v: %w", t, rollback.ErrAlready)
	}
	_, err = t.find(ctx, w, to)
	return err
}

// Apply implements [rollback.Target]. The last sixteen keys are remembered, in an annotation
// of the workload. With [Options.Unstick] it waits, up to twenty seconds, until no pod holds
// up a StatefulSet; an error then comes with a token, for the revision is accepted.
func (t *Target) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
	var conflict error
	for range maxRaces {
		w, err := t.get(ctx)
		if err != nil {
			return "", err
		}
		if was, ok := w.returns.find(key); ok {
			if was.To != to.Digest {
				return "", fmt.Errorf("kube: %v: key %q was used to go to %s: %w", t, key, was.To, rollback.ErrConflict)
			}
			return w.token, t.unstick(ctx, w, to)
		}
		if w.token != expect {
			return "", fmt.Errorf("kube: %v%s: %w", t, w.writer(), rollback.ErrConflict)
		}
		patch, err := t.patch(ctx, w, to, key)
		if err != nil {
			return "", err
		}
		written, err := t.client.Resource(t.kind.gvr).Namespace(t.namespace).
			Patch(ctx, t.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kube.Manager})
		if apierrors.IsConflict(err) {
			conflict = err // of the status, perhaps: the token tells
			continue
		}
		if err != nil {
			return "", t.wrap("patching it", err)
		}
		return t.accepted(ctx, written, to)
	}
	return "", fmt.Errorf("kube: %v: written by others %d times in a row: %w: %w", t, maxRaces, conflict, rollback.ErrConflict)
}

// accepted sees what the server made of the patch.
func (t *Target) accepted(ctx context.Context, written *unstructured.Unstructured, to rollback.Revision) (rollback.Token, error) {
	w, err := t.workload(written)
	if err != nil {
		return "", err
	}
	if w.current.Digest != to.Digest {
		return "", fmt.Errorf("kube: %v: asked for %s, an admission webhook made %s of it; exempt the workload from what it changes", t, to, w.current)
	}
	return w.token, t.unstick(ctx, w, to)
}

// Observe implements [rollback.Target].
func (t *Target) Observe(ctx context.Context) (rollback.Status, error) {
	w, err := t.get(ctx)
	if err != nil {
		return rollback.Status{}, err
	}
	s := rollback.Status{
		Running: w.current, Generation: uint64(max(w.u.GetGeneration(), 0)), //nolint:gosec // not below 0
		Observed: uint64(max(w.number(0, "status", "observedGeneration"), 0)), //nolint:gosec // not below 0
	}
	if s.Observed < s.Generation {
		s.Reason = "the controller has not seen the last change yet"
		return s, nil
	}
	if err := t.kind.status(ctx, t, w, &s); err != nil {
		return rollback.Status{}, err
	}
	return s, nil
}

// get reads the workload.
func (t *Target) get(ctx context.Context) (*workload, error) {
	u, err := t.client.Resource(t.kind.gvr).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	switch {
	case kube.Missing(err):
		return nil, fmt.Errorf("kube: there is no %v: %w", t, rollback.ErrRefused)
	case err != nil:
		return nil, t.wrap("reading it", err)
	}
	return t.workload(u)
}

// allowed says why nobody should go back here, whereto ever.
func (t *Target) allowed(w *workload) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("kube: %v %s: %w", t, fmt.Sprintf(format, args...), rollback.ErrRefused)
	}
	if at := w.u.GetDeletionTimestamp(); at != nil {
		return refuse("is being deleted since %s", at.UTC().Format(time.RFC3339))
	}
	if owner, ok := kube.OwnerOf(w.u); ok && (owner.System != "Helm" || !t.o.AcceptHelm) {
		return refuse("belongs to %v, %s", owner, wayOut(owner))
	}
	if c := metav1.GetControllerOf(w.u); c != nil {
		return refuse("is made by %s %s, which would write its template again; go back there", c.Kind, c.Name)
	}
	if paused, _, err := unstructured.NestedBool(w.u.Object, "spec", "paused"); err != nil || paused {
		return refuse("is paused and would not move; kubectl rollout resume it first")
	}
	if w.strategy() == onDelete {
		return refuse("updates on delete only, so that no pod would move; set its updateStrategy to RollingUpdate")
	}
	if n, p := w.number(1, "spec", "replicas"), w.partition(); p > 0 && p >= n {
		return refuse("has partition %d of %d replicas, so that no pod would move; lower the partition", p, n)
	}
	return nil
}

func wayOut(o kube.Owner) string {
	switch o.System {
	case "Argo CD":
		return "which writes its own template again; revert the commit, or turn automated sync off and argocd app rollback " + o.Name
	case "Flux":
		return "which writes its own template again; revert the commit, or suspend it first"
	}
	return "which would start from another release than the one that runs; helm rollback it, or set AcceptHelm"
}

// wrap is an error of the server with what it was about.
func (t *Target) wrap(doing string, err error) error {
	final := apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
	if final {
		err = errors.Join(rollback.ErrRefused, err)
	}
	return fmt.Errorf("kube: %v: %s: %w", t, doing, err)
}
