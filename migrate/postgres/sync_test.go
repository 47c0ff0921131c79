// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

// TestRowsThatAgreeCostNoCall has the server count the calls of the trigger's function: a backfill
// makes none, and a write makes one if it leaves the two columns apart.
func TestRowsThatAgreeCostNoCall(t *testing.T) {
	t.Parallel()
	url := database(t)
	p := pool(t, url)
	for _, text := range []string{
		"CREATE TABLE users (id int PRIMARY KEY, mail text, note text)", "INSERT INTO users SELECT i, 'm' || i FROM generate_series(1, 1000) AS i", "ANALYZE users",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = ''pl''', current_database()); END $$",
	} {
		if _, err := p.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	// calls are those of the sync's function, once the sessions of f have ended and told of theirs.
	calls := func(f func(m *migrate.Migrator, exec func(string))) (n int) {
		session := pool(t, url)
		f(migrator(t, session, "ann"), func(text string) {
			if _, err := session.Exec(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		})
		session.Close()
		eventually(t, "its sessions end", func() bool {
			var others int
			err := p.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").Scan(&others)
			return err == nil && others == 0
		})
		if err := p.QueryRow(t.Context(), "SELECT coalesce(sum(calls), 0)::int FROM pg_stat_user_functions WHERE funcname LIKE 'rheostat\\_%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	change := migrate.Change{ID: "c", Unguarded: "a test", Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: "mail", New: "email"}}}
	n := calls(func(m *migrate.Migrator, exec func(string)) {
		if err := m.Reach(t.Context(), change, migrate.Ready); err != nil {
			t.Fatal(err)
		}
		exec("UPDATE users SET note = 'n'")
		exec("UPDATE users SET mail = 'same', email = 'same'")
	})
	if n != 0 {
		t.Errorf("a backfill of 1000 rows and writes that leave them alike made %d calls", n)
	}
	if n = calls(func(_ *migrate.Migrator, exec func(string)) { exec("UPDATE users SET mail = 'other' WHERE id <= 7") }); n != 7 {
		t.Errorf("seven writes of one of the columns made %d calls", n)
	}
}
