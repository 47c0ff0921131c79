// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

// unserved is a router that nobody asks.
func unserved(o xds.RouterOptions) (*xds.Router, error) {
	return xds.New(xds.Options{}).Router("web", map[string][]string{"stable": {"127.0.0.1:1"}, "candidate": {"127.0.0.1:2"}}, o)
}

func TestCapsAreTheOnesOnRecord(t *testing.T) {
	t.Parallel()
	var rows []routertest.Row
	for _, envoy := range []bool{false, true} {
		r, err := unserved(xds.RouterOptions{Envoy: envoy})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, routertest.Row{Router: "traffic/xds", Note: map[bool]string{false: "gRPC", true: "Envoy"}[envoy], Caps: r.Caps()})
	}
	routertest.Caps(t, rows...)
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing", "web.json")
	for _, tt := range []struct {
		name string
		arms map[string][]string
		o    xds.RouterOptions
		want string
	}{
		{"", nil, xds.RouterOptions{}, "letters"},
		{"a/b", nil, xds.RouterOptions{}, "letters"},
		{"web", map[string][]string{"v1": nil}, xds.RouterOptions{}, "give it an address"},
		{"web", map[string][]string{"v1": {"example.com:80"}}, xds.RouterOptions{}, "an IP and a port"},
		{"web", map[string][]string{"v1": {"10.0.0.1"}}, xds.RouterOptions{}, "an IP and a port"},
		{"web", map[string][]string{"v1": {"10.0.0.1:0"}}, xds.RouterOptions{}, "an IP and a port"},
		{"web", map[string][]string{"v1": {"0.0.0.0:80"}}, xds.RouterOptions{}, "nobody can connect"},
		{"web", map[string][]string{"v1": {"10.0.0.1:80", "10.0.0.1:80"}}, xds.RouterOptions{}, "twice"},
		{"web", map[string][]string{"": {"10.0.0.1:80"}}, xds.RouterOptions{}, "name"},
		{"web", nil, xds.RouterOptions{Default: "v9"}, "RouterOptions.Default"},
		{"web", nil, xds.RouterOptions{Listen: ":80"}, "RouterOptions.Envoy"},
		{"web", nil, xds.RouterOptions{Listen: ":80", Envoy: true}, "RouterOptions.Listen"},
		{"web", nil, xds.RouterOptions{File: missing}, "RouterOptions.File"},
	} {
		s := xds.New(xds.Options{})
		if _, err := s.Router(tt.name, tt.arms, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("router %q with %v and %+v: %v, want an error about %q", tt.name, tt.arms, tt.o, err, tt.want)
		}
		// The name is free again.
		if _, err := s.Router("web", map[string][]string{"v1": {"[::1]:80"}}, xds.RouterOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func TestHeadersThatNoClientMatchesAreRefused(t *testing.T) {
	t.Parallel()
	r, err := unserved(xds.RouterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Host", "grpc-timeout", "x-trace-bin", "TE", "User-Agent"} {
		route := split(0)
		route.Split.Match = []traffic.Match{{Header: "x-fine"}, {Header: name}}
		if err := r.Apply(t.Context(), 1, route); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "match[1]") {
			t.Errorf("%s: %v, want it unsupported and named", name, err)
		}
	}
	for _, m := range []traffic.Match{{Header: "a b"}, {Cookie: "a;b"}, {Header: "x\n"}, {Header: "x", Value: "\xff"}} {
		route := split(0)
		route.Split.Match = []traffic.Match{m}
		if err := r.Apply(t.Context(), 1, route); err == nil {
			t.Errorf("%+v was accepted", m)
		}
	}
	if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.IsZero() {
		t.Errorf("%+v, %v, want no route after all", seen, err)
	}
}

func TestAnEnvoysRouteHasAllKindsOfMatches(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{Envoy: true})
	route := split(0)
	route.Split.Mirror = traffic.Full / 10
	route.Split.Match = []traffic.Match{{Header: "Host", Value: "preview.example"}, {Query: "preview", Value: "yes"}, {Query: "tester"}, {Cookie: "ring"}}
	apply(t, p.web, 1, route)
	routes := fetch(t, p.address, "web").GetVirtualHosts()[0].GetRoutes()
	for _, r := range routes {
		if timeout := r.GetRoute().GetTimeout(); timeout == nil || timeout.AsDuration() != 0 {
			t.Errorf("%v has a timeout of %v; an Envoy would end streams", r.GetMatch(), timeout)
		}
	}
	if got := routes[0].GetMatch().GetHeaders()[0]; got.GetName() != ":authority" || got.GetStringMatch().GetExact() != "preview.example" {
		t.Errorf("host is matched by %v", got)
	}
	if got := routes[1].GetMatch().GetQueryParameters()[0]; got.GetName() != "preview" || got.GetStringMatch().GetExact() != "yes" {
		t.Errorf("the query is matched by %v", got)
	}
	if got := routes[4].GetRoute(); got.GetCluster() != "web/stable" || got.GetRequestMirrorPolicies()[0].GetRuntimeFraction().GetDefaultValue().GetNumerator() != 100_000 {
		t.Errorf("the rest goes by %v", got)
	}
}

