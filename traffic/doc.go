// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package traffic names what a rollout turns: a [Router] holds one [Route], a
// [Split] between a stable and a candidate backend.
//
// A Router is asked for two things. Apply makes a route the one in force;
// Observe tells what is in force, how sure that is, and how much each side could
// carry. Written is not in effect, so a rollout never moves on because Apply
// returned nil: it moves on when Observe says so.
//
// What is configured is not yet what happens: [Verify] and [Verified] prove a split
// by where requests go, counted by a router that is a [Meter] or sent as probes;
// [Watch] tells when somebody else changes it; [Drain] waits until an arm is quiet
// before anybody scales it down; and a [Fanout] makes one router of several.
//
// [Memory] is a router without a data plane, for tests and as the reference.
// Package proxy is the embedded data plane; the other packages below this one turn
// those of others. Package traffictest holds the law that every router must pass,
// your own included.
package traffic
