// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// classNote is how an Ingress named its class before it had a field for that.
const classNote = "kubernetes.io/ingress.class"

// codec is that of the canary Ingress.
type codec struct {
	main     kube.Object
	prefix   string
	total    int64
	matches  bool
	affinity Affinity
}

var (
	_ kube.Codec = codec{}
	_ kube.Maker = codec{}
)

func (c codec) Caps() traffic.Caps {
	return traffic.Caps{Granularity: traffic.Full / traffic.Weight(c.total), Match: c.matches} //nolint:gosec // a divisor of Full
}

// names are the annotations that the controller reads on a canary Ingress, first the one
// that changes most.
var names = [...]string{
	"canary-weight", "canary", "canary-weight-total", "canary-by-header", "canary-by-header-value",
	"canary-by-header-pattern", "canary-by-cookie", "affinity-canary-behavior",
}

func (c codec) Fields() [][]string {
	var fields [][]string
	for _, name := range names {
		fields = append(fields, []string{"metadata", "annotations", c.prefix + name})
	}
	return append(fields, []string{"spec", "rules"}, []string{"spec", "defaultBackend"}, []string{"spec", "ingressClassName"},
		[]string{"metadata", "annotations", classNote})
}

// Make is a canary Ingress that gets nothing, and goes with the Ingress that it is of.
func (c codec) Make(ctx context.Context, from kube.Reader) (*unstructured.Unstructured, error) {
	main, err := from.Get(ctx, c.main)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
		"metadata": map[string]any{
			"labels": map[string]any{"app.kubernetes.io/managed-by": "rheostat"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": main.GetName(), "uid": string(main.GetUID()),
			}},
		},
	}}
	c.note(o, "canary", "true")
	c.note(o, "canary-weight", "0")
	return o, nil
}

// Idle is a canary without a share and without matches: without it, the Ingress goes on
// as before.
func (c codec) Idle(ctx context.Context, from kube.Reader, o *unstructured.Unstructured) (bool, error) {
	main, err := from.Get(ctx, c.main)
	if err != nil {
		return false, err
	}
	share, matches := c.share(o), c.read(o)
	return share == 0 && len(matches) == 0 || backendOf(o) == c.behind(main, o), nil
}

func (c codec) Read(ctx context.Context, from kube.Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error) {
	main, err := from.Get(ctx, c.main)
	if err != nil {
		return traffic.Route{}, err
	}
	if on, err := strconv.ParseBool(o.GetAnnotations()[c.prefix+"canary"]); err != nil || !on {
		return traffic.Route{}, fmt.Errorf("%scanary: it is not \"true\", so that this Ingress is one more of its own", c.prefix)
	}
	own, other := c.behind(main, o), backendOf(o)
	if own == "" || other == "" || !c.whole(main, o, own, other) {
		return traffic.Route{Arms: traffic.Arms{Stable: own}}, nil // some paths are split, and others are not
	}
	split := traffic.Split{Candidate: c.share(o), Match: c.read(o)}
	switch arms {
	case traffic.Arms{Stable: own, Candidate: other}:
	case traffic.Arms{Stable: other, Candidate: own}:
		if len(split.Match) > 0 {
			return traffic.Route{Arms: traffic.Arms{Stable: own, Candidate: other}, Split: split}, nil
		}
		split.Candidate = traffic.Full - split.Candidate
	default:
		return c.unlike(own, other, split, arms), nil
	}
	return traffic.Route{Arms: arms, Split: split}, nil
}

// unlike is the route where the backends are not the two arms.
func (c codec) unlike(own, other string, split traffic.Split, arms traffic.Arms) traffic.Route {
	if own != other {
		return traffic.Route{Arms: traffic.Arms{Stable: own, Candidate: other}, Split: split}
	}
	switch own { // the canary changes nothing: the Ingress has its backend
	case arms.Stable:
		return traffic.Route{Arms: arms}
	case arms.Candidate:
		return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Full}}
	}
	return traffic.Route{Arms: traffic.Arms{Stable: own}}
}

