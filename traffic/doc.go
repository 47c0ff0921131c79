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
// [Memory] is a router without a data plane, for tests and as the reference.
// Package proxy is the embedded data plane. Package traffictest holds the law
// that every router must pass, your own included.
package traffic
