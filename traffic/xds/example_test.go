// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"fmt"
	"net"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

func Example() {
	s := xds.New(xds.Options{})
	web, err := s.Router("web", map[string][]string{
		"v1": {"10.0.0.1:8080", "10.0.0.2:8080"},
		"v2": {"10.0.0.3:8080"},
	}, xds.RouterOptions{Default: "v1"}) // and a File in a program
	if err != nil {
		fmt.Println(err)
		return
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error)
	go func() { served <- s.Serve(ctx, lis) }()

	// Clients that dial "xds:///web" call v2 with a tenth of their calls.
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	if err := web.Apply(ctx, 1, route); err != nil {
		fmt.Println(err)
		return
	}
	seen, err := web.Observe(ctx)
	fmt.Println(seen.Route, seen.Evidence, err) // programmed, once a client is there and has it

	cancel()
	fmt.Println(<-served)
	// Output:
	// 10% to v2, rest to v1 written <nil>
	// <nil>
}
