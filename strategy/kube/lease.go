// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rheostat-go/rheostat/internal/kube"
)

var leaseResource = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

const (
	// sharesLabel marks the Leases of one program, memberLabel those of its replicas.
	sharesLabel = "rheostat.dev/shares"
	memberLabel = "rheostat.dev/replica"
)

// lease is a Lease as this package uses it. The zero lease is one that does not exist.
type lease struct {
	version     string
	holder      string
	member      string // whose own it is; empty for a shard's
	renewed     string
	duration    time.Duration
	transitions int64
}

// list is all Leases of this program, by name. It is never from a cache.
func (s *shards) list(ctx context.Context) (map[string]lease, error) {
	all, err := s.leases.List(ctx, metav1.ListOptions{LabelSelector: sharesLabel + "=" + s.options.Name})
	if err != nil {
		return nil, err
	}
	listed := make(map[string]lease, len(all.Items))
	for i := range all.Items {
		listed[all.Items[i].GetName()] = leaseOf(&all.Items[i])
	}
	return listed, nil
}

func leaseOf(object *unstructured.Unstructured) lease {
	text := func(field string) string {
		v, _, _ := unstructured.NestedString(object.Object, "spec", field)
		return v
	}
	number := func(field string) int64 {
		v, _, _ := unstructured.NestedInt64(object.Object, "spec", field)
		return v
	}
	l := lease{
		version: object.GetResourceVersion(), holder: text("holderIdentity"), renewed: text("renewTime"),
		duration: time.Duration(number("leaseDurationSeconds")) * time.Second, transitions: number("leaseTransitions"),
	}
	if object.GetLabels()[memberLabel] != "" {
		l.member = object.GetAnnotations()[memberLabel]
	}
	return l
}

// memberName is the Lease of this replica.
func (s *shards) memberName() string {
	return s.options.Name + "-replica-" + objectName(s.options.Identity)
}

// renew says that this replica lives.
func (s *shards) renew(ctx context.Context, now time.Time) error {
	spec := map[string]any{"holderIdentity": s.options.Identity, "renewTime": micro(now)}
	err := s.patchLease(ctx, s.memberName(), "", spec)
	if !kube.Missing(err) {
		return err
	}
	spec["acquireTime"] = spec["renewTime"]
	spec["leaseDurationSeconds"] = int64((s.options.Lease + time.Second - 1) / time.Second)
	return s.createLease(ctx, s.memberName(), s.options.Identity, spec)
}

// pass writes who holds a shard now, if its lease still is as it was listed.
func (s *shards) pass(ctx context.Context, name string, l lease, to string, epoch int64) error {
	now := micro(time.Now())
	spec := map[string]any{"holderIdentity": to, "acquireTime": now, "renewTime": now, "leaseTransitions": epoch}
	if l.version == "" {
		return s.createLease(ctx, name, "", spec)
	}
	return s.patchLease(ctx, name, l.version, spec)
}

// leave tells the others at once, instead of letting them find out.
func (s *shards) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := s.leases.Delete(ctx, s.memberName(), metav1.DeleteOptions{}); err != nil && !kube.Missing(err) {
		s.log.Warn("shards: the others will find out by themselves that this replica has left", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.held)
}

// remove sweeps the Lease of a dead replica away, unless it has come back.
func (s *shards) remove(ctx context.Context, name string, l lease) error {
	return s.leases.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &l.version}})
}

func (s *shards) createLease(ctx context.Context, name, member string, spec map[string]any) error {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetAPIVersion(leaseResource.GroupVersion().String())
	object.SetKind("Lease")
	object.SetName(name)
	labels := map[string]string{sharesLabel: s.options.Name}
	if member != "" {
		labels[memberLabel] = "true"
		object.SetAnnotations(map[string]string{memberLabel: member}) // a label's value may not hold every name
	}
	object.SetLabels(labels)
	_, err := s.leases.Create(ctx, object, metav1.CreateOptions{FieldManager: kube.Manager})
	return err
}

// patchLease writes if the version is still the one given; "" is any.
func (s *shards) patchLease(ctx context.Context, name, version string, spec map[string]any) error {
	meta := map[string]any{}
	if version != "" {
		meta["resourceVersion"] = version
	}
	patch, err := json.Marshal(map[string]any{"metadata": meta, "spec": spec})
	if err != nil {
		return err
	}
	_, err = s.leases.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kube.Manager})
	return err
}

// micro is a time as Leases and Events have it.
func micro(t time.Time) string { return t.UTC().Format(metav1.RFC3339Micro) }
