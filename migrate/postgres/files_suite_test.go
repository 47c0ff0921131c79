// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	migratetest.RunFiles(t, func(t *testing.T) migratetest.Subject {
		t.Helper()
		return subject(t, database(t))
	})
}

// TestAnIndexIsBuiltBesideItsUsersOrNotAtAll has the server refuse an index that is built
// concurrently, and end the connection that builds one: neither leaves an invalid index,
// and nobody is asked.
func TestAnIndexIsBuiltBesideItsUsersOrNotAtAll(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db, ctx := open(t, p), t.Context()
	m, err := migrate.New(db, migrate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(text string) {
		t.Helper()
		if _, err := p.Exec(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	indexes := func() (n int) {
		t.Helper()
		if err := p.QueryRow(ctx, "SELECT count(*) FROM pg_index WHERE indrelid = 'users'::regclass AND NOT indisprimary").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	up := func(texts ...string) error {
		t.Helper()
		fsys := fstest.MapFS{}
		for i, text := range texts {
			fsys[string(rune('1'+i))+"-x.up.sql"] = &fstest.MapFile{Data: []byte(text)}
		}
		set, err := migrate.ReadDir(fsys, ".")
		if err == nil {
			_, err = m.Up(ctx, set, migrate.UpOptions{})
		}
		return err
	}
	exec("CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, 'a' FROM generate_series(1, 1000) i")

	const inside = "CREATE UNIQUE INDEX users_email ON users (email)"
	if err := up(inside); !errors.Is(err, migrate.ErrUnsafe) || !strings.Contains(err.Error(), "CONCURRENTLY") {
		t.Errorf("with writers waiting: %v", err)
	}
	const alone = "-- migrate:up transaction:false\nCREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)"
	if err := up(alone); err == nil || !strings.Contains(err.Error(), "23505") || !strings.Contains(err.Error(), "1-x.up.sql:2") {
		t.Errorf("with duplicates: %v", err)
	}
	if n := indexes(); n != 0 {
		t.Errorf("%d indexes after it was refused", n)
	}

	exec("UPDATE users SET email = id")
	blocker, err := p.Begin(ctx) // it waits for whoever has the table open
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback(ctx) //nolint:errcheck // it is over by then
	if _, err := blocker.Exec(ctx, "UPDATE users SET email = email WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- up(alone) }()
	eventually(t, "the index is being built", func() bool {
		var n int
		err := p.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'CREATE UNIQUE INDEX%' AND state = 'active'").Scan(&n)
		return err == nil && n > 0
	})
	if err := blocker.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		if err := up(alone); err != nil {
			t.Errorf("after its connection was ended: %v", err)
		}
	}
	var valid bool
	if err := p.QueryRow(ctx, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_email'::regclass").Scan(&valid); err != nil || !valid {
		t.Errorf("the index is valid: %t, %v", valid, err)
	}

	if err := up(alone, "ALTER TABLE users ALTER email SET NOT NULL"); !errors.Is(err, migrate.ErrUnsafe) {
		t.Errorf("not null without a check: %v", err)
	}
	exec("ALTER TABLE users ADD CONSTRAINT c CHECK (email IS NOT NULL)")
	if err := up(alone, "ALTER TABLE users ALTER email SET NOT NULL"); err != nil {
		t.Errorf("not null with a check that was validated: %v", err)
	}
}
