// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traefik

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

const (
	// lag is Traefik's throttle of two seconds, with something to spare.
	lag = 5 * time.Second
	// defaultTotal is weights in tenths of a per cent.
	defaultTotal = 1000
	defaultGroup = "traefik.io"
)

// Options are what New has a default for.
type Options struct {
	kube.Options

	// Group is the API group, "" is traefik.io. Traefik before 2.10 has
	// traefik.containo.us.
	Group string

	// Total is what the weights add up to: the finest share is one of it. It divides
	// 1,000,000; 0 is 1,000.
	Total int
}

// New is a router that turns a TraefikService. It asks the server nothing; an error names
// the argument that cannot be right. The router is safe for concurrent use.
func New(client dynamic.Interface, namespace, name string, o Options) (*kube.Router, error) {
	switch {
	case namespace == "":
		return nil, errors.New("traefik: namespace: it is empty")
	case o.Total == 0:
		o.Total = defaultTotal
	case o.Total < 2 || int(traffic.Full)%o.Total != 0:
		return nil, fmt.Errorf("traefik: options.total: %d does not divide %d", o.Total, traffic.Full)
	}
	if o.Group == "" {
		o.Group = defaultGroup
	}
	if o.Backend == nil {
		o.Backend = func(_ context.Context, _ kube.Reader, arm string) (kube.Backend, error) {
			at := service(namespace, arm)
			return kube.Backend{Namespace: at.Namespace, Service: at.Name}, nil
		}
	}
	object := kube.Object{
		Resource:  schema.GroupVersionResource{Group: o.Group, Version: "v1alpha1", Resource: "traefikservices"},
		Namespace: namespace, Name: name,
	}
	r, err := kube.New(client, object, codec{int64(o.Total)}, o.Options)
	if err != nil {
		return nil, fmt.Errorf("traefik: %w", err)
	}
	return r, nil
}

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

// service is that of an arm.
func service(namespace, arm string) kube.Object {
	if other, name, ok := strings.Cut(arm, "/"); ok {
		namespace, arm = other, name
	}
	return kube.Object{Resource: services, Namespace: namespace, Name: arm}
}
