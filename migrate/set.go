// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Migration is one versioned migration: a script or a Go function that changes the schema,
// and one that takes it back.
type Migration struct {
	// ID begins with the version in digits, which orders a set:
	// "20240312000000-add-user-preferences".
	ID string
	// Up changes the schema. It may hold nothing but comments.
	Up Part
	// Down takes Up back. Zero, or without a statement, it cannot be.
	Down Part
	// OutOfOrder lets it go up after a later version has, which is ErrOutOfOrder otherwise.
	OutOfOrder bool
}

// Part is one direction of a Migration. Unless it is Alone, and where the database does
// not commit DDL by itself, all of it and the record of it are one transaction.
type Part struct {
	// SQL is a script of statements. It may begin with BEGIN and end with COMMIT, which
	// say no more than what is done anyway.
	SQL string
	// Func, if set, is run after SQL. It must use tx, and neither commit it nor roll it
	// back. It may be run again after a failure, and is not part of the checksum.
	Func func(ctx context.Context, tx *sql.Tx) error
	// Alone runs each statement by itself, outside a transaction, and each may have a
	// connection of its own: CREATE INDEX CONCURRENTLY. There is no Func then.
	Alone bool
	// LockTimeout bounds the wait of one statement for a lock; 0 is Options.LockTimeout.
	LockTimeout time.Duration
	// Timeout bounds each statement; 0 is none.
	Timeout time.Duration

	file string // where it was read; empty is a Go program
	line int    // of SQL in the file
}

// Set is versioned migrations in the order of their versions. The zero Set is empty. It is
// not to be changed while it is used.
type Set struct {
	all []Migration
	// programs are files of a folder that are migrations in another language than SQL, by
	// ID: until one of that ID is added, something would be left out.
	programs map[string]string
}

// complete says which programs nobody has added.
func (s Set) complete() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.programs)) {
		if _, there := s.find(id); !there {
			errs = append(errs, fmt.Errorf("migrate: %s: it is a migration and not SQL: write it as %s.up.sql, or add a Migration of the ID %s with a Func", s.programs[id], id, id))
		}
	}
	return errors.Join(errs...)
}

// Add adds migrations. It fails, and adds none, if one has no version, nothing to do, or
// the version of another.
func (s *Set) Add(migrations ...Migration) error {
	all := append(slices.Clone(s.all), migrations...)
	slices.SortStableFunc(all, func(a, b Migration) int { return compareVersions(a.version(), b.version()) })
	var errs []error
	for i, m := range all {
		if err := m.check(); err != nil {
			errs = append(errs, fmt.Errorf("migrate: %s: %w", m.Up.name(m.ID), err))
		}
		if i > 0 && m.version() != "" && compareVersions(m.version(), all[i-1].version()) == 0 {
			before := all[i-1]
			errs = append(errs, fmt.Errorf("migrate: %s:1: %s has version %s too: give one of them another", m.Up.name(m.ID), before.Up.name(before.ID), m.version()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.all = all
	return nil
}

// All is the migrations in the order of their versions.
func (s Set) All() []Migration { return slices.Clone(s.all) }

func (m Migration) check() error {
	switch {
	case m.version() == "":
		return fmt.Errorf("its name %q does not begin with a version: 20240312000000-add-user-preferences", m.ID)
	case len(m.ID) > 255:
		return errors.New("its name is longer than 255 bytes")
	case m.Up.file == "" && m.Up.SQL == "" && m.Up.Func == nil:
		return errors.New("field Up has neither SQL nor Func")
	case m.Up.Alone && m.Up.Func != nil, m.Down.Alone && m.Down.Func != nil:
		return errors.New("field Func runs in a transaction, and Alone is outside one")
	case min(m.Up.LockTimeout, m.Up.Timeout, m.Down.LockTimeout, m.Down.Timeout) < 0:
		return errors.New("fields LockTimeout and Timeout must not be below zero")
	}
	return nil
}

// version is the digits that ID begins with.
func (m Migration) version() string { return versionOf(m.ID) }

func versionOf(id string) string {
	return id[:len(id)-len(strings.TrimLeft(id, "0123456789"))]
}

// compareVersions compares numbers of any length.
func compareVersions(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// normal is a text with the same ends of lines wherever it was checked out.
func normal(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
}

// name is the file, or the migration.
func (p Part) name(id string) string { return cmp.Or(p.file, id) }
