// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/rheostat-go/rheostat/migrate"
)

// TestWhatAnotherToolHasAppliedIsNotAppliedAgain reads each tool's table as that tool leaves it.
func TestWhatAnotherToolHasAppliedIsNotAppliedAgain(t *testing.T) {
	t.Parallel()
	for tool, table := range map[migrate.Tool][]string{
		migrate.Goose: {
			"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP)",
			"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1), (2, 1), (3, 1), (3, 0), (2, 0), (2, 1)",
		},
		migrate.Dbmate: {
			"CREATE TABLE schema_migrations (version VARCHAR(128) PRIMARY KEY)",
			"INSERT INTO schema_migrations VALUES ('00001'), ('00002')",
		},
		migrate.GolangMigrate: {
			"CREATE TABLE schema_migrations (version uint64, dirty bool)",
			"INSERT INTO schema_migrations VALUES (2, 0)",
		},
	} {
		t.Run(string(tool), func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), open(t, file(t))
			m, err := migrate.New(db, migrate.Options{})
			if err == nil {
				err = db.Setup(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			set, err := migrate.ReadDir(fstest.MapFS{
				"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (x);\n-- +goose Down\nDROP TABLE a;")},
				"00002_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (x);\n-- +goose Down\nDROP TABLE b;")},
				"00003_c.sql": {Data: []byte("-- +goose Up\nCREATE TABLE c (x);\n-- +goose Down\nDROP TABLE c;")},
			}, ".")
			if err != nil {
				t.Fatal(err)
			}
			if ids, err := m.Adopt(ctx, set, tool); err == nil {
				t.Errorf("without a table: %v", ids)
			}
			for _, query := range append(table, "CREATE TABLE a (x)", "CREATE TABLE b (x)") {
				if _, err := db.DB().ExecContext(ctx, query); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range [][]string{{"00001_a", "00002_b"}, nil} {
				if ids, err := m.Adopt(ctx, set, tool); err != nil || !slices.Equal(ids, want) {
					t.Errorf("adopted %v, %v, want %v", ids, err, want)
				}
			}
			if runs, err := m.Up(ctx, set, migrate.UpOptions{}); err != nil || len(runs) != 1 || runs[0].ID != "00003_c" {
				t.Errorf("up: %+v, %v", runs, err)
			}
			if runs, err := m.Down(ctx, set, 9); err != nil || len(runs) != 3 {
				t.Errorf("down: %+v, %v", runs, err)
			}
		})
	}
}
