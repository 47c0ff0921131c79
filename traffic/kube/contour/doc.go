// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package contour turns traffic by the weights of a Contour HTTPProxy.
//
//	r, err := contour.New(client, "prod", "web", contour.Options{})
//
// # What is turned
//
// The services of each route of spec.routes that sends to stable or to the candidate get
// weights that add up to Options.Total; all other routes stay as they are. An arm is the
// name of a Service in the HTTPProxy's namespace: Contour knows no other. The entry of an
// arm that has none yet is made like that of the other arm, with its port and policies.
// Entries that are neither arm get weight 0 meanwhile; mirrors stay. Where no entry of a
// route has a weight all get the same, as Contour reads it.
//
// Contour passes over a Service that is missing, and declares the HTTPProxy invalid: the others
// get its share, by their weights, or all the same where those are 0, so that a candidate of
// weight 0 gets everything if it is alone; a route without any is answered with 503. So a route
// is refused while a Service that would get requests is missing, and an arm that gets none is
// left out while its Service is missing, which keeps the HTTPProxy valid. Contour before 1.19
// gives up the whole HTTPProxy instead.
//
// # Stickiness
//
// A route with loadBalancerPolicy Cookie keeps a client on one endpoint, and so on its arm,
// but by no cookie or header of the caller's choice: Caps rule stickiness out. Conditions on
// headers would need a twin of each route: Caps rule matches out, too.
//
// # Evidence
//
// A route is Programmed when Contour has declared the HTTPProxy valid at its current
// generation, and Written until then, or while Contour declares it invalid. Envoy gets it
// a moment later: the Lag of two seconds is for that.
//
// # Permissions
//
// get and patch on httpproxies in projectcontour.io, get on services, list on endpointslices
// in discovery.k8s.io.
package contour
