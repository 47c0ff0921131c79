// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/rheostat-go/rheostat/migrate"
)

// shopSchema is one with some of everything.
const shopSchema = `
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL DEFAULT 'none', age int, note text, bio text);
CREATE INDEX users_note ON users (note);
CREATE TABLE orders (id int PRIMARY KEY, "user" bigint, total int, "The ""Note" text);
CREATE TABLE old_orders (id int PRIMARY KEY);
INSERT INTO users (email, age) SELECT 'u' || i, i FROM generate_series(1, 100) AS i;
INSERT INTO orders SELECT i, i, i FROM generate_series(1, 100) AS i;
ANALYZE`

// TestEveryStepTakesTheLocksThatItDeclares holds each step's statements open in a transaction, and
// looks which locks they have.
func TestEveryStepTakesTheLocksThatItDeclares(t *testing.T) {
	t.Parallel()
	for _, ops := range [][]migrate.Op{
		{migrate.AddColumn{Table: "users", Column: "extra", Type: "jsonb", Default: "'{}'"}},
		{migrate.ReplaceColumn{Table: "users", Old: "email", New: "mail", Type: "text", Up: "lower(email)", Down: "mail", NotNull: true}},
		{migrate.RenameColumn{Table: "orders", Old: `The "Note`, New: "note"}},
		{migrate.ChangeType{Table: "orders", Column: "total", Type: "bigint"}},
		{migrate.Backfill{Table: "users", Column: "age", Value: "0"}, migrate.MakeNotNull{Table: "users", Column: "age"}},
		{migrate.AddForeignKey{Table: "orders", Name: "orders_user", Columns: []string{"user"}, To: "users", Refer: []string{"id"}}},
		{migrate.AddCheck{Table: "orders", Name: "positive", Holds: "total > 0"}},
		{migrate.SplitTable{Table: "users", Into: "profiles", Columns: []string{"bio"}}},
		{migrate.DropColumn{Table: "users", Column: "note", Fill: "'gone'"}},
		{migrate.DropTable{Table: "old_orders"}},
	} {
		t.Run(strings.TrimPrefix(fmt.Sprintf("%T", ops[0]), "migrate."), func(t *testing.T) {
			t.Parallel()
			p := pool(t, database(t))
			db := open(t, p)
			if _, err := p.Exec(t.Context(), shopSchema); err != nil {
				t.Fatal(err)
			}
			script, err := db.Compile(t.Context(), migrate.Change{ID: "locks", Ops: ops})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := p.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			for _, s := range script.Steps {
				do := s.Do
				if w := s.Walk; w != nil && !w.Verify && w.Into == "" {
					do = []string{fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", w.Table, pgx.Identifier{w.Set[0].Column}.Sanitize(), w.Set[0].Value, w.Pending)}
				}
				got := held(t, conn.Conn(), do)
				if s.Walk != nil {
					continue
				}
				want := map[string]string{}
				for _, l := range s.Locks {
					want[l.Table] = l.Mode
					if stops := l.Mode == "ACCESS EXCLUSIVE"; l.Reads != stops {
						t.Errorf("%s: a lock that is %s says that it stops readers: %v", s.Name, l.Mode, l.Reads)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: the locks declared (-) and taken (+):\n%s", s.Name, diff)
				}
			}
		})
	}
}

// strength is the order of locks.
var strength = []string{"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}

var modes = map[string]string{
	"RowShareLock": "ROW SHARE", "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE", "ShareLock": "SHARE",
	"ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE", "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}

// held runs statements in a transaction and says which locks it has in the end on tables that were
// there before, but for those of plain reads and writes.
func held(t *testing.T, conn *pgx.Conn, do []string) map[string]string {
	t.Helper()
	names := map[uint32]string{}
	rows, err := conn.Query(t.Context(), "SELECT oid, relnamespace::regnamespace || '.' || quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
	if err != nil {
		t.Fatal(err)
	}
	var oid uint32
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&oid, &name}, func() error { names[oid] = name; return nil }); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range do {
		if _, err := tx.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	rows, err = tx.Query(t.Context(), "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted")
	if err != nil {
		t.Fatal(err)
	}
	strongest := map[string]int{}
	var mode string
	if _, err := pgx.ForEachRow(rows, []any{&oid, &mode}, func() error {
		if names[oid] == "" {
			return nil // of the catalog, or new
		}
		strongest[names[oid]] = max(strongest[names[oid]], slices.Index(strength, mode))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, i := range strongest {
		if told := modes[strength[i]]; told != "" {
			got[name] = told
		}
	}
	return got
}
