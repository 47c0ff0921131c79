// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// A column is replaced while the old version of the program runs. The new version may have
// traffic once the change is ready, and everything can be taken back.
func Example() {
	ctx := context.Background()
	db := migrate.NewMemory() // postgres.New(pool), mysql.New(db), sqlite.New(db)
	m, err := migrate.New(db, migrate.Options{
		Throttle: migrate.Throttle{Duty: 1},
		Observe: func(_ context.Context, e migrate.Event) {
			if e.Kind == migrate.PhaseEntered {
				fmt.Println(e.Phase)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	change := migrate.Change{
		ID: "20261122-users-new-email", App: "shop", New: []string{"v2"}, Soak: 24 * time.Hour,
		Ops: []migrate.Op{migrate.ReplaceColumn{Table: "users", Old: "email", New: "new_email", Type: "text", NotNull: true}},
	}
	if err := m.Reach(ctx, change, migrate.Ready); err != nil {
		fmt.Println(err)
	}
	if err := m.Rollback(ctx, change.ID, "the new version was slow"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// expanding
	// syncing
	// backfilling
	// verifying
	// ready
	// rollingBack
	// rolledBack
}

// Files go up once, in the order of their versions, and the last of them down again.
func ExampleMigrator_Up() {
	ctx := context.Background()
	fsys := fstest.MapFS{ // os.DirFS(".") or an embed.FS
		"migrations/20240312000000-add-user-preferences.up.sql":   {Data: []byte("ALTER TABLE users ADD COLUMN preferences jsonb DEFAULT '{}';")},
		"migrations/20240312000000-add-user-preferences.down.sql": {Data: []byte("ALTER TABLE users DROP COLUMN preferences;")},
	}
	set, err := migrate.ReadDir(fsys, "migrations")
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := migrate.New(migrate.NewMemory(), migrate.Options{
		Observe: func(_ context.Context, e migrate.Event) { // the command's --verbose
			if e.Kind == migrate.StatementRun {
				fmt.Println(e.ID, e.Step+":", e.Statement)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		runs, err := m.Up(ctx, set, migrate.UpOptions{})
		fmt.Println(len(runs), "applied", err)
	}
	if _, err := m.Down(ctx, set, 1); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 20240312000000-add-user-preferences up: ALTER TABLE users ADD COLUMN preferences jsonb DEFAULT '{}'
	// 1 applied <nil>
	// 0 applied <nil>
	// 20240312000000-add-user-preferences down: ALTER TABLE users DROP COLUMN preferences
}
