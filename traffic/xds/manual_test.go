// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// manual is an ADS client by hand, which answers when and what a test wants.
type manual struct {
	t    *testing.T
	node string
	ads  discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	stop context.CancelFunc
}

func dialManual(t *testing.T, address, node string) *manual {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &manual{t: t, node: node, ads: ads, stop: stop}
}

func (m *manual) send(req *discoveryv3.DiscoveryRequest) {
	m.t.Helper()
	req.Node = &corev3.Node{Id: m.node, UserAgentName: "by hand"}
	if err := m.ads.Send(req); err != nil {
		m.t.Fatal(err)
	}
}

func (m *manual) want(typeURL string, names ...string) {
	m.t.Helper()
	m.send(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL, ResourceNames: names})
}

func (m *manual) recv() *discoveryv3.DiscoveryResponse {
	m.t.Helper()
	res, err := m.ads.Recv()
	if err != nil {
		m.t.Fatal(err)
	}
	return res
}

func (m *manual) ack(res *discoveryv3.DiscoveryResponse, names ...string) {
	m.t.Helper()
	m.send(&discoveryv3.DiscoveryRequest{TypeUrl: res.GetTypeUrl(), ResourceNames: names, VersionInfo: res.GetVersionInfo(), ResponseNonce: res.GetNonce()})
}

func (m *manual) refuse(res *discoveryv3.DiscoveryResponse, why string, names ...string) {
	m.t.Helper()
	m.send(&discoveryv3.DiscoveryRequest{
		TypeUrl: res.GetTypeUrl(), ResourceNames: names, ResponseNonce: res.GetNonce(), VersionInfo: "before",
		ErrorDetail: &status.Status{Code: int32(codes.InvalidArgument), Message: why},
	})
}

// routes reads the one route configuration of a response.
func (m *manual) routes(res *discoveryv3.DiscoveryResponse) *routev3.RouteConfiguration {
	m.t.Helper()
	if len(res.GetResources()) != 1 {
		m.t.Fatalf("%d resources, want one route configuration", len(res.GetResources()))
	}
	rc := &routev3.RouteConfiguration{}
	if err := res.GetResources()[0].UnmarshalTo(rc); err != nil {
		m.t.Fatal(err)
	}
	return rc
}

// fetch asks for a route once.
func fetch(t *testing.T, address, name string) *routev3.RouteConfiguration {
	t.Helper()
	m := dialManual(t, address, "fetch")
	defer m.stop()
	m.want(routeType, name)
	return m.routes(m.recv())
}

// refused polls until Observe is an error, and returns it.
func refused(t *testing.T, r traffic.Router) (text string) {
	t.Helper()
	within(t, "refused", func() bool {
		_, err := r.Observe(t.Context())
		text = fmt.Sprint(err)
		return err != nil
	})
	return text
}

func TestARefusedRouteIsToldAndNeverProgrammed(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	if got := evidence(t, p.web); got != traffic.Written {
		t.Errorf("without a client the evidence is %v, want written", got)
	}
	apply(t, p.web, 1, split(0))
	m := dialManual(t, p.address, "node-7")
	m.want(routeType, "web")
	m.ack(m.recv(), "web")
	comes(t, p.web)

	apply(t, p.web, 2, split(traffic.Full))
	m.refuse(m.recv(), "no valid cluster in there", "web")
	text := refused(t, p.web)
	for _, part := range []string{"node-7", "by hand", "RouteConfiguration", "no valid cluster in there"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s; want it to tell %q", text, part)
		}
	}
	// It is not sent again, and a new client that takes it changes nothing.
	other := dialManual(t, p.address, "node-8")
	other.want(routeType, "web")
	other.ack(other.recv(), "web")
	for range 10 {
		if _, err := p.web.Observe(t.Context()); err == nil {
			t.Fatal("Observe is no error while a client refuses the route")
		}
	}
	// The next route is another thing.
	apply(t, p.web, 3, split(0))
	if got := evidence(t, p.web); got != traffic.Written {
		t.Errorf("the evidence of a route that nobody has answered is %v, want written", got)
	}
	m.ack(m.recv(), "web")
	other.ack(other.recv(), "web")
	comes(t, p.web)
	// And who refused and left is not counted.
	apply(t, p.web, 4, split(traffic.Full))
	m.refuse(m.recv(), "not again", "web")
	other.ack(other.recv(), "web")
	refused(t, p.web)
	m.stop()
	comes(t, p.web)
}

