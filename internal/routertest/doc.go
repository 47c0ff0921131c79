// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package routertest is what the tests of this module's routers have in common:
// the golden files of what they declare, arms that answer over HTTP and can be made
// to fail, and clients that the conformance suite of traffic/traffictest sends with.
package routertest
