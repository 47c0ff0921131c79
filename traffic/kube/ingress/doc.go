// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package ingress turns the canary annotations of ingress-nginx: beside the Ingress of the
// service it keeps a second one that has the same hosts and paths, the other arm as its
// backend, and the share of the traffic in its annotations.
//
//	r, err := ingress.New(client, "prod", "web", ingress.Options{})
//
// ingress-nginx is retired: since March 2026 there are no releases and no security fixes.
// This package is for clusters that still have it; for a new one take a controller of the
// Gateway API.
//
// # Arms
//
// An arm is the name of a Service. The Ingress that the router is given, and never
// changes, has one of them as a backend; its port is that of the other one, too. If that
// is stable, the canary Ingress has the candidate and its share; after a swap, when the
// Ingress has what is now the candidate, the canary has stable and the rest. All paths
// with that Service are split, and no others; a path that is added later is with the next
// Apply, and until then Observe shows that something is amiss.
//
// # What the controller makes of it
//
// It asks in this order: the session cookie, where the Ingress has affinity; the header;
// the cookie; the weight. Who has a session on the Ingress's own Service stays there
// whatever the others say, at 100%, too. That is no split, so a route that moves anything
// is refused while the Ingress has affinity, until [Options.Affinity] says that it is meant.
//
// A weight is drawn for each request, out of canary-weight-total if that is more than 100,
// and out of 100 otherwise: smaller totals are ignored, and a controller too old to know
// the annotation takes any weight above 100 for everything. So this package writes per
// cents unless [Options.WeightTotal] asks for more.
//
// There can be one canary Ingress for a path. Another Ingress of the same host that has
// the arm as its own backend, a preview say, makes the controller ignore the canary; it
// tells so only in its log. A Service without endpoints is passed over, too.
//
// # What is known
//
// An Ingress does not tell what its controller has loaded: the evidence is Written, with a
// Lag of ten seconds for the controller to follow by its defaults. The first Apply makes
// the canary Ingress, for which nginx reloads; weights go without. [traffic.Verify] proves
// more with probes.
//
// # The canary Ingress
//
// It belongs to the router, has the Ingress as its owner, and stays when a rollout has
// ended, with a weight of 0: it holds the fence. [kube.Router.Remove] removes it.
//
// # Matches
//
// The annotations can say one header, with some values or any, and one cookie that says
// "always". With [Options.Matches] the router takes such routes, and refuses all others
// with errors.ErrUnsupported and the field.
package ingress
