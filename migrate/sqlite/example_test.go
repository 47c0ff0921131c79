// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// A column is replaced while both versions of a program use it, and the file alone is all
// that is needed.
func Example() {
	dir, err := os.MkdirTemp("", "rheostat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the system's own is swept anyway
	if err := replaceEmail(context.Background(), filepath.Join(dir, "app.db")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// row 1, backfilled: ann@example.com
	// row 2, written by the old version: bob@example.com
	// row 3, written by the new version, as the old one reads it: cid@example.com
	// rolledBack, with row 3 kept: cid@example.com
}

func replaceEmail(ctx context.Context, path string) error {
	db, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Setup(ctx); err != nil {
		return err
	}
	m, err := migrate.New(db, migrate.Options{})
	if err != nil {
		return err
	}
	exec := func(query string) {
		if err == nil {
			_, err = db.DB().ExecContext(ctx, query)
		}
	}
	show := func(what, query string) {
		var text string
		if err == nil {
			err = db.DB().QueryRowContext(ctx, query).Scan(&text)
			fmt.Println(what + ": " + text)
		}
	}
	exec("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL)")
	exec("INSERT INTO users VALUES (1, 'Ann@Example.com')")
	change := migrate.Change{
		ID: "20261122-users-address", App: "shop", New: []string{"v2"},
		Ops: []migrate.Op{migrate.ReplaceColumn{
			Table: "users", Old: "email", New: "address", Type: "TEXT", Up: "lower(email)", Down: "address", NotNull: true,
		}},
	}
	if err == nil {
		err = m.Reach(ctx, change, migrate.Ready)
	}
	show("row 1, backfilled", "SELECT address FROM users WHERE id = 1")
	exec("INSERT INTO users (id, email) VALUES (2, 'Bob@Example.com')")
	show("row 2, written by the old version", "SELECT address FROM users WHERE id = 2")
	exec("INSERT INTO users (id, address) VALUES (3, 'cid@example.com')")
	show("row 3, written by the new version, as the old one reads it", "SELECT email FROM users WHERE id = 3")
	if err == nil {
		err = m.Rollback(ctx, change.ID, "the new version is slow")
	}
	show("rolledBack, with row 3 kept", "SELECT email FROM users WHERE id = 3")
	return err
}