func TestARouteIsRestoredBeforeAnybodyAsks(t *testing.T) {
	t.Parallel()
	arms, o := pair(t), xds.RouterOptions{File: filepath.Join(t.TempDir(), "web.json"), Default: "stable"}
	r, err := xds.New(xds.Options{}).Router("web", arms, o)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, 7, split(traffic.Full))
	p := start(t, "127.0.0.1:0", arms, o)
	weights := fetch(t, p.address, "web").GetVirtualHosts()[0].GetRoutes()[0].GetRoute().GetWeightedClusters().GetClusters()
	if weights[1].GetWeight().GetValue() != uint32(traffic.Full) {
		t.Errorf("the first client is told %v, want the route from before", weights)
	}
	delete(arms, "candidate")
	if _, err := xds.New(xds.Options{}).Router("web", arms, o); err == nil || !strings.Contains(err.Error(), "give Router every arm") {
		t.Errorf("%v, want an error about the arm", err)
	}
	if err := os.WriteFile(o.File, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := xds.New(xds.Options{}).Router("web", arms, o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v, want an error about the file", err)
	}
}

func TestAnEditThatClientsWouldRefuseIsRefused(t *testing.T) {
	t.Parallel()
	bad := false
	r, err := unserved(xds.RouterOptions{Edit: func(m proto.Message) {
		if c, ok := m.(*clusterv3.Cluster); ok {
			c.ConnectTimeout = durationpb.New(time.Second)
			if bad {
				c.ConnectTimeout = durationpb.New(-time.Second)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, 1, split(0))
	bad = true
	if err := r.Apply(t.Context(), 2, split(traffic.Full)); err == nil || !strings.Contains(err.Error(), "ConnectTimeout") {
		t.Errorf("%v, want an error that names the field", err)
	}
	if seen, err := r.Observe(t.Context()); err != nil || seen.Fence != 1 {
		t.Errorf("%+v, %v, want the old route", seen, err)
	}
}

func TestRoomIsTheOwners(t *testing.T) {
	t.Parallel()
	r, err := unserved(xds.RouterOptions{Room: func(context.Context) (traffic.Room, error) { return traffic.Plenty, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := r.Observe(t.Context()); err != nil || seen.Room != traffic.Plenty || !r.Caps().Room {
		t.Errorf("%+v, %v, want plenty", seen, err)
	}
}

func BenchmarkApply(b *testing.B) {
	r, err := unserved(xds.RouterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	fence := uint64(0)
	for b.Loop() {
		fence++
		if err := r.Apply(b.Context(), fence, split(traffic.Weight(fence%uint64(traffic.Full)))); err != nil {
			b.Fatal(err)
		}
	}
}
