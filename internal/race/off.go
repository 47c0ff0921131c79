// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

// Package race tells tests whether the race detector is on: it makes a
// simulation some twenty times slower, so that there fewer are run.
package race

// Enabled reports whether the race detector is on.
const Enabled = false
