// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	internal "github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

// short is a host as its own namespace names it.
func (c codec) short(host string) string {
	if name, ok := strings.CutSuffix(host, "."+c.namespace+local); ok && !strings.Contains(name, ".") {
		return name
	}
	return host
}

// arm is whom a destination names: {destination: {host, subset}}.
func (c codec) arm(to map[string]any) string {
	d, _ := to["destination"].(map[string]any)
	host, _ := d["host"].(string)
	if c.host == "" {
		return c.short(host)
	}
	if subset, _ := d["subset"].(string); subset != "" && c.short(host) == c.short(c.host) {
		return subset
	}
	return host
}

// sends says whether a route names the arm.
func (v *view) sends(e *entry, arm string) bool {
	return arm != "" && slices.ContainsFunc(e.to(), func(to map[string]any) bool { return v.arm(to) == arm })
}

// backends are the destinations of a route with their weights. The only one gets everything,
// whatever it says; among others, none is 0.
func (v *view) backends(e *entry) (all []weights.Backend) {
	for _, to := range e.to() {
		w, _ := to["weight"].(int64)
		all = append(all, weights.Backend{Arm: v.arm(to), Weight: w})
	}
	if len(all) == 1 {
		all[0].Weight = 1
	}
	return all
}

// split is what a route says, with its pins, or who else gets requests by it.
func (v *view) split(e *entry) (split traffic.Split, stranger string, err error) {
	if split.Candidate, stranger, err = weights.Candidate(v.backends(e), v.arms); err != nil {
		return traffic.Split{}, "", fmt.Errorf("route: %w", err)
	}
	if split.Mirror, err = v.mirrored(e); err != nil {
		return traffic.Split{}, "", err
	}
	for _, pin := range v.pins[e] {
		list, _ := matches(pin, e)
		split.Match = append(split.Match, list...)
	}
	return split, stranger, nil
}

// turn makes one say the route but for its matches. Two destinations stay, so that no
// weight of 0 is ever that of the only one, which would get everything.
func (v *view) turn(e *entry, route traffic.Route) error {
	for _, b := range weights.Of(route, v.total) {
		to, err := v.to(e, b.Arm)
		if err != nil {
			return err
		}
		to["weight"] = b.Weight
	}
	// Third parties get nothing while this route is in force; those of rollouts of the
	// past need not even be there any more.
	list, _ := e.route["route"].([]any)
	e.route["route"] = slices.DeleteFunc(list, func(to any) bool {
		d, _ := to.(map[string]any)
		arm := v.arm(d)
		return arm != v.arms.Stable && arm != v.arms.Candidate
	})
	if e.http() {
		return v.mirror(e.route, route.Split.Mirror)
	}
	return nil
}

// to is the destination of an arm, made like that of the other one if there is none.
func (v *view) to(e *entry, arm string) (map[string]any, error) {
	all := e.to()
	if len(all) == 0 {
		return nil, errors.New("route: there is no destination that the other arm could be like")
	}
	var found map[string]any
	like := all[0]
	for _, to := range all {
		a := v.arm(to)
		if a == v.arms.Stable || a == v.arms.Candidate {
			like = to
		}
		if a != arm {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("route: %q is named twice, and one weight cannot be both: %w", arm, errors.ErrUnsupported)
		}
		found = to
	}
	if found == nil {
		found = v.like(like, arm)
		list, _ := e.route["route"].([]any)
		e.route["route"] = append(list, found)
	}
	return found, nil
}

// like is a destination with the port and the headers of another one.
func (v *view) like(to map[string]any, arm string) map[string]any {
	made := runtime.DeepCopyJSON(to)
	d, ok := made["destination"].(map[string]any)
	if !ok {
		d = map[string]any{}
		made["destination"] = d
	}
	if v.host != "" {
		d["host"], d["subset"] = v.host, arm
		return made
	}
	d["host"] = arm
	delete(d, "subset") // it is one of the other host
	return made
}

// exist refuses to send requests to what is not there: its share would be answered with an
// error, and never by the other arm. Not to know is in the way of the candidate only.
func (v *view) exist(ctx context.Context, c kube.Reader, route traffic.Route) error {
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
		err := v.there(ctx, c, x.field, x.arm)
		var gone noSubset
		if err != nil && (route.Split.Touches() || internal.Missing(err) || errors.As(err, &gone)) {
			return err
		}
	}
	return nil
}

func (v *view) there(ctx context.Context, c kube.Reader, field, arm string) error {
	if v.subsets != nil {
		return v.subsets.have(ctx, c, field, arm)
	}
	b := service(arm)
	if b.Service == "" {
		return nil // a ServiceEntry may have it
	}
	if b.Namespace == "" {
		b.Namespace = v.namespace
	}
	_, err := c.Get(ctx, kube.Object{Resource: services, Namespace: b.Namespace, Name: b.Service})
	if err != nil {
		return fmt.Errorf("%s: its share would be answered with 503: %w", field, err)
	}
	return nil
}