func (c codec) Write(ctx context.Context, from kube.Reader, o *unstructured.Unstructured, route traffic.Route) error {
	main, err := from.Get(ctx, c.main)
	if err != nil {
		return err
	}
	own, other, share, err := sides(main, route)
	if err != nil {
		return fmt.Errorf("%v: %w", c.main, err)
	}
	if err := c.sessions(main, o, share > 0 || len(route.Split.Match) > 0); err != nil {
		return err
	}
	c.note(o, "canary", "true")
	c.note(o, "canary-weight", strconv.FormatInt(int64(share)*c.total/int64(traffic.Full), 10))
	c.note(o, "canary-weight-total", "")
	if c.total > perCents {
		c.note(o, "canary-weight-total", strconv.FormatInt(c.total, 10))
	}
	if err := c.write(o, route.Split.Match, other == route.Arms.Candidate); err != nil {
		return err
	}
	return c.copy(main, o, own, other)
}

// sides are what the Ingress has, what the canary is to have, and its share.
func sides(main *unstructured.Unstructured, route traffic.Route) (own, other string, share traffic.Weight, err error) {
	stable, candidate := has(main, route.Arms.Stable), has(main, route.Arms.Candidate)
	switch {
	case stable && candidate:
		return "", "", 0, fmt.Errorf("it has both %q and %q as backends; a canary can be of one of them: move the other one to an Ingress of its own, on another host", route.Arms.Stable, route.Arms.Candidate)
	case stable:
		return route.Arms.Stable, route.Arms.Candidate, route.Split.Candidate, nil
	case candidate:
		return route.Arms.Candidate, route.Arms.Stable, traffic.Full - route.Split.Candidate, nil
	}
	return "", "", 0, fmt.Errorf("arms: it has neither %q nor %q as a backend", route.Arms.Stable, route.Arms.Candidate)
}

// sessions writes what becomes of clients with a session, or refuses the route.
func (c codec) sessions(main, o *unstructured.Unstructured, moves bool) error {
	sticky := main.GetAnnotations()[c.prefix+"affinity"] == "cookie"
	if sticky && moves && c.affinity == Refused {
		return fmt.Errorf("%v has affinity: cookie, so that clients with a session stay where they are whatever the route says: remove the annotation, or set options.affinity: %w", c.main, errors.ErrUnsupported)
	}
	c.note(o, "affinity-canary-behavior", string(c.affinity))
	return nil
}

// copy gives the canary the paths of the Ingress that go to own, with other in its place.
func (c codec) copy(main, o *unstructured.Unstructured, own, other string) error {
	rules, fallback := c.paths(main, own, other)
	class, _, _ := unstructured.NestedString(main.Object, "spec", "ingressClassName")
	note(o, classNote, main.GetAnnotations()[classNote])
	for name, value := range map[string]any{"rules": rules, "defaultBackend": fallback, "ingressClassName": class} {
		if empty(value) {
			unstructured.RemoveNestedField(o.Object, "spec", name)
			continue
		}
		if err := unstructured.SetNestedField(o.Object, value, "spec", name); err != nil {
			return fmt.Errorf("spec.%s: %w", name, err)
		}
	}
	return nil
}

// whole says whether the canary has all the paths of own.
func (c codec) whole(main, o *unstructured.Unstructured, own, other string) bool {
	rules, fallback := c.paths(main, own, other)
	has, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	hasFallback, _, _ := unstructured.NestedMap(o.Object, "spec", "defaultBackend")
	return len(has) == len(rules) && (len(rules) == 0 || reflect.DeepEqual(has, rules)) &&
		(len(hasFallback) == 0 && len(fallback) == 0 || reflect.DeepEqual(hasFallback, fallback))
}

func (c codec) note(o *unstructured.Unstructured, name, text string) { note(o, c.prefix+name, text) }

// note sets an annotation, or removes it if the text is empty.
func note(o *unstructured.Unstructured, name, text string) {
	notes := o.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	notes[name] = text
	if text == "" {
		delete(notes, name)
	}
	o.SetAnnotations(notes)
}

func empty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return v == nil
}

// share is the weight as the controller takes it: a total of 100 or less is ignored, and
// what is no number is 0.
func (c codec) share(o *unstructured.Unstructured) traffic.Weight {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(o.GetAnnotations()[c.prefix+name], 10, 32)
		if err != nil {
			return 0
		}
		return n
	}
	total := max(number("canary-weight-total"), perCents)
	weight := min(max(number("canary-weight"), 0), total)
	return weights.Share(weight, total)
}
