// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

const (
	// tries is how often a write is made anew from what is there now.
	tries = 12
	// losses is how many of them may be for want of an answer: the caller asks again,
	// too, and knows better when to give up.
	losses     = 2
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// Apply implements [traffic.Router] by one patch of the object as it was just read: what
// changes, and no more, under the resourceVersion that was read. Where somebody else was
// faster the object is read again, a dozen times, before that is ErrConflict with the
// name of who it was. Where the reply is lost, the object is read to see whether the
// write was made.
//
// A route that the object would not show as it is asked for is refused before anything is
// written.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.apply(ctx, fence, route); err != nil {
		return fmt.Errorf("kube: apply to %v: %w", r.object, err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	route, err := r.caps.NearestRoute(route)
	if err != nil {
		return err
	}
	lost, pause := 0, firstPause
	for try := 1; ; try++ {
		c := once(Live(r.client))
		have, rec, err := r.look(ctx, c)
		if err != nil {
			return err
		}
		next, err := r.turn(ctx, c, have, rec, fence, route)
		if err != nil || next == nil {
			return err
		}
		got, err := r.send(ctx, have, next)
		switch {
		case err == nil:
			return r.made(ctx, c, got, route)
		case ctx.Err() != nil:
			return err
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			if try == tries {
				return overrun(have, err)
			}
		case kube.Passing(err) && lost < losses:
			lost++
		default:
			return err
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// overrun is the error when others were faster each time.
func overrun(have *unstructured.Unstructured, err error) error {
	if have != nil {
		if w, ok := kube.LastWrite(have.GetManagedFields()); ok {
			return fmt.Errorf("it was changed each time between being read and being written, last by %q: %w (%w)", w.Manager, traffic.ErrConflict, err)
		}
	}
	return fmt.Errorf("it was changed each time between being read and being written: %w (%w)", traffic.ErrConflict, err)
}

// turn is the object as it is to be, nil if it is already.
func (r *Router) turn(ctx context.Context, c Reader, have *unstructured.Unstructured, rec record, fence uint64, route traffic.Route) (*unstructured.Unstructured, error) {
	if err := rec.Admit(fence, route); err != nil {
		return nil, err
	}
	if begins := rec.Route.IsZero() || !rec.Route.Split.Touches() && route.Split.Touches(); begins {
		if err := r.owned(have); err != nil {
			return nil, err
		}
	}
	if have == nil {
		made, err := r.make(ctx, c)
		if err != nil {
			return nil, err
		}
		have = made
	}
	// What says more than a route can is to be made to say this one.
	before, unread := r.codec.Read(ctx, c, have, route.Arms)
	if unread != nil {
		before = traffic.Route{}
	}
	if before.Equal(route) && rec.Fence == fence && rec.Route.Equal(route) {
		return nil, nil //nolint:nilnil // nothing is to be written
	}
	return r.compose(ctx, c, have, rec, traffic.Accepted{Fence: fence, Route: route}, before)
}

func (r *Router) make(ctx context.Context, c Reader) (*unstructured.Unstructured, error) {
	maker, ok := r.codec.(Maker)
	if !ok {
		return nil, fmt.Errorf("%v is not there", r.object)
	}
	made, err := maker.Make(ctx, c)
	if err != nil {
		return nil, err
	}
	made = made.DeepCopy()
	made.SetNamespace(r.object.Namespace)
	made.SetName(r.object.Name)
	return made, nil
}

// compose is a copy of have that says what is accepted, with the record of it.
func (r *Router) compose(ctx context.Context, c Reader, have *unstructured.Unstructured, was record, a traffic.Accepted, before traffic.Route) (*unstructured.Unstructured, error) {
	next := have.DeepCopy()
	kept := originalOf(have, r.codec.Fields())
	if was.Route.Arms != a.Route.Arms {
		kept = nil // it was that of another rollout
		note(next, kube.Original, "")
	}
	if !before.Equal(a.Route) {
		if _, own := r.codec.(Maker); kept == nil && !own {
			kept = take(have, r.codec.Fields())
		}
		if err := r.say(ctx, c, next, kept, a.Route); err != nil {
			return nil, err
		}
	}
	return next, record{Accepted: a, Need: r.need(ctx, c, was, before, a.Route)}.put(next)
}

// say makes next say route: in its owner's own words if the object said that before it was
// first turned, and otherwise in the codec's.
func (r *Router) say(ctx context.Context, c Reader, next *unstructured.Unstructured, kept original, route traffic.Route) error {
	fields := r.codec.Fields()
	have := next.DeepCopy()
	if err := r.codec.Write(ctx, c, next, route); err != nil {
		return err
	}
	if err := onlyFields(difference(have.Object, next.Object), fields); err != nil {
		return err
	}
	if said, err := r.codec.Read(ctx, c, next, route.Arms); err != nil {
		return fmt.Errorf("what was to be written cannot be read: %w", err)
	} else if !said.Equal(route) {
		return fmt.Errorf("the object would say %q where %q is asked for", said, route)
	}
	if kept == nil {
		return nil
	}
	declared := have
	if err := kept.put(declared, fields); err != nil {
		return err
	}
	if said, err := r.codec.Read(ctx, c, declared, route.Arms); err != nil || !said.Equal(route) {
		if !route.Split.Touches() {
			kept = nil // the rollout has ended where the object never was
		}
		return kept.keep(next)
	}
	note(next, kube.Original, "")
	// Others may have changed the same fields meanwhile. They have not if the route
	// makes the same of both.
	again := declared.DeepCopy()
	if err := r.codec.Write(ctx, c, again, route); err == nil && reflect.DeepEqual(take(again, fields), take(next, fields)) {
		return kept.put(next, fields)
	}
	return nil
}

// made looks at what the server has made of a write.
func (r *Router) made(ctx context.Context, c Reader, got *unstructured.Unstructured, route traffic.Route) error {
	r.wrote(got.GetResourceVersion())
	said, err := r.codec.Read(ctx, c, got, route.Arms)
	if err != nil {
		return fmt.Errorf("what the server made of it cannot be read: %w", err)
	}
	if !said.Equal(route) {
		return fmt.Errorf("the server made %q of %q: an admission webhook changes the object, or its version lacks a field", said, route)
	}
	return nil
}

func (r *Router) send(ctx context.Context, have, next *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	objects := r.client.Resource(r.object.Resource).Namespace(r.object.Namespace)
	if next.GetResourceVersion() == "" {
		got, err := objects.Create(ctx, next, metav1.CreateOptions{FieldManager: kube.Manager})
		if err != nil {
			return nil, fmt.Errorf("create: %w", err)
		}
		return got, nil
	}
	patch := difference(have.Object, next.Object)
	if err := unstructured.SetNestedField(patch, have.GetResourceVersion(), "metadata", "resourceVersion"); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	got, err := objects.Patch(ctx, r.object.Name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: kube.Manager})
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	return got, nil
}

// sleep waits for about d, each writer for another time, or reports false if ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // chance, no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
