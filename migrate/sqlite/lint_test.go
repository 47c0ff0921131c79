// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"errors"
	"testing"

	"github.com/rheostat-go/rheostat/migrate"
)

func TestStatementsOfAChangeAreLintedToo(t *testing.T) {
	t.Parallel()
	db := open(t, file(t))
	if _, err := db.DB().ExecContext(t.Context(), "CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO users VALUES (1, 'a'); CREATE TABLE hollow (a TEXT)"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		op   migrate.SQL
		safe bool
	}{
		{migrate.SQL{Name: "all", Do: []string{"UPDATE users SET a = 'b'"}, Undo: []string{"SELECT 1"}}, false},
		{migrate.SQL{Name: "none", Do: []string{"UPDATE hollow SET a = 'b'"}, Undo: []string{"SELECT 1"}}, true},
		{migrate.SQL{Name: "said", Do: []string{"UPDATE users SET a = 'b'"}, Undo: []string{"SELECT 1"}, Safe: "there is one"}, true},
		{migrate.SQL{Name: "drop", Do: []string{"ALTER TABLE users DROP COLUMN a"}, Undo: []string{"ALTER TABLE users ADD COLUMN a TEXT"}}, false},
		{migrate.SQL{Name: "end", Phase: migrate.Contracting, Do: []string{"ALTER TABLE users DROP COLUMN a"}}, true},
	} {
		_, err := db.Compile(t.Context(), migrate.Change{ID: "c", App: "shop", New: []string{"v2"}, Ops: []migrate.Op{c.op}})
		if (err == nil) != c.safe || err != nil && !errors.Is(err, migrate.ErrUnsafe) {
			t.Errorf("%s: %v", c.op.Name, err)
		}
	}
}
