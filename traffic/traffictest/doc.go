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
// Caps, and what the [Subject] gives no hook for, is skipped, and the skip names
// what is missing. The more hooks a Subject has, the more is proven:
//
//   - Router alone: what is applied is what is shown, to the declared granularity;
//     fences, refusals, concurrent writers, ended contexts, no goroutine left behind.
//   - Foreign: Observe looks instead of remembering; drift is shown, laid at the
//     right door, and repaired.
//   - Rest: what is not the router's stays as it is, byte for byte.
//   - Restart: the route, the fence and the side of each client outlive a crash.
//   - Another: a second process sees what the first one did, the two never leave a
//     mixture, and whoever was overtaken is refused whatever it remembers.
//   - Break with Down, Hanging and Garbage: what cannot be read is not known, and
//     what could not be written is an error; with Hanging, deadlines are kept and
//     leave no mixture; with Deaf, asking again after a lost reply is safe.
//   - Send: requests go where the route says. Split, flips, matches and stickiness
//     are met under load, no request is lost, and the data plane outlives its
//     control plane. Without Send nothing shows that a single request does so.
//   - Connect: connections from before a change follow it.
//   - Copies, and Break with CandidateHanging and CandidateFailing: a mirror copies
//     its share, and whatever the candidate does with it, no client pays.
//   - A router that is a [traffic.Meter], with Send: its counts are those of the
//     clients, copies are not among them, and quiet means quiet.
//
// With 2000 requests a split, the whole takes about three seconds against a
// router in memory and half a minute against a real server.
//
// [Flaky], [Lost] and [Stuck] wrap any router to try what uses one: a rollout, a
// controller, a deploy script.
package traffictest
