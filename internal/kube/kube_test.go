// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
)

func TestTheLatestWriterOfAFieldIsNamed(t *testing.T) {
	t.Parallel()
	at := func(minute int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)}
	}
	fields := []metav1.ManagedFieldsEntry{
		{Manager: "helm", Time: at(1), FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:http":{},"f:hosts":{}}}`)},
		{Manager: "kubectl-edit", Time: at(3), FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:http":{}}}`)},
		{Manager: "labeller", Time: at(9), FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:a":{}}}}`)},
		{Manager: "without fields", Time: at(10)},
	}
	for _, c := range []struct {
		path []string
		want string
	}{
		{[]string{"spec", "http"}, "kubectl-edit"},
		{[]string{"spec", "http", "0", "route"}, "kubectl-edit"}, // an atomic list
		{[]string{"spec", "hosts"}, "helm"},
		{[]string{"spec"}, "kubectl-edit"},
		{[]string{"metadata", "labels", "a"}, "labeller"},
		{[]string{"spec", "tls"}, ""},
	} {
		if got, ok := kube.LastWrite(fields, c.path...); got.Manager != c.want || ok != (c.want != "") {
			t.Errorf("%v: got %q %t, want %q", c.path, got.Manager, ok, c.want)
		}
	}
}

func TestAnOwnerIsKnownByWhatItLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		labels, notes map[string]string
		want          string
		reverts       bool
	}{
		{nil, map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/web"}, "Argo CD shop", true},
		{map[string]string{"argocd.argoproj.io/instance": "shop"}, nil, "Argo CD shop", true},
		{map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, nil, "Flux Kustomization flux-system/apps", true},
		{map[string]string{"helm.toolkit.fluxcd.io/name": "web", "app.kubernetes.io/managed-by": "Helm"}, nil, "Flux HelmRelease web", true},
		{map[string]string{"app.kubernetes.io/managed-by": "Helm"}, map[string]string{"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "prod"}, "Helm prod/web", false},
		{map[string]string{"app": "web"}, nil, "", false},
	} {
		got, ok := kube.OwnerOf(&metav1.ObjectMeta{Labels: c.labels, Annotations: c.notes})
		if ok != (c.want != "") || ok && (got.String() != c.want || got.Reverts() != c.reverts) {
			t.Errorf("%v %v: got %v %t %t, want %q %t", c.labels, c.notes, got, got.Reverts(), ok, c.want, c.reverts)
		}
	}
}

func TestWhatAnErrorOfTheServerMeans(t *testing.T) {
	t.Parallel()
	r := schema.GroupResource{Group: "apps", Resource: "deployments"}
	for _, c := range []struct {
		err     error
		passing bool
	}{
		{apierrors.NewConflict(r, "web", errors.New("changed")), false},
		{apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "web", nil), false},
		{apierrors.NewNotFound(r, "web"), false},
		{apierrors.NewForbidden(r, "web", errors.New("no")), false},
		{apierrors.NewTooManyRequests("busy", 1), true},
		{apierrors.NewServiceUnavailable("restarting"), true},
		{apierrors.NewInternalError(errors.New("etcd")), true},
		{apierrors.NewServerTimeout(r, "patch", 1), true},
		{errors.New("dial tcp 127.0.0.1:6443: connection refused"), true},
		{nil, false},
	} {
		if got := kube.Passing(c.err); got != c.passing {
			t.Errorf("%v: passing %t, want %t", c.err, got, c.passing)
		}
	}
}

func TestAResourceThatIsNotInstalledIsNoMissingObject(t *testing.T) {
	t.Parallel()
	r := schema.GroupResource{Group: "rheostat.dev", Resource: "rollouts"}
	absent := apierrors.NewGenericServerResponse(404, "GET", r, "web", "404 page not found", 0, true)
	for err, want := range map[error]bool{
		apierrors.NewNotFound(r, "web"): true,
		absent:                          false,
		errors.New("not found"):         false,
	} {
		if got := kube.Missing(err); got != want {
			t.Errorf("%v: missing %t, want %t", err, got, want)
		}
	}
}
