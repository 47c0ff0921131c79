// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package traffictest holds the law that every [traffic.Router] must keep, and
// routers that fail on purpose.
//
// [Run] tries a router, case by case, against what the interface promises:
//
//	func TestConformance(t *testing.T) {
//		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
//			return traffictest.Subject{Router: acme.New(fakeServer(t))}
//		})
//	}
//
// Each case begins with a fresh subject. What the router does not declare in its
// Caps, and what the Subject gives no hook for, is skipped, and the skip names
// what is missing. The more hooks a Subject has, the more is proven: without
// Send nothing shows that a single request goes where the route says.
//
// [Flaky], [Lost] and [Stuck] wrap any router to try what uses one: a rollout, a
// controller, a deploy script.
package traffictest
