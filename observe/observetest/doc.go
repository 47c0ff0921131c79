// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package observetest holds a recording observer and the law that every
// observer must pass.
package observetest
