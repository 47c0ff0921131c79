// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package dbtest starts private database servers for tests: on a random port of loopback,
// with data of their own, killed and started again at will, and gone with the test. A
// server whose program is not installed skips its test by name, and fails it when
// RHEOSTAT_REAL is 1.
package dbtest
