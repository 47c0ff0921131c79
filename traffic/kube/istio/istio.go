// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	internal "github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

const (
	// lag is what istiod needs by its defaults until the last of some thousand proxies
	// has followed.
	lag = 5 * time.Second
	// defaultTotal is what weights had to add up to in all releases.
	defaultTotal = 100

	group = "networking.istio.io"
)

// Options are what New has a default for. The zero Options turn between hosts.
type Options struct {
	kube.Options

	// Version is that of the API: "v1" or "v1beta1". "" asks the server which one it
	// serves, v1 first.
	Version string

	// Routes are the names of the routes that are turned, for a VirtualService with others
	// that send to the same arms and are to stay. None is every route that sends to one.
	Routes []string

	// L4 turns the lists tcp and tls alone, which know neither matches on headers nor
	// mirrors: then Caps rule them out. Otherwise http is turned, too.
	L4 bool

	// Total is what the weights of a route add up to: the finest share is one of it. It
	// divides 1,000,000. 0 is 100, which all releases accept; those of today accept more,
	// such as 10,000 for hundredths of a per cent.
	Total int

	// Host makes arms of subsets: an arm is then the name of a subset of this host, whose
	// DestinationRule must have one for each. "" is that arms are hosts.
	Host string

	// DestinationRule is the name of that with the subsets of Host, in the namespace of the
	// VirtualService. "" is Host up to its first dot.
	DestinationRule string

	// Label has the router add a subset that the DestinationRule lacks, before any weight is
	// set: that of the pods that have the arm's name in this label. What is there is
	// never changed. "" leaves the DestinationRule to its owner.
	Label string
}

func (o Options) check() error {
	switch {
	case o.Version != "" && o.Version != "v1" && o.Version != "v1beta1":
		return fmt.Errorf("options.version: %q is neither v1 nor v1beta1", o.Version)
	case o.Total != 0 && (o.Total < 2 || int(traffic.Full)%o.Total != 0):
		return fmt.Errorf("options.total: %d does not divide %d", o.Total, traffic.Full)
	case o.Host == "" && o.DestinationRule != "":
		return errors.New("options.destination_rule: it needs options.host")
	case o.Host == "" && o.Label != "":
		return errors.New("options.label: it needs options.host")
	}
	return nil
}

// Router turns a VirtualService. It is a [kube.Router] that adds subsets, where it is told to,
// before it turns anything to them.
type Router struct {
	*kube.Router
	subsets *subsets
}

var _ traffic.Router = (*Router)(nil)

// New is a router that turns a VirtualService. It asks the server which version it serves,
// unless the options say so. An error names the argument that cannot be right, or is the
// server's.
func New(ctx context.Context, client dynamic.Interface, namespace, name string, o Options) (*Router, error) {
	if client == nil {
		return nil, errors.New("istio: client: it is nil")
	}
	if namespace == "" {
		return nil, errors.New("istio: namespace: it is empty")
	}
	err := o.check()
	if err == nil && o.Version == "" {
		o.Version, err = served(ctx, client, namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	if o.Total == 0 {
		o.Total = defaultTotal
	}
	c := codec{routes: o.Routes, l4: o.L4, total: int64(o.Total), namespace: namespace, host: o.Host}
	if o.Host != "" {
		c.subsets = newSubsets(client, namespace, o)
	}
	if o.Backend == nil {
		o.Backend = c.backend
	}
	r, err := kube.New(client, kube.Object{Resource: resource(o.Version, "virtualservices"), Namespace: namespace, Name: name}, c, o.Options)
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	return &Router{Router: r, subsets: c.subsets}, nil
}

func resource(version, plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

// served is the version that the server knows.
func served(ctx context.Context, client dynamic.Interface, namespace, name string) (string, error) {
	for _, version := range []string{"v1", "v1beta1"} {
		_, err := kube.Live(client).Get(ctx, kube.Object{Resource: resource(version, "virtualservices"), Namespace: namespace, Name: name})
		switch {
		case err == nil || internal.Missing(err):
			return version, nil
		case !apierrors.IsNotFound(err):
			return "", fmt.Errorf("which version the server has: %w", err)
		}
	}
	return "", fmt.Errorf("the server has no virtualservices.%s in v1 or v1beta1", group)
}

// Apply implements [traffic.Router] as kube.Router does. A subset that Options.Label lets
// it add is added first, so that no weight is ever that of pods which nobody has named. It is
// added even if the route is then refused, and turns nothing by itself.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if r.subsets != nil && r.subsets.label != "" && route.Validate() == nil && route.Split.Touches() {
		if err := r.subsets.add(ctx, route.Arms); err != nil {
			return fmt.Errorf("istio: %w", err)
		}
	}
	return r.Router.Apply(ctx, fence, route) //nolint:wrapcheck // it says what it was about
}
