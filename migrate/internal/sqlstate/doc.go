// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package sqlstate keeps the records, leases, cursors and instances of package migrate in
// tables, over database/sql. What differs from one database to the next is a [Dialect]. The
// adapters for SQLite, MySQL and MariaDB are built on it, and add what is not state: how a
// change is compiled, how a walk is done, and how the database bears it.
//
// Every transaction locks in the same order, the lease's row, the record's row, the rows of
// instances, so that no two of them can wait for each other.
package sqlstate
