// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package web reads evidence from an HTTP endpoint of your own that answers with
// JSON: counts of both arms for an [analysis.Source], or one number for an
// [analysis.Metric].
//
// # Where it asks
//
// The address, and the body of a POST, may have placeholders in braces that are
// filled in with each check and escaped for the place where they stand:
//
//	{service} {lane} {target} {stable} {candidate}   names
//	{run} {step}                                     numbers
//	{since} {until} {exposed}                        moments, as in 2026-01-02T03:04:05Z
//	{since.unix} {until.unix} {exposed.unix}         the same in seconds since 1970
//	{since.ms} {until.ms} {exposed.ms}               and in milliseconds
//
// A placeholder cannot stand in the scheme or the host, and none can lead out of
// its place: not to another path, another parameter or another field of the body.
//
// # What it reads
//
// Where the numbers are in the answer is said by JSON pointers (RFC 6901), in which
// placeholders may stand as well: "/arms/{candidate}/requests". Counts are running
// totals: they only rise until the counter starts over. An endpoint that counts
// between two moments gives such totals when it is asked from {exposed} to {until}.
// What is missing, null, negative or no number is an error and never 0.
//
// # Where it does not go
//
// Whoever may name a service or write an address must not reach with it what only
// this process can. Each connection is checked when it is made, by the address that
// the name has turned out to have:
//
//   - Link-local addresses, the metadata services of the clouds, multicast,
//     broadcast and the unspecified address are never connected to.
//   - Loopback, private and other special networks only with [Options.AllowPrivate].
//   - IPv4 addresses inside IPv6 ones (mapped, NAT64, 6to4, Teredo) count as what
//     they are.
//
// Redirects are followed within one scheme, host and port only; no proxy is taken
// from the environment; an error says the status and where it was, and nothing of
// the answer. A proxy in [Options.Proxy] looks names up itself, and has to keep to
// rules of its own.
package web
