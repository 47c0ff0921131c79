// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package grpcsplit splits a gRPC client's calls in its own process, without a
// hop: a [Conn] is a [google.golang.org/grpc.ClientConnInterface], which is what
// generated clients are made of, and a [traffic.Router].
//
//	conn, err := grpcsplit.New(map[string]*grpc.ClientConn{"v1": v1, "v2": v2}, grpcsplit.Options{File: "route.json", Default: "v1"})
//	...
//	greeter := pb.NewGreeterClient(conn)
//
// For each call, unary or streaming, a match on the call's outgoing metadata
// decides first, then the sticky key, then chance. Once [Conn.Apply] has returned,
// no call begins on the old route; calls under way finish where they are. The
// sticky key puts a client on the same side as package proxy does.
//
// A header in a route is a key of the metadata, a cookie one in the key "cookie".
// Names that gRPC itself sets, such as "content-type", are refused, since they are
// not there yet when the arm is chosen. A call has no query.
//
// A Conn turns the calls of one process. Where many processes call a service, give
// them their routes with package xds instead.
package grpcsplit
