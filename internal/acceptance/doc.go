// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package acceptance tests the parts together, as a user combines them: real
// HTTP services behind the real proxy, a Runner over a FileStore, and load.
package acceptance
