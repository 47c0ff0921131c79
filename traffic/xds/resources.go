// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rheostat-go/rheostat/traffic"
)

// connectTimeout is how long a client waits for a backend to take a connection.
const connectTimeout = 5 * time.Second

// ads says that a resource comes on the same stream.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

// checkArm refuses what clients would: an Envoy takes no names as addresses, and
// gRPC no address twice.
func checkArm(name string, addresses []string) error {
	switch {
	case name == "":
		return errors.New("arm: give it a name")
	case strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("arm %q: a name has no control characters", name)
	case len(addresses) == 0:
		return fmt.Errorf("arm %q: give it an address", name)
	}
	seen := map[netip.AddrPort]bool{}
	for i, text := range addresses {
		a, err := parseAddress(text)
		switch {
		case err != nil:
			return fmt.Errorf("arm %q: address %d: %w", name, i, err)
		case a.Addr().IsUnspecified():
			return fmt.Errorf("arm %q: address %d: nobody can connect to %s", name, i, text)
		case seen[a]:
			return fmt.Errorf("arm %q: address %d: %s is there twice", name, i, text)
		}
		seen[a] = true
	}
	return nil
}

func parseAddress(text string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		return a, fmt.Errorf("%q: want an IP and a port such as \"10.0.0.1:8080\"", text)
	}
	return a, nil
}

// resources is all that clients of the router are served: the route, or Default
// while it is nil, between the arms.
func (r *Router) resources(arms map[string][]string, route *traffic.Route) ([]resource, error) {
	var b builder
	b.edit = r.options.Edit
	for _, arm := range slices.Sorted(maps.Keys(arms)) {
		b.add(clusterType, r.cluster(arm), r.newCluster(arm))
		b.add(endpointType, r.cluster(arm), newEndpoints(r.cluster(arm), arms[arm]))
	}
	routes, err := r.newRoutes(arms, route)
	if err != nil {
		return nil, err
	}
	b.add(routeType, r.name, routes)
	api, err := r.newManager()
	if err != nil {
		return nil, err
	}
	b.add(listenerType, r.name, &listenerv3.Listener{Name: r.name, ApiListener: &listenerv3.ApiListener{ApiListener: api}}).onlyNamed = true
	if r.options.Listen == "" {
		return b.list, b.err
	}
	own, err := r.newManager()
	if err != nil {
		return nil, err
	}
	b.add(listenerType, r.name+"/envoy", r.newListener(own)).onlyWildcard = true
	return b.list, b.err
}

// builder makes resources, and remembers the first that is not right.
type builder struct {
	edit func(proto.Message)
	list []resource
	err  error
}

func (b *builder) add(typeURL, name string, m proto.Message) *resource {
	if b.edit != nil {
		b.edit(m)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err == nil {
		// What an Envoy would refuse is refused here, before it is served to anybody.
		if v, ok := m.(interface{ ValidateAll() error }); ok {
			err = v.ValidateAll()
		}
	}
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("%s %q: %w", kind(typeURL), name, err))
	}
	b.list = append(b.list, resource{typeURL: typeURL, name: name, body: body})
	return &b.list[len(b.list)-1]
}

// cluster is what clients call an arm. Services share one namespace.
func (r *Router) cluster(arm string) string { return r.name + "/" + arm }

func (r *Router) newCluster(arm string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 r.cluster(arm),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:       durationpb.New(connectTimeout),
		LbPolicy:             clusterv3.Cluster_ROUND_ROBIN,
	}
}

// newEndpoints is for addresses that were checked.
func newEndpoints(cluster string, addresses []string) *endpointv3.ClusterLoadAssignment {
	list := make([]*endpointv3.LbEndpoint, 0, len(addresses))
	for _, text := range addresses {
		list = append(list, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: newAddress(text)},
		}})
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		// gRPC leaves out localities that have no name or no weight.
		Endpoints: []*endpointv3.LocalityLbEndpoints{{
			Locality: &corev3.Locality{Region: "any"}, LoadBalancingWeight: wrapperspb.UInt32(1), LbEndpoints: list,
		}},
	}
}

func newAddress(text string) *corev3.Address {
	a := netip.MustParseAddrPort(text)
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

// newManager is an HTTP connection manager that asks for the router's route.
func (r *Router) newManager() (*anypb.Any, error) {
	filter, err := anypb.New(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	return anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix: r.name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: r.name},
		},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter},
		}},
	})
}

func (r *Router) newListener(manager *anypb.Any) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name:    r.name + "/envoy",
		Address: newAddress(r.options.Listen),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}
}
