// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package judges simulates rollouts in worlds that differ in how requests fail, and
// lets the rules of other tools and analysis.Compare judge them. Everything comes
// from a seed. The command of the same name writes the tables.
package judges
