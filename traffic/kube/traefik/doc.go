// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package traefik turns traffic by the weights of a TraefikService, which IngressRoutes
// send to.
//
//	r, err := traefik.New(client, "prod", "web", traefik.Options{})
//
// # What is turned
//
// spec.weighted.services gets weights that add up to Options.Total. An arm is the name of a
// Service, with its namespace before it, as in "other/web", where that is not the
// object's. The entry of an arm that has none yet is made like that of the other arm, with
// its port. Entries that are neither arm get weight 0 meanwhile; an entry without a weight
// has 1, as Traefik reads it. A TraefikService that mirrors, or that is not weighted, is
// refused.
//
// Traefik gives up the whole TraefikService when one Service that it names is missing,
// whatever its weight. So a route is refused while a Service that would get requests is
// missing, and an arm that gets none is left out while its Service is missing.
//
// As long as Traefik's option providers.kubernetesCRD.allowEmptyServices is false, which is
// its default, it does the same for a Service without endpoints that serve: one that was scaled
// to 0 when its arm got nothing any more, or a candidate all of whose pods have failed. Then
// all requests fail, those for the other arm, too. Nothing in the cluster tells a client how the
// option is set, so set it to true before the first rollout.
//
// # Stickiness
//
// Traefik keeps a client on its arm by a cookie and knows no header to do so by, so that Caps
// rule out stickiness. A cookie that the owner has set in spec.weighted.sticky stays as it
// is. Then weights say where clients without the cookie go; the others stay where they
// are until their arm has weight 0, and the candidate gets less than its weight.
//
// # Evidence
//
// A TraefikService has no status, so that a route is Written and no more. Traefik takes
// changes up at most once in providersThrottleDuration, two seconds by default: the Lag of
// five seconds is for that.
//
// # Permissions
//
// get and patch on traefikservices, get on services, list on endpointslices in
// discovery.k8s.io.
package traefik
