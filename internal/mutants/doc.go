// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package mutants takes the guards of the promises in DESIGN.md away, one at a
// time, and sees that a test goes red for each. A guard that can go without
// anybody noticing is either not needed or not tested.
//
// `make mutants` runs it; an ordinary test only sees that every guard is still
// where the list says.
package mutants
