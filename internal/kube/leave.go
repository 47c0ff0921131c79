// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Leave is what the owner must be told so that it leaves alone the fields of an object
// that others write: a piece of its configuration, ready to paste. A field is a path of
// names as they stand in the object.
func (o Owner) Leave(kind schema.GroupKind, namespace, name string, fields ...[]string) string {
	target := object{kind, namespace, name}
	pointers := make([]string, len(fields))
	for i, f := range fields {
		pointers[i] = Pointer(f...)
	}
	switch {
	case o.System == "Argo CD":
		return "in the Application " + o.Name + ":\n" + target.argo(pointers)
	case strings.HasPrefix(o.Name, "HelmRelease "):
		return "in the " + o.Name + ":\n" + target.helmRelease(pointers)
	case o.System == "Flux":
		return "in the " + o.Name + " (kustomize-controller 1.10 knows spec.ignore; without it, annotate the object in Git with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent):\n" + target.kustomization(pointers)
	}
	return "nothing: " + o.System + " writes only when somebody runs it"
}

// Pointer is a path as a JSON pointer.
func Pointer(path ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + escape.Replace(name))
	}
	return b.String()
}

type object struct {
	schema.GroupKind
	namespace, name string
}

// argo has both options: without the second one, every sync would write the fields again.
func (o object) argo(pointers []string) string {
	var b strings.Builder
	b.WriteString("spec:\n  ignoreDifferences:\n")
	fmt.Fprintf(&b, "  - kind: %s\n", o.Kind)
	if o.Group != "" {
		fmt.Fprintf(&b, "    group: %s\n", o.Group)
	}
	if o.namespace != "" {
		fmt.Fprintf(&b, "    namespace: %s\n", o.namespace)
	}
	fmt.Fprintf(&b, "    name: %s\n    jsonPointers:\n", o.name)
	list(&b, "    ", pointers)
	b.WriteString("  syncPolicy:\n    syncOptions:\n    - RespectIgnoreDifferences=true\n")
	return b.String()
}

func (o object) kustomization(pointers []string) string {
	var b strings.Builder
	b.WriteString("spec:\n  ignore:\n")
	o.rule(&b, "  ", pointers)
	return b.String()
}

func (o object) helmRelease(pointers []string) string {
	var b strings.Builder
	b.WriteString("spec:\n  driftDetection:\n    ignore:\n")
	o.rule(&b, "    ", pointers)
	return b.String()
}

// rule is one of Flux's: what to leave alone, and in which objects.
func (o object) rule(b *strings.Builder, indent string, pointers []string) {
	fmt.Fprintf(b, "%s- paths:\n", indent)
	list(b, indent+"  ", pointers)
	fmt.Fprintf(b, "%s  target:\n", indent)
	if o.Group != "" {
		fmt.Fprintf(b, "%s    group: %s\n", indent, o.Group)
	}
	fmt.Fprintf(b, "%s    kind: %s\n%s    name: %s\n", indent, o.Kind, indent, o.name)
	if o.namespace != "" {
		fmt.Fprintf(b, "%s    namespace: %s\n", indent, o.namespace)
	}
}

func list(b *strings.Builder, indent string, items []string) {
	for _, item := range items {
		fmt.Fprintf(b, "%s- %s\n", indent, item)
	}
}
