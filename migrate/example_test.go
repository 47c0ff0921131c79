// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"fmt"
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
