// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// constructor is one of this package.
type constructor func(client dynamic.Interface, namespace, name string, o gateway.Options) (*kube.Router, error)

func subject(t *testing.T, c *rest.Config, resource schema.GroupVersionResource, namespace string, construct constructor) traffictest.Subject {
	t.Helper()
	at := kube.Object{Resource: resource, Namespace: namespace, Name: "web"}
	kubefake.Control(t, kubefake.Client(t, c), resource, namespace, kubefake.Parents)
	return kubefake.Target{
		Config: c, Object: at, Arms: arms,
		Router: func(c dynamic.Interface) (traffic.Router, error) {
			return construct(c, namespace, "web", gateway.Options{})
		},
		Write:  turn,
		Forget: forget,
	}.Subject(t)
}

func TestAnHTTPRouteConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return subject(t, cluster().Config(), httproutes, "prod", gateway.NewHTTPRoute)
	})
}

func TestAGRPCRouteConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return subject(t, cluster().Config(), grpcroutes, "prod", gateway.NewGRPCRoute)
	})
}

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	grpc, err := gateway.NewGRPCRoute(kubefake.Client(t, cluster().Config()), "prod", "web", gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(
		t,
		routertest.Row{Router: "traffic/kube/gateway", Note: "HTTPRoute", Caps: routerOf(t, cluster(), gateway.Options{}).Caps()},
		routertest.Row{Router: "traffic/kube/gateway", Note: "GRPCRoute", Caps: grpc.Caps()},
	)
}
