// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

// lag is what data planes need from the status until their last proxy has followed, with
// something to spare.
const lag = 5 * time.Second

// Options are what a route has a default for.
type Options struct {
	kube.Options

	// Rules are the names of the rules that are turned, for a route with others that
	// send to the same Services and are to stay. None is every rule that sends to one of
	// the arms.
	Rules []string

	// Total is what the weights of a rule add up to: the finest share is one of it. It
	// divides 1,000,000, which it is by default. Smaller ones are for implementations that
	// know no more: 100 for whole per cent.
	Total int

	// NoRegex says that the implementation does not know RegularExpression, which the
	// Gateway API leaves to it: then Caps rule out matches, since those on cookies and on
	// any value need it.
	NoRegex bool
}

// kind is what HTTPRoute and GRPCRoute differ in.
type kind struct {
	resource schema.GroupVersionResource
	// http is that matches have paths and parameters of the query.
	http bool
}

func newKind(plural string, http bool) kind {
	return kind{schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: plural}, http}
}

// NewHTTPRoute is a router that turns an HTTPRoute. An arm is the name of a Service, with
// its namespace before it, as in "other/web", where that is not the route's. It asks the
// server nothing; an error names the argument that cannot be right.
func NewHTTPRoute(client dynamic.Interface, namespace, name string, o Options) (*kube.Router, error) {
	return newRouter(client, newKind("httproutes", true), namespace, name, o)
}

// NewGRPCRoute is a router that turns a GRPCRoute, as NewHTTPRoute is. It knows no
// parameters of a query.
func NewGRPCRoute(client dynamic.Interface, namespace, name string, o Options) (*kube.Router, error) {
	return newRouter(client, newKind("grpcroutes", false), namespace, name, o)
}

func newRouter(client dynamic.Interface, k kind, namespace, name string, o Options) (*kube.Router, error) {
	switch {
	case namespace == "":
		return nil, errors.New("gateway: namespace: it is empty")
	case o.Total == 0:
		o.Total = int(traffic.Full)
	case o.Total < 2 || int(traffic.Full)%o.Total != 0:
		return nil, fmt.Errorf("gateway: options.total: %d does not divide %d", o.Total, traffic.Full)
	}
	if o.Backend == nil {
		o.Backend = backend
	}
	c := codec{kind: k, rules: o.Rules, total: int64(o.Total), regex: !o.NoRegex}
	r, err := kube.New(client, kube.Object{Resource: k.resource, Namespace: namespace, Name: name}, c, o.Options)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return r, nil
}

// backend is the Service that an arm is named after.
func backend(_ context.Context, _ kube.Reader, arm string) (kube.Backend, error) {
	namespace, service, ok := strings.Cut(arm, "/")
	if !ok {
		return kube.Backend{Service: arm}, nil
	}
	return kube.Backend{Namespace: namespace, Service: service}, nil
}
