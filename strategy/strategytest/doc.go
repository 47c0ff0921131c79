// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package strategytest tests rollouts: yours, in milliseconds, and ours.
//
// [Play] carries a plan out in a simulated [World] with faults, and returns the
// story: that a failing check at 25% brings everybody home is a unit test of a
// few lines. TestStore holds any Store to its contract. Simulate runs a real
// Runner, or two, under a fake clock, with crashes before and after every call,
// lost replies, stalls and foreign writes, from a seed that reproduces it.
package strategytest
