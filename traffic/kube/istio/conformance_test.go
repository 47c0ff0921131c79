// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func subject(t *testing.T, c *rest.Config, at kube.Object, arms traffic.Arms, o istio.Options) traffictest.Subject {
	t.Helper()
	return kubefake.Target{
		Config: c, Object: at, Arms: arms, Write: turn, Forget: forget,
		Router: func(c dynamic.Interface) (traffic.Router, error) {
			return istio.New(t.Context(), c, at.Namespace, at.Name, o)
		},
	}.Subject(t)
}

func TestAVirtualServiceBetweenHostsConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return subject(t, cluster().Config(), target("web"), arms, istio.Options{})
	})
}

func TestAVirtualServiceBetweenSubsetsConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return subject(t, cluster().Config(), target("subsets"), blueGreen, istio.Options{Host: "web", Label: "version"})
	})
}

func TestAVirtualServiceWithFinerWeightsConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		return subject(t, cluster().Config(), target("web"), arms, istio.Options{Total: 1_000_000})
	})
}

func TestAVirtualServiceOfTCPConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		s := cluster()
		s.Add(virtualservices, "VirtualService", "prod", "web", kubefake.Parse(`
spec:
  hosts: [db]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: web-a, port: {number: 9000}}}]
  tls:
  - match: [{port: 443, sniHosts: [db]}]
    route: [{destination: {host: web-a, port: {number: 9443}}}]
`))
		return subject(t, s.Config(), target("web"), arms, istio.Options{L4: true})
	})
}

func TestCapsAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	s := cluster()
	routertest.Caps(
		t,
		routertest.Row{Router: "traffic/kube/istio", Note: "VirtualService", Caps: routerOf(t, s, "web", istio.Options{}).Caps()},
		routertest.Row{Router: "traffic/kube/istio", Note: "VirtualService, tcp and tls only", Caps: routerOf(t, s, "web", istio.Options{L4: true}).Caps()},
	)
}
