// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/traffic"
)

// Codec knows one kind of object: what it says about traffic, and how to make it say
// something else. It keeps no state, and is safe for concurrent use.
type Codec interface {
	// Caps is what objects of this kind can say: granularity, matches, mirror,
	// stickiness; the best evidence that their status gives, which is Written if it
	// gives none; and how long after that evidence the data plane may still go the old
	// way. Fencing and Room are the router's, and are set by it.
	Caps() traffic.Caps

	// Fields is all that Write may change, as paths of names: {"spec", "http"}. A list
	// is one field. It is what an owner's GitOps must ignore, and whose last writer is
	// named. An annotation or a label is a path of three names.
	Fields() [][]string

	// Read tells which route the object says, whoever wrote it. arms are those that
	// were last accepted, or are about to be written: where the object has both, they
	// say which is which, and where it names only the one that serves, the other is
	// theirs. They are zero if there are none; then stable is what comes first. What
	// is neither is shown by its own name, so that it is seen as another route.
	//
	// An object that says what no route can is an error that tells what and where. It
	// does not change o, which may belong to a cache.
	Read(ctx context.Context, c Reader, o *unstructured.Unstructured, arms traffic.Arms) (traffic.Route, error)

	// Write changes o, which is a copy, so that Read of it gives route. It changes only
	// what is the route's, and leaves entries of others, their order and fields that it
	// does not know as they are. Whatever the object said before, the same route makes
	// the same of it. The route is valid, and is what Caps allow; what the kind cannot
	// say all the same is errors.ErrUnsupported with the field of the route.
	//
	// Numbers are int64 or float64, maps are map[string]any and lists []any, as
	// everywhere in unstructured objects.
	Write(ctx context.Context, c Reader, o *unstructured.Unstructured, route traffic.Route) error
}

// Maker is what a [Codec] is, too, if its object is the router's own, so that the first
// Apply makes it.
type Maker interface {
	// Make is the object as it is before Write, with its apiVersion and kind. The
	// router sets namespace and name.
	Make(ctx context.Context, c Reader) (*unstructured.Unstructured, error)
	// Idle says whether o could go without moving any traffic.
	Idle(ctx context.Context, c Reader, o *unstructured.Unstructured) (bool, error)
}

// Prover is what a [Codec] is, too, if more can be known than that the object says so.
type Prover interface {
	// Proof is how sure it is that what the object says, which is route, is in force:
	// Programmed if its status says so at its metadata.generation. An error means that
	// nobody knows.
	Proof(ctx context.Context, c Reader, o *unstructured.Unstructured, route traffic.Route) (traffic.Evidence, error)
}

// Object names one object.
type Object struct {
	Resource schema.GroupVersionResource
	// Namespace is "" for an object of the whole cluster.
	Namespace string
	Name      string
}

// String is the object as kubectl names it.
func (o Object) String() string {
	s := o.Resource.GroupResource().String() + " "
	if o.Namespace != "" {
		s += o.Namespace + "/"
	}
	return s + o.Name
}
