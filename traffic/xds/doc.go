// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package xds is an embedded xDS control plane: it gives routes to Envoy proxies
// and to gRPC clients that need no proxy. A [Server] holds one [Router] for each
// service, and serves them all on one port by ADS, state of the world.
//
//	s := xds.New(xds.Options{})
//	web, err := s.Router("web", map[string][]string{"v1": {"10.0.0.1:8080"}, "v2": {"10.0.0.2:8080"}},
//		xds.RouterOptions{File: "web.json", Default: "v1"})
//	...
//	err = s.Serve(ctx, listener)
//
// A gRPC client dials "xds:///web" with the server in its bootstrap. An Envoy has
// the server as its ADS, and gets a listener of its own from RouterOptions.Listen,
// or refers to the route configuration "web" from one that it has.
//
// # What is in force where
//
// Clients keep the last route that they have accepted, also when the server is
// gone. Observe shows Programmed once every client that is connected has
// acknowledged the route, Written before that and while there is no client, and an
// error that names the client while one refuses it. An acknowledgement is not yet
// an effect: calls that begin within the Lag of Caps may still go the old way. A
// client that is not connected is not counted, whatever it does.
//
// The server is the target: its route and fence are in RouterOptions.File, and are
// restored when the router is made. Make all routers before Serve, so that no
// client is told that a service is gone.
//
// # Both arms stay known
//
// gRPC forgets a cluster that a route does not name or gives a weight of 0, and
// calls fail while it comes back. So each route configuration ends with routes that
// never match and name every arm. Clients keep connections to all arms therefore;
// give an arm to SetArm a while before a route does, and take it away only after.
//
// # What it does not do
//
// Sticky is not supported: hash policies choose a host within a cluster and not the
// cluster. gRPC knows neither queries nor mirrors, so these need RouterOptions.Envoy.
// The values of a header that comes more than once are joined by commas before
// they are matched. The server counts no requests; see them in [traffic.Verify]
// with a probe. Envoy has been tried by its own validation rules and not as a
// running server; gRPC-Go has been tried for real.
package xds
