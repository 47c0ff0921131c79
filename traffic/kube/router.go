// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

// Router turns the traffic of one object through a [Codec]. All state is in the object, so
// any number of routers in any number of processes may turn the same one; it is safe for
// concurrent use.
type Router struct {
	client dynamic.Interface
	object Object
	codec  Codec
	caps   traffic.Caps
	o      Options

	mu     sync.Mutex
	newest string // resourceVersion of what this router has written
}

var _ traffic.Router = (*Router)(nil)

// New is the router for one object. It asks the API server nothing; an error names the
// argument that cannot be right.
//
// The client's own limits hold for Apply, too: give it as many requests a second as there
// are rollouts, for client-go's default of five makes the way home of the last of a
// hundred objects wait.
func New(client dynamic.Interface, object Object, codec Codec, o Options) (*Router, error) {
	switch {
	case client == nil:
		return nil, errors.New("kube: client: it is nil")
	case codec == nil:
		return nil, errors.New("kube: codec: it is nil")
	case object.Resource.Resource == "" || object.Resource.Version == "":
		return nil, errors.New("kube: object.resource: name the version and the resource, in the plural")
	case object.Name == "":
		return nil, errors.New("kube: object.name: it is empty")
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	caps := codec.Caps()
	caps.Fencing, caps.Room = true, true
	caps.Evidence = max(caps.Evidence, traffic.Written)
	if o.Lag > 0 {
		caps.Lag = o.Lag
	}
	return &Router{client: client, object: object, codec: codec, caps: caps, o: o}, nil
}

// Caps is what the codec declares, with Fencing and Room.
func (r *Router) Caps() traffic.Caps { return r.caps }

// Object is what the router turns.
func (r *Router) Object() Object { return r.object }

// Check asks whether a rollout can begin: the object is there and says a route, or can be
// made, and no owner would undo what is written. A plan is best held against it before
// anything is built.
func (r *Router) Check(ctx context.Context) error {
	c := Live(r.client)
	have, rec, err := r.look(ctx, c)
	if err == nil && !rec.Route.Split.Touches() {
		err = r.owned(have)
	}
	if err == nil {
		if have == nil {
			have, err = r.make(ctx, c)
		}
		if err == nil {
			_, err = r.codec.Read(ctx, c, have, rec.Route.Arms)
		}
	}
	if err != nil {
		return fmt.Errorf("kube: check %v: %w", r.object, err)
	}
	return nil
}

// look reads the object and its record. It is nil if it is not there and can be made.
func (r *Router) look(ctx context.Context, c Reader) (*unstructured.Unstructured, record, error) {
	have, err := c.Get(ctx, r.object)
	if kube.Missing(err) {
		if _, ok := r.codec.(Maker); ok {
			return nil, record{}, nil
		}
	}
	if err != nil {
		return nil, record{}, err
	}
	rec, err := recorded(have)
	return have, rec, err
}

// owned refuses to begin where somebody would undo it. Once begun, nothing stands in the
// way home.
func (r *Router) owned(o *unstructured.Unstructured) error {
	if o == nil || r.o.AcceptGitOps {
		return nil
	}
	owner, ok := kube.OwnerOf(o)
	if !ok || !owner.Reverts() {
		return nil
	}
	fields := append(slices.Clone(r.codec.Fields()), []string{"metadata", "annotations", kube.Fence}, []string{"metadata", "annotations", kube.Original})
	return fmt.Errorf("%v keeps the object as its sources say, and would undo each step; put this %s\nand then set options.accept_git_ops",
		owner, owner.Leave(o.GroupVersionKind().GroupKind(), r.object.Namespace, r.object.Name, fields...))
}

// Observe implements [traffic.Router] with what the object says, whoever wrote it. A route
// that is not the accepted one is shown without a fence, with the field manager that wrote
// it last as Writer. An object that is not there is an error, unless the router makes it:
// then no route was set.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	seen, err := r.observe(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("kube: observe %v: %w", r.object, err)
	}
	return seen, nil
}

func (r *Router) observe(ctx context.Context) (traffic.Seen, error) {
	if ctx.Err() != nil {
		return traffic.Seen{}, context.Cause(ctx)
	}
	c := r.o.Cache
	if c == nil {
		c = Live(r.client)
	}
	have, rec, err := r.look(ctx, c)
	if r.o.Cache != nil && (err != nil || r.behind(have)) {
		c = Live(r.client)
		have, rec, err = r.look(ctx, c)
	}
	if err != nil || have == nil {
		return traffic.Seen{Evidence: traffic.Written}, err
	}
	route, err := r.codec.Read(ctx, c, have, rec.Route.Arms)
	if err != nil {
		return traffic.Seen{}, err
	}
	seen := traffic.Seen{Route: route, Evidence: traffic.Written}
	if p, ok := r.codec.(Prover); ok {
		proof, err := p.Proof(ctx, c, have, route)
		if err != nil {
			return traffic.Seen{}, err
		}
		seen.Evidence = min(max(proof, traffic.Written), r.caps.Evidence)
	}
	if rec.Route.IsZero() || !route.Equal(rec.Route) {
		seen.Writer = r.writer(have)
	} else {
		seen.Fence = rec.Fence
	}
	seen.Room = r.room(ctx, c, route, rec)
	return seen, nil
}

// wrote remembers what a cache must have seen.
func (r *Router) wrote(version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if order, err := resourceversion.CompareResourceVersion(version, r.newest); err != nil || order > 0 {
		r.newest = version
	}
}

// behind says whether a cache has not yet seen what this router has written.
func (r *Router) behind(o *unstructured.Unstructured) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest == "" || o == nil {
		return r.newest != ""
	}
	order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), r.newest)
	return err != nil || order < 0
}

// writer is who wrote the codec's fields last, if that was not this module. The API server
// counts in seconds: of two in the same one, the first of the fields tells.
func (r *Router) writer(o *unstructured.Unstructured) string {
	var last kube.Write
	for _, path := range r.codec.Fields() {
		if w, ok := kube.LastWrite(o.GetManagedFields(), path...); ok && w.At.After(last.At) {
			last = w
		}
	}
	if last.Manager == kube.Manager {
		return ""
	}
	return last.Manager
}
