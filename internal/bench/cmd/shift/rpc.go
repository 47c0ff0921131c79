// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcxds "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	grpcsplit "github.com/rheostat-go/rheostat/traffic/grpc"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

// service answers with the name of the arm.
var service = grpc.ServiceDesc{
	ServiceName: "shift.Arm",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Name", Handler: func(srv any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		return srv, dec(&emptypb.Empty{})
	}}},
}

// calls are calls over c, which all clients share, as gRPC's do.
func calls(c grpc.ClientConnInterface) func() (func() (string, error), func(), error) {
	send := func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		reply := &wrapperspb.StringValue{}
		err := c.Invoke(ctx, "/shift.Arm/Name", &emptypb.Empty{}, reply)
		return reply.GetValue(), err
	}
	return func() (func() (string, error), func(), error) { return send, func() {}, nil }
}

// servers starts both arms.
func servers() (addresses map[string][]string, stop func(), err error) {
	addresses = map[string][]string{}
	var all []*grpc.Server
	stop = func() {
		for _, g := range all {
			g.Stop()
		}
	}
	for _, name := range []string{arms.Stable, arms.Candidate} {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
		if err != nil {
			return nil, stop, err
		}
		g := grpc.NewServer()
		g.RegisterService(&service, wrapperspb.String(name))
		go func() { _ = g.Serve(l) }()
		all = append(all, g)
		addresses[name] = []string{l.Addr().String()}
	}
	return addresses, stop, nil
}

var plain = grpc.WithTransportCredentials(insecure.NewCredentials())

func startGRPC(context.Context) (*running, error) {
	addresses, stop, err := servers()
	if err != nil {
		return nil, err
	}
	conns := map[string]*grpc.ClientConn{}
	for name, list := range addresses {
		if conns[name], err = grpc.NewClient(list[0], plain); err != nil {
			return nil, err
		}
	}
	c, err := grpcsplit.New(conns, grpcsplit.Options{})
	if err != nil {
		return nil, err
	}
	return &running{c, calls(c), func() {
		for _, c := range conns {
			_ = c.Close()
		}
		stop()
	}}, nil
}

func startXDS(ctx context.Context) (*running, error) {
	addresses, stop, err := servers()
	if err != nil {
		return nil, err
	}
	server := xds.New(xds.Options{})
	r, err := server.Router("web", addresses, xds.RouterOptions{})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		return nil, err
	}
	go func() { _ = server.Serve(ctx, l) }()
	builder, err := grpcxds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil,
		`{"xds_servers":[{"server_uri":%q,"channel_creds":[{"type":"insecure"}],"server_features":["xds_v3"]}],"node":{"id":"shift"}}`, l.Addr()))
	if err != nil {
		return nil, err
	}
	c, err := grpc.NewClient("xds:///web", grpc.WithResolvers(builder), plain)
	if err != nil {
		return nil, err
	}
	c.Connect()
	return &running{r, calls(c), func() { _ = c.Close(); stop() }}, nil
}
