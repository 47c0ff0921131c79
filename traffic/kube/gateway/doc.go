// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package gateway turns traffic by the Gateway API: an HTTPRoute or a GRPCRoute, of any
// implementation.
//
//	r, err := gateway.NewHTTPRoute(client, "prod", "web", gateway.Options{})
//
// # What is turned
//
// Each rule that sends to the Service of an arm is turned, whatever else it says: its two
// backendRefs get weights that add up to Options.Total. The reference to the candidate is
// made like that to stable, with its port and filters, and stays at weight 0, so that the
// data plane knows it when the weight comes back. A third backend of such a rule would
// take from both and is left out meanwhile. All other rules, their order, and all other fields stay. Options.Rules
// leaves out rules that are to stay although they send to an arm.
//
// A Service that is not there would have its share answered with 500, and never by the
// other one. So a route is refused while a Service that would get requests is missing.
//
// # Matches
//
// A match is one more rule before all others for each that is turned: the same conditions
// and one more, the same filters and timeouts, and the candidate alone. The Gateway API
// gives requests to the rule with the longest path and then with the most conditions, so
// such a rule takes what the turned one would have got, and nothing that another rule of
// the owner gets. A rule that says that already, by whomever, is a match of the route, and
// goes with it. A header that the rule itself matches cannot be matched on top.
//
// Values are matched by Exact; cookies, and matches on any value, by RegularExpression,
// which implementations may support or not: where they do not, set Options.NoRegex, and a
// plan with matches is refused before it begins.
//
// # Mirror
//
// A mirror is the filter RequestMirror of each turned rule. It copies what both arms answer,
// so that it is refused where the candidate has a weight. Everything is said without a
// share, which all CRDs know; shares need one of release 1.3 or later, and an
// implementation that heeds them. An older CRD drops the share, and all is copied: Apply
// then returns an error.
//
// # Evidence
//
// A route is Programmed when every parent says in its status that it was Accepted and that
// its references are resolved (ResolvedRefs), both for the generation that the object has,
// and not that it was taken only in part. A parent that says nothing yet keeps it Written.
// Implementations say so when they have understood the route, a little before their last
// proxy has it: the Lag is for that.
//
// # Permissions
//
// get and patch on httproutes or grpcroutes, get on services, list on endpointslices in
// discovery.k8s.io.
package gateway
