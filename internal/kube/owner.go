// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Owner is a system that keeps an object as its own sources say, and undoes what others
// write: Argo CD, Flux, Helm.
type Owner struct {
	// System is "Argo CD", "Flux" or "Helm".
	System string
	// Name is the application, the Kustomization, the HelmRelease or the release, as the
	// object tells it: "namespace/name" where there is a namespace.
	Name string
}

// String is the system and the name.
func (o Owner) String() string { return o.System + " " + o.Name }

// Reverts says whether the owner undoes by itself what others write. Helm does only when
// somebody runs it.
func (o Owner) Reverts() bool { return o.System != "Helm" }

// OwnerOf finds the owner by the labels and annotations that it leaves on its objects.
func OwnerOf(o metav1.Object) (Owner, bool) {
	labels, notes := o.GetLabels(), o.GetAnnotations()
	if id := notes["argocd.argoproj.io/tracking-id"]; id != "" {
		app, _, _ := strings.Cut(id, ":")
		return Owner{"Argo CD", app}, true
	}
	if app := labels["argocd.argoproj.io/instance"]; app != "" {
		return Owner{"Argo CD", app}, true
	}
	for _, flux := range []struct{ group, kind string }{
		{"kustomize.toolkit.fluxcd.io", "Kustomization"},
		{"helm.toolkit.fluxcd.io", "HelmRelease"},
	} {
		if name := labels[flux.group+"/name"]; name != "" {
			return Owner{"Flux", flux.kind + " " + joined(labels[flux.group+"/namespace"], name)}, true
		}
	}
	if labels["app.kubernetes.io/managed-by"] == "Helm" {
		return Owner{"Helm", joined(notes["meta.helm.sh/release-namespace"], notes["meta.helm.sh/release-name"])}, true
	}
	return Owner{}, false
}

func joined(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
