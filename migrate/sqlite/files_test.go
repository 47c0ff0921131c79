// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rheostat-go/rheostat/migrate"
)

// TestFilesGoUpAndDown is versioned migrations on a real file: each is there whole or not at
// all, and an error names the file and the line.
func TestFilesGoUpAndDown(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), open(t, file(t))
	m, err := migrate.New(db, migrate.Options{})
	if err == nil {
		err = db.Setup(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	write := func(name, text string) { fsys[name] = &fstest.MapFile{Data: []byte(text)} }
	write("1-users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);\nINSERT INTO users (email) VALUES ('a;b'), ('c');")
	write("1-users.down.sql", "DROP TABLE users;")
	write("2-log.sql", `-- +goose Up
CREATE TABLE log (email TEXT);
CREATE TRIGGER logged AFTER INSERT ON users BEGIN
	INSERT INTO log VALUES (new.email);
	INSERT INTO log VALUES (CASE WHEN new.id > 0 THEN 'more' ELSE 'less' END);
END;
-- +goose Down
DROP TRIGGER logged; DROP TABLE log;
`)
	write("3-wrong.up.sql", "INSERT INTO users (email) VALUES ('d');\n\nINSERT INTO nowhere VALUES (1);")
	up := func() ([]migrate.MigrationRun, error) {
		set, err := migrate.ReadDir(fsys, ".")
		if err != nil {
			t.Fatal(err)
		}
		err = set.Add(migrate.Migration{ID: "9-go", Up: migrate.Part{Func: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE users SET email = upper(email)")
			return err
		}}, Down: migrate.Part{SQL: "UPDATE users SET email = lower(email)"}})
		if err != nil {
			t.Fatal(err)
		}
		return m.Up(ctx, set, migrate.UpOptions{})
	}
	if runs, err := up(); err == nil || len(runs) != 2 || !strings.Contains(err.Error(), "3-wrong.up.sql:3: up: ") {
		t.Fatalf("%+v, %v", runs, err)
	}
	count := func(query string) (n int) {
		if err := db.DB().QueryRowContext(ctx, query).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	if n := count("SELECT count(*) FROM users"); n != 2 {
		t.Errorf("%d users: a file that fails is not undone", n)
	}
	write("3-wrong.up.sql", "-- migrate:up transaction:false\nINSERT INTO users (email) VALUES ('d');\nINSERT INTO nowhere VALUES (1);")
	if _, err := up(); err == nil || !strings.Contains(err.Error(), "3-wrong.up.sql:3: up: ") || errors.Is(err, migrate.ErrUnresolved) {
		t.Fatal(err)
	}
	write("3-wrong.up.sql", "-- migrate:up transaction:false\nINSERT INTO users (email) VALUES ('d');\nINSERT INTO log VALUES ('fine');")
	write("3-wrong.down.sql", "DELETE FROM users WHERE email = 'd'")
	if _, err := up(); err != nil {
		t.Fatal(err)
	}
	if n := count("SELECT count(*) FROM users WHERE email IN ('A;B', 'C', 'D')"); n != 3 || count("SELECT count(*) FROM log") != 3 {
		t.Errorf("%d users, %d logged", n, count("SELECT count(*) FROM log"))
	}
	set, err := migrate.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := m.Down(ctx, set, 9); err != nil || len(runs) != 4 {
		t.Errorf("down: %+v, %v", runs, err)
	}
	if n := count("SELECT count(*) FROM sqlite_schema WHERE name IN ('users', 'log', 'logged')"); n != 0 {
		t.Errorf("%d things are left", n)
	}
}
