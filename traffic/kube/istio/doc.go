// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package istio turns traffic by an Istio VirtualService: between hosts, or between the
// subsets of one host.
//
//	r, err := istio.New(ctx, client, "prod", "web", istio.Options{})             // arms are hosts
//	r, err := istio.New(ctx, client, "prod", "web", istio.Options{Host: "web"})  // arms are subsets
//
// # What is turned
//
// Each route of http, tcp and tls that sends to one of the arms is turned, whatever else it
// says. Its two destinations get weights that add up to Options.Total, 100 unless that says
// otherwise; both stay, since Istio gives everything to the only one whatever its weight.
// A third destination of such a route would take from both and is left out meanwhile. All
// other routes, their order, and all other fields stay. Options.Routes leaves out routes
// that are to stay although they send to an arm.
//
// An arm that is a host is named as the VirtualService's namespace names it: web-b, and not
// web-b.prod.svc.cluster.local. A route is refused while a Service or a subset that would
// get requests is missing, since its share would be answered with 503.
//
// A subset keeps its labels. Where the next release is another arm with a label of its own
// no subset that carries traffic is ever given other pods; with Options.Label the router
// adds the one that is missing before it is given a weight.
//
// # Matches and mirror
//
// Istio takes the first route that matches. A match is one more route above each one of
// http that is turned: the same conditions and one more, the same rewrites, timeouts and
// retries, and the candidate alone. So it takes what the turned one would have got, and
// nothing that a route of the owner further up gets. A route that says that already, by
// whomever, is a match of the route, and goes with it. Below the route that it is for it
// takes nothing: then Observe shows no match, whoever has moved it, and the next Apply puts it
// back. A header that the route itself matches cannot be matched on top.
//
// A mirror is the field mirror, or one of mirrors where the owner has some. It copies what
// both arms answer, so that it is refused where the candidate has a weight.
//
// # Evidence
//
// Istio does not say in an object when its proxies have it. So a route is Written and no
// more, and the Lag of five seconds is for istiod and the proxies to follow; measure yours,
// or have [traffic.Verified] count where requests go.
//
// # Permissions
//
// get and patch on virtualservices; get on services; list on endpointslices in
// discovery.k8s.io. For subsets, get on destinationrules, patch where Options.Label is set,
// and list on pods.
package istio
