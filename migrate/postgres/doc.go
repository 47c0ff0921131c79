// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package postgres is the migrate.Database of PostgreSQL, 13 and later, through pgx.
//
// Every name in a step's Walk is SQL, qualified and quoted where it must be, and an
// expression names a column by its table, as in users.email: a statement that uses one must
// not call the table by another name.
package postgres
