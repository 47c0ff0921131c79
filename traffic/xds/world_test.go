// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcxds "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

const unary = "/test.Arm/Name"

// service answers with the name of the arm.
var service = grpc.ServiceDesc{
	ServiceName: "test.Arm",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Name", Handler: func(srv any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := dec(&emptypb.Empty{}); err != nil {
			return nil, err
		}
		return srv, nil
	}}},
}

// backend is a real gRPC server on loopback that answers with its name.
func backend(t *testing.T, name string) (address string) {
	t.Helper()
	lis := listen(t, "127.0.0.1:0")
	g := grpc.NewServer()
	g.RegisterService(&service, wrapperspb.String(name))
	go func() { _ = g.Serve(lis) }()
	t.Cleanup(g.Stop)
	return lis.Addr().String()
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

func pair(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{"stable": {backend(t, "stable")}, "candidate": {backend(t, "candidate")}}
}

// plane is a control plane with one service, "web", that can be killed.
type plane struct {
	server  *xds.Server
	web     *xds.Router
	address string
	kill    func()
}

// start serves the service; on "127.0.0.1:0" or where a plane was before.
func start(t *testing.T, address string, arms map[string][]string, o xds.RouterOptions) *plane {
	t.Helper()
	p := &plane{server: xds.New(xds.Options{})}
	var err error
	if p.web, err = p.server.Router("web", arms, o); err != nil {
		t.Fatal(err)
	}
	lis := listen(t, address)
	p.address = lis.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.server.Serve(ctx, lis) }()
	var killed atomic.Bool
	p.kill = func() {
		if killed.Swap(true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(p.kill)
	return p
}

// client is a real gRPC client of "web" that takes its route from the plane at address.
func client(t *testing.T, address, node string) *grpc.ClientConn {
	t.Helper()
	bootstrap := fmt.Sprintf(`{"xds_servers":[{"server_uri":%q,"channel_creds":[{"type":"insecure"}],"server_features":["xds_v3"]}],"node":{"id":%q}}`, address, node)
	builder, err := grpcxds.NewXDSResolverWithConfigForTesting([]byte(bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///web", grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.2, MaxDelay: time.Second}, MinConnectTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func ask(ctx context.Context, c grpc.ClientConnInterface, pairs ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reply := &wrapperspb.StringValue{}
	err := c.Invoke(metadata.AppendToOutgoingContext(ctx, pairs...), unary, &emptypb.Empty{}, reply)
	return reply.GetValue(), err
}

func sender(c grpc.ClientConnInterface) func(context.Context, traffictest.Request) (traffictest.Answer, error) {
	return func(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
		var pairs, cookies []string
		for k, v := range q.Header {
			pairs = append(pairs, k, v)
		}
		for k, v := range q.Cookie {
			cookies = append(cookies, k+"="+v)
		}
		if cookies != nil {
			pairs = append(pairs, "cookie", strings.Join(cookies, "; "))
		}
		arm, err := ask(ctx, c, pairs...)
		return traffictest.Answer{Arm: arm}, err
	}
}

func split(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "stable", Candidate: "candidate"}, Split: traffic.Split{Candidate: w}}
}

func apply(t *testing.T, r traffic.Router, fence uint64, route traffic.Route) {
	t.Helper()
	if err := r.Apply(t.Context(), fence, route); err != nil {
		t.Fatal(err)
	}
}

// within polls until done says yes.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after twenty seconds: not %s", what)
		}
	}
}

func evidence(t *testing.T, r traffic.Router) traffic.Evidence {
	t.Helper()
	seen, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen.Evidence
}

// comes waits until clients have the route.
func comes(t *testing.T, r traffic.Router) {
	t.Helper()
	within(t, "programmed", func() bool {
		seen, err := r.Observe(t.Context())
		return err == nil && seen.Evidence == traffic.Programmed
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		arms, o := pair(t), xds.RouterOptions{File: filepath.Join(t.TempDir(), "web.json"), Default: "stable"}
		p := start(t, "127.0.0.1:0", arms, o)
		conn := client(t, p.address, "suite")
		within(t, "answered", func() bool { _, err := ask(t.Context(), conn); return err == nil })
		var subject func() traffictest.Subject
		subject = func() traffictest.Subject {
			return traffictest.Subject{
				Router: p.web, Send: sender(conn), Settle: 20 * time.Second,
				Restart: func(context.Context) (traffictest.Subject, error) {
					p.kill()
					p = start(t, p.address, arms, o)
					return subject(), nil
				},
				Connect: func(ctx context.Context) (*traffictest.Conn, error) {
					own := client(t, p.address, "another")
					_, err := ask(ctx, own)
					return &traffictest.Conn{Send: sender(own), Close: func() { own.Close() }}, err
				},
				Break: func(context.Context, traffictest.Fault) (func(), error) {
					return nil, errors.ErrUnsupported // the router is the control plane
				},
			}
		}
		return subject()
	})
}
