// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flagramp makes a feature flag a dial of a rollout: a [Router] turns the share
// of units that get a variant, as other routers turn a share of requests. The same plans,
// checks, fence and way home then drive it, alone or in one step with traffic.
//
// The arms of a route are variants: with the arms off and on, a route that gives its
// candidate 10 % has 10 % of the units on. Options.Variants names them otherwise, for a
// rollout from v1 to v2 that turns a flag beside a proxy.
//
// Only the flag's default or rollout is dialled. Its targets and rules stay, and
// whoever they name has what they say at any weight. A unit that is let in stays in while
// the weight rises.
//
// A flag that is killed stays killed: a route with any weight for the candidate is
// refused with [ErrKilled], and Observe shows what is in force, which is nothing. The
// way home is open.
package flagramp
