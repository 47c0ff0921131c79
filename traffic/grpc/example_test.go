// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/rheostat-go/rheostat/traffic"
	grpcsplit "github.com/rheostat-go/rheostat/traffic/grpc"
)

// version is a ClientConn to a server that answers with its name.
func version(name string) (to *grpc.ClientConn, stop func()) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer()
	s.RegisterService(&service, &server{name: name})
	go func() { _ = s.Serve(lis) }()
	to, err = grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	return to, func() { to.Close(); s.Stop() }
}

func Example() {
	// Two versions of a service.
	v1, stop1 := version("v1")
	defer stop1()
	v2, stop2 := version("v2")
	defer stop2()
	arms := map[string]*grpc.ClientConn{"v1": v1, "v2": v2}
	conn, err := grpcsplit.New(arms, grpcsplit.Options{Default: "v1"}) // pb.NewGreeterClient(conn) in a program
	if err != nil {
		fmt.Println(err)
		return
	}

	// v2 gets nothing but the calls of its testers.
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}}
	if err := conn.Apply(context.Background(), 1, route); err != nil {
		fmt.Println(err)
		return
	}
	for _, preview := range []string{"no", "yes"} {
		ctx := metadata.AppendToOutgoingContext(context.Background(), "x-preview", preview)
		answer, err := ask(ctx, conn)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("preview %s: %s\n", preview, answer)
	}
	requests, errors, _, _, _ := conn.Totals("v2")
	fmt.Println("v2 answered", requests, "with", errors, "errors")
	// Output:
	// preview no: v1
	// preview yes: v2
	// v2 answered 1 with 0 errors
}