func TestTheSlowestClientDecides(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	fast, slow := dialManual(t, p.address, "fast"), dialManual(t, p.address, "slow")
	var start *discoveryv3.DiscoveryResponse
	for _, m := range []*manual{fast, slow} {
		m.want(routeType, "web")
		start = m.recv()
		m.ack(start, "web")
	}
	comes(t, p.web)
	if err := p.web.SetArm("third", "127.0.0.1:3"); err != nil {
		t.Fatal(err)
	}
	fast.ack(fast.recv(), "web")
	start = slow.recv()
	slow.ack(start, "web")
	comes(t, p.web)
	for i := range 5 {
		apply(t, p.web, uint64(i+1), split(traffic.Percent(float64(10*(i+1))))) //nolint:gosec // i is small
		fast.ack(fast.recv(), "web")
	}
	within(t, "acknowledged by one", func() bool { return p.server.Clients() == 2 && evidence(t, p.web) == traffic.Written })
	first := slow.recv()
	// An answer to the response before is none to this one.
	slow.ack(start, "web")
	slow.want(clusterType, "web/stable")
	slow.ack(slow.recv(), "web/stable")
	if got := evidence(t, p.web); got != traffic.Written {
		t.Errorf("the evidence is %v while a client has not answered, want written", got)
	}
	// The slow one was sent the first route, and then the newest and none in between.
	slow.ack(first, "web")
	last := slow.recv()
	if got := evidence(t, p.web); got != traffic.Written {
		t.Errorf("the evidence is %v while a client has only an old route, want written", got)
	}
	clusters := slow.routes(last).GetVirtualHosts()[0].GetRoutes()[0].GetRoute().GetWeightedClusters().GetClusters()
	if got := clusters[1].GetWeight().GetValue(); got != uint32(traffic.Percent(50)) {
		t.Errorf("the second response gives the candidate %d, want the newest weight", got)
	}
	if err := p.web.RemoveArm("third"); err == nil || !strings.Contains(err.Error(), "acknowledged") {
		t.Errorf("%v, want an error about clients that may still call the arm", err)
	}
	slow.ack(last, "web")
	comes(t, p.web)
	if err := p.web.RemoveArm("third"); err != nil {
		t.Error(err)
	}
}

func TestAServiceIsNotBlamedForAnother(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	api, err := p.server.Router("api", map[string][]string{"stable": {"127.0.0.1:1"}, "candidate": {"127.0.0.1:2"}}, xds.RouterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.server.Router("api", nil, xds.RouterOptions{}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("%v, want an error about a name that is taken", err)
	}
	m := dialManual(t, p.address, "both")
	both := []string{"web", "api"}
	m.want(routeType, both...)
	m.refuse(m.recv(), "one of them", both...)
	refused(t, p.web) // it may have been this one
	refused(t, api)
	apply(t, api, 1, split(0))
	m.ack(m.recv(), both...)
	comes(t, p.web)
	comes(t, api)
	apply(t, api, 2, split(traffic.Full))
	m.refuse(m.recv(), "no", both...)
	refused(t, api)
	if got := evidence(t, p.web); got != traffic.Programmed {
		t.Errorf("the evidence of a service whose neighbour is refused is %v, want programmed", got)
	}
}

func TestWhatIsAskedForAgainIsSentAgain(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	m := dialManual(t, p.address, "again")
	m.want(clusterType, "web/stable")
	res := m.recv()
	if len(res.GetResources()) != 1 {
		t.Fatalf("%d clusters, want the one asked for", len(res.GetResources()))
	}
	m.ack(res, "web/stable")
	m.ack(res, "web/candidate") // another one in its place
	other := m.recv()
	m.ack(other, "web/candidate")
	m.ack(other, "web/candidate", "web/stable")
	if back := m.recv(); len(back.GetResources()) != 2 {
		t.Errorf("%d clusters, want both", len(back.GetResources()))
	}
	m.want("type.googleapis.com/unknown", "x") // is not served, and does no harm
	if _, err := p.server.Router("api", pair(t), xds.RouterOptions{}); err != nil {
		t.Fatal(err)
	}
	m.want(routeType, "web", "api")
	routes := m.recv()
	m.ack(routes, "web", "api")
	m.ack(routes, "web")
	m.ack(routes, "web", "api")
	if back := m.recv(); len(back.GetResources()) != 2 {
		t.Errorf("%d routes, want both", len(back.GetResources()))
	}
}

func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	s := xds.New(xds.Options{Clients: 1})
	if _, err := s.Router("web", pair(t), xds.RouterOptions{}); err != nil {
		t.Fatal(err)
	}
	lis := listen(t, "127.0.0.1:0")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Serve(ctx, lis) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	first := dialManual(t, lis.Addr().String(), "first")
	first.want(routeType, "web")
	first.recv()
	second := dialManual(t, lis.Addr().String(), "second")
	second.want(routeType, "web")
	if _, err := second.ads.Recv(); grpcstatus.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v, want ResourceExhausted", err)
	}
	first.stop()
	within(t, "gone", func() bool { return s.Clients() == 0 })
}

func TestAnEnvoyAsksForEverythingAndGetsItsListener(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{Envoy: true, Listen: "127.0.0.1:10000"})
	m := dialManual(t, p.address, "envoy")
	m.want(clusterType)
	m.want(listenerType)
	clusters := m.recv()
	m.ack(clusters)
	listeners := m.recv()
	m.ack(listeners)
	if len(clusters.GetResources()) != 2 || len(listeners.GetResources()) != 1 {
		t.Errorf("%d clusters and %d listeners, want 2 and the one for Envoys", len(clusters.GetResources()), len(listeners.GetResources()))
	}
	if err := p.web.SetArm("third", "127.0.0.1:3"); err != nil {
		t.Fatal(err)
	}
	if res := m.recv(); res.GetTypeUrl() != clusterType || len(res.GetResources()) != 3 {
		t.Errorf("%d of %s came, want 3 clusters", len(res.GetResources()), res.GetTypeUrl())
	} else {
		m.ack(res)
	}
	m.want(routeType, "web")
	m.ack(m.recv(), "web")
	comes(t, p.web)
	if err := p.web.RemoveArm("third"); err != nil {
		t.Fatal(err)
	}
	if res := m.recv(); res.GetTypeUrl() != clusterType || len(res.GetResources()) != 2 {
		t.Errorf("%d of %s came, want 2 clusters", len(res.GetResources()), res.GetTypeUrl())
	}
}
