// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package migrate puts ways of filling a new column of a large table side by side, on a
// private PostgreSQL, with and without programs that write to the table meanwhile.
package migrate
