// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package rollbacktest holds the law that every rollback.Target must pass.
package rollbacktest
