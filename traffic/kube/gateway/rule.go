// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	internal "github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// refs are the backends of a rule; what is changed in them is changed in the rule.
func (v *view) refs(at int) []map[string]any { return objects(v.all[at]["backendRefs"]) }

func objects(list any) (all []map[string]any) {
	items, _ := list.([]any)
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all
}

// arm is whom a reference names.
func (v *view) arm(ref map[string]any) string {
	name, _ := ref["name"].(string)
	if namespace, _ := ref["namespace"].(string); namespace != "" && namespace != v.namespace {
		return namespace + "/" + name
	}
	return name
}

// sends says whether a rule names the arm.
func (v *view) sends(at int, arm string) bool {
	for _, ref := range v.refs(at) {
		if arm != "" && v.arm(ref) == arm {
			return true
		}
	}
	return false
}

// backends are those of a rule with their weights: 1 where there is none.
func (v *view) backends(at int) (all []weights.Backend) {
	for _, ref := range v.refs(at) {
		b := weights.Backend{Arm: v.arm(ref), Weight: 1}
		if w, ok := ref["weight"].(int64); ok {
			b.Weight = w
		}
		all = append(all, b)
	}
	return all
}

// split is what a rule says, with its pins, or who else gets requests by it.
func (v *view) split(at int) (split traffic.Split, stranger string, err error) {
	if split.Candidate, stranger, err = weights.Candidate(v.backends(at), v.arms); err != nil {
		return traffic.Split{}, "", fmt.Errorf("backendRefs: %w", err)
	}
	if split.Mirror, err = v.mirrored(at); err != nil {
		return traffic.Split{}, "", err
	}
	for _, pin := range v.pins[at] {
		list, _ := v.matches(pin, at)
		split.Match = append(split.Match, list...)
	}
	return split, stranger, nil
}

// turn makes a rule say the route but for its matches.
func (v *view) turn(at int, route traffic.Route) error {
	for _, b := range weights.Of(route, v.total) {
		ref, err := v.ref(at, b.Arm)
		if err != nil {
			return err
		}
		ref["weight"] = b.Weight
	}
	// Third parties get nothing while this route is in force; those of rollouts of the
	// past need not even be there any more.
	list, _ := v.all[at]["backendRefs"].([]any)
	v.all[at]["backendRefs"] = slices.DeleteFunc(list, func(ref any) bool {
		r, _ := ref.(map[string]any)
		arm := v.arm(r)
		return arm != v.arms.Stable && arm != v.arms.Candidate
	})
	v.mirror(v.all[at], route.Split.Mirror)
	return nil
}

// ref is the reference to an arm, made like the first one if there is none.
func (v *view) ref(at int, arm string) (map[string]any, error) {
	var found map[string]any
	refs := v.refs(at)
	for _, ref := range refs {
		if v.arm(ref) != arm {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("backendRefs: %q is named twice, and one weight cannot be both: %w", arm, errors.ErrUnsupported)
		}
		found = ref
	}
	if found != nil {
		return found, nil
	}
	if len(refs) == 0 {
		return nil, errors.New("backendRefs: there is none that the other arm could be like")
	}
	like := refs[0]
	for _, ref := range refs {
		if a := v.arm(ref); a == v.arms.Stable || a == v.arms.Candidate {
			like = ref
		}
	}
	made := v.like(like, arm)
	list, _ := v.all[at]["backendRefs"].([]any)
	v.all[at]["backendRefs"] = append(list, made)
	return made, nil
}

// like is a reference to an arm with the port and the filters of another one.
func (v *view) like(ref map[string]any, arm string) map[string]any {
	made := runtime.DeepCopyJSON(ref)
	namespace, name, ok := strings.Cut(arm, "/")
	if !ok {
		namespace, name = "", arm
	}
	delete(made, "namespace")
	if namespace != "" {
		made["namespace"] = namespace
	}
	made["name"] = name
	return made
}

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

// exist refuses to send requests to a Service that is not there: its share would be
// answered with an error, and never by the other one. Not to know is in the way of the
// candidate only.
func (v *view) exist(ctx context.Context, c kube.Reader, route traffic.Route) error {
	ref := v.refs(v.bases[0])[0]
	kind, _ := ref["kind"].(string)
	if group, _ := ref["group"].(string); group != "" || kind != "" && kind != "Service" {
		return nil
	}
	for _, x := range []struct {
		field, arm string
		gets       bool
	}{
		{"arms.stable", route.Arms.Stable, route.Split.Candidate < traffic.Full},
		{"arms.candidate", route.Arms.Candidate, route.Split.Touches()},
	} {
		if !x.gets {
			continue
		}
		b, _ := backend(ctx, c, x.arm)
		if b.Namespace == "" {
			b.Namespace = v.namespace
		}
		_, err := c.Get(ctx, kube.Object{Resource: services, Namespace: b.Namespace, Name: b.Service})
		if internal.Missing(err) {
			return fmt.Errorf("%s: there is no service %s/%s, and its share would be answered with 500: %w", x.field, b.Namespace, b.Service, err)
		}
		if err != nil && route.Split.Touches() {
			return fmt.Errorf("%s: %w", x.field, err)
		}
	}
	return nil
}

// Proof is Programmed when every parent says so of what the object says now.
func (c codec) Proof(_ context.Context, _ kube.Reader, o *unstructured.Unstructured, _ traffic.Route) (traffic.Evidence, error) {
	spec, _ := o.Object["spec"].(map[string]any)
	status, _ := o.Object["status"].(map[string]any)
	said := objects(status["parents"])
	for _, s := range said {
		if !programmed(s, o.GetGeneration()) {
			return traffic.Written, nil
		}
	}
	parents := objects(spec["parentRefs"])
	for _, p := range parents {
		if !heard(said, p, o.GetNamespace()) {
			return traffic.Written, nil
		}
	}
	if len(parents) == 0 {
		return traffic.Written, nil
	}
	return traffic.Programmed, nil
}

// heard says whether there is a status of a parent.
func heard(said []map[string]any, parent map[string]any, namespace string) bool {
	for _, s := range said {
		if ref, ok := s["parentRef"].(map[string]any); ok && parentOf(ref, namespace) == parentOf(parent, namespace) {
			return true
		}
	}
	return false
}

// parent is a reference with its defaults.
type parent struct {
	group, kind, namespace, name, section string
	port                                  int64
}

func parentOf(ref map[string]any, namespace string) parent {
	text := func(field, missing string) string {
		if s, ok := ref[field].(string); ok {
			return s
		}
		return missing
	}
	port, _ := ref["port"].(int64)
	return parent{text("group", "gateway.networking.k8s.io"), text("kind", "Gateway"), text("namespace", namespace), text("name", ""), text("sectionName", ""), port}
}

// programmed says whether a parent has taken the whole of a generation.
func programmed(said map[string]any, generation int64) bool {
	good := 0
	for _, c := range objects(said["conditions"]) {
		seen, _ := c["observedGeneration"].(int64)
		switch c["type"] {
		case "Accepted", "ResolvedRefs":
			if c["status"] == "True" && seen == generation {
				good++
			}
		case "PartiallyInvalid":
			if c["status"] == "True" {
				return false
			}
		}
	}
	return good == 2
}
