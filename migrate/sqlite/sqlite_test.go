// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// open opens a file for the length of the test.
func open(t *testing.T, path string) *sqlite.Database {
	t.Helper()
	db, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func file(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "app.db")
}

func TestConformance(t *testing.T) {
	t.Parallel()
	migratetest.Run(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		t.Parallel()
		path := file(t)
		return migratetest.Subject{
			Database: open(t, path),
			Another:  func() migrate.Database { return open(t, path) },
			DB:       open(t, path).DB(),
			Unsafe:   unsafe,
			Catalog:  catalog(open(t, path)),
			Rows:     100, Races: 40, Stride: 40,
		}
	})
}

// TestConformanceOfAPlainFile is the suite on a file that the program has opened without
// any of what Open sets.
func TestConformanceOfAPlainFile(t *testing.T) {
	t.Parallel()
	migratetest.Run(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		t.Parallel()
		path := file(t)
		plain := func() *sqlite.Database {
			raw, err := sql.Open("sqlite", "file:"+path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = raw.Close() })
			db, err := sqlite.New(raw, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		return migratetest.Subject{
			Database: plain(), Another: func() migrate.Database { return plain() }, DB: open(t, path).DB(), Unsafe: unsafe, Rows: 60, Races: 10, Stride: 1000,
		}
	})
}

// catalog reads the schema without how SQLite happens to write a table's.
func catalog(db *sqlite.Database) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var text sql.NullString
		err := db.DB().QueryRowContext(ctx, `SELECT group_concat(line, char(10)) FROM (
			SELECT m.name || '.' || x.name || ' ' || x.type || ' ' || x."notnull" || ' ' || COALESCE(x.dflt_value, '-') || ' ' || x.pk AS line
			FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) x WHERE m.type = 'table' AND m.name NOT LIKE 'rheostat%'
			UNION ALL SELECT type || ' ' || name || ' ' || COALESCE(sql, '') FROM sqlite_schema
			WHERE type <> 'table' AND name NOT LIKE 'sqlite%' AND tbl_name NOT LIKE 'rheostat%' ORDER BY 1)`).Scan(&text)
		return text.String, err
	}
}

// unsafe is what SQLite has no way to do.
func unsafe(op migrate.Op) bool {
	_, is := op.(migrate.AddForeignKey)
	return is
}

func TestEveryNameOfAFileIsThatFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"plain.db", "with space", "100%", "a%20b", "what?mode=ro", "tag#1", "it's", "\"quoted\"", "ünïcode", "a&b=c", "semi;colon", "back\\slash", "new\nline", "-dash", "file:x"} {
		db := open(t, filepath.Join(dir, name))
		if err := db.Setup(t.Context()); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if found, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(found) == 0 {
			t.Errorf("%q: %v, %v", name, found, err)
		}
		var path string
		if err := db.DB().QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil || filepath.Base(path) != name {
			t.Errorf("%q: the file is %q, %v", name, path, err)
		}
	}
}

func TestMemoryAndNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:"} {
		if _, err := sqlite.Open(path, sqlite.Options{}); err == nil {
			t.Errorf("Open(%q) succeeds", path)
		}
	}
	if _, err := sqlite.New(nil, sqlite.Options{}); err == nil {
		t.Error("New(nil) succeeds")
	}
	if _, err := sqlite.Open(filepath.Join(t.TempDir(), "no", "such", "dir.db"), sqlite.Options{}); err == nil {
		t.Error("Open in a folder that is not there succeeds")
	}
}

func TestANewerLayoutIsRefused(t *testing.T) {
	t.Parallel()
	db := open(t, file(t))
	if err := errors.Join(db.Setup(t.Context()), db.Setup(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := db.DB().ExecContext(t.Context(), "UPDATE rheostat_layout SET version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Setup(t.Context()); err == nil {
		t.Error("Setup accepts a layout of the future")
	}
}
