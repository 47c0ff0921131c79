// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

const (
	// lag is what Contour's cache may take to reach every Envoy, with something to spare.
	lag = 2 * time.Second
	// defaultTotal is weights in tenths of a per cent.
	defaultTotal = 1000
)

// Options are what New has a default for.
type Options struct {
	kube.Options

	// Total is what the weights add up to: the finest share is one of it. It divides
	// 1,000,000; 0 is 1,000.
	Total int
}

var (
	httpproxies = schema.GroupVersionResource{Group: "projectcontour.io", Version: "v1", Resource: "httpproxies"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// New is a router that turns an HTTPProxy. It asks the server nothing; an error names the
// argument that cannot be right. The router is safe for concurrent use.
func New(client dynamic.Interface, namespace, name string, o Options) (*kube.Router, error) {
	switch {
	case namespace == "":
		return nil, errors.New("contour: namespace: it is empty")
	case o.Total == 0:
		o.Total = defaultTotal
	case o.Total < 2 || int(traffic.Full)%o.Total != 0:
		return nil, fmt.Errorf("contour: options.total: %d does not divide %d", o.Total, traffic.Full)
	}
	if o.Backend == nil {
		o.Backend = func(_ context.Context, _ kube.Reader, arm string) (kube.Backend, error) {
			return kube.Backend{Namespace: namespace, Service: arm}, nil
		}
	}
	r, err := kube.New(client, kube.Object{Resource: httpproxies, Namespace: namespace, Name: name}, codec{int64(o.Total)}, o.Options)
	if err != nil {
		return nil, fmt.Errorf("contour: %w", err)
	}
	return r, nil
}
