// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"database/sql"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// Subject is a database to be tried, with what the suite can do beside it. Only Database
// is required; cases that need a hook that is nil are skipped by name.
type Subject struct {
	// Database is the database, empty. Setup need not have been called.
	Database migrate.Database

	// Another makes one more Database over the same data, as a second process would: the
	// two share nothing but the server or the file.
	Another func() migrate.Database

	// DB is a connection to the same data for the clients of the old and the new version:
	// they create tables in the default schema, read and write. It waits for locks rather
	// than fail at once, as a program's connection should.
	DB *sql.DB

	// Placeholder is the n-th argument of a statement, from 1. Nil is "?" for each.
	Placeholder func(n int) string

	// Quote makes a name an identifier. Nil puts it between double quotes.
	Quote func(name string) string

	// Types are the names of types. Empty ones have defaults.
	Types Types

	// Transient says whether an error of DB is one that every client of this database
	// must bear and try again, such as a deadlock. Nil is none.
	Transient func(error) bool

	// Piecemeal says that the database commits each change of the schema by itself, so that
	// scripts make such steps Alone.
	Piecemeal bool

	// Unsafe says whether this database is to refuse an operation on a table of the suite
	// with a *migrate.UnsafeError, because it has no safe way to do it. Nil is never.
	Unsafe func(op migrate.Op) bool

	// Catalog reads all that DB's default schema holds (tables, columns with types,
	// defaults and nullability, indexes, constraints, triggers, functions) as text, sorted,
	// without the tables of migrate itself.
	Catalog func(ctx context.Context) (string, error)

	// Restart kills the server, with no chance to tidy up, and starts it again on the same
	// data. Database and DB must find it again by themselves.
	Restart func(ctx context.Context) error

	// Rows is how many rows a table of a case has. 0 is 300.
	Rows int

	// Stride is how many saves of one phase lie between two at which the process of a case
	// dies, which it does at the first of each phase. 0 is one, so that it dies at each,
	// before and after, or three with -short.
	Stride int

	// Races is how often a case tries to win a race. 0 is 1000, or 100 with -short.
	Races int
}

// Types are the names of the types that the suite makes tables of.
type Types struct {
	// Text holds up to 200 characters and can be a key. Empty is "varchar(200)".
	Text string
	// Int holds 32 bits. Empty is "integer".
	Int string
	// Big holds 64 bits. Empty is "bigint".
	Big string
}

func (s Subject) withDefaults() Subject {
	if s.Placeholder == nil {
		s.Placeholder = func(int) string { return "?" }
	}
	if s.Quote == nil {
		s.Quote = func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	}
	orElse := func(text *string, other string) {
		if *text == "" {
			*text = other
		}
	}
	orElse(&s.Types.Text, "varchar(200)")
	orElse(&s.Types.Int, "integer")
	orElse(&s.Types.Big, "bigint")
	if s.Transient == nil {
		s.Transient = func(error) bool { return false }
	}
	if s.Unsafe == nil {
		s.Unsafe = func(migrate.Op) bool { return false }
	}
	if s.Stride == 0 {
		s.Stride = 1
	}
	if s.Rows == 0 {
		s.Rows = 300
	}
	return s
}
