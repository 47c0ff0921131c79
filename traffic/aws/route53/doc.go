// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package route53 turns the weights of two weighted record sets in a Route 53
// hosted zone.
//
//	router, err := route53.New(r53.NewFromConfig(cfg), route53.Options{Zone: "Z123", Name: "shop.example.com"})
//
// The arms of a route are the SetIdentifiers of the two record sets, which must
// exist unless their arm gets nothing; everything in them but the weight is left as it is: values,
// alias target, TTL, health check. Their weights always add up to 200, so a
// step of half a per cent is exact, and there is never a set whose weights are all 0,
// which Route 53 takes for equal shares.
//
// # The fence
//
// Route 53 carries out a batch of changes wholly or not at all, and deletes a
// record set only if all its values are the ones that the caller names. So each
// write is one batch that deletes both record sets as they were read, and
// a TXT record that holds the fence and the route, and creates them
// anew. Whoever was faster, with whatever tool, makes the batch fail, and the
// [Router] looks again. The TXT record is called _rheostat before the name
// (Options.Fence). It needs no more rights than the weights do. Who deletes or
// damages it takes the fence away.
//
// # Evidence and DNS
//
// AWS tells when a change is on all of its name servers (GetChange: INSYNC),
// which is Programmed. Of a change that this Router did not make, or made before
// a restart, there is no such word; it counts as Programmed when it was seen for
// Options.Propagation. What resolvers and clients remember comes on top: Caps.Lag,
// which must not be below the TTL. A weight steers answers, not requests:
// one big resolver can be a tenth of the users.
//
// With health checks, a record set of weight 0 answers when all others are
// unhealthy. That is how Route 53 fails over, and not seen here.
package route53
