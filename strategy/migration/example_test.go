// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration_test

import (
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/migration"
)

// Deploy, expand, backfill, verify, switch, bake and contract are one plan.
func Example() {
	m, err := migrate.New(migrate.NewMemory(), migrate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err := migration.New(m, migrate.Change{
		ID: "20261122-users-new-email", App: "shop", New: []string{"v2"}, Soak: 24 * time.Hour,
		Ops: []migrate.Op{migrate.ReplaceColumn{Table: "users", Old: "email", New: "new_email", Type: "text", NotNull: true}},
	}, migration.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := change.Plan(strategy.BlueGreen{Target: "web", Before: []string{"deploy"}, Bake: 30 * time.Minute, Checks: []string{"errors"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range plan.Lanes[0].Steps {
		fmt.Println(step.Name, step.Before, step.OneWay)
	}
	fmt.Println("watched:", plan.Watch)
	// Output:
	// preview [deploy expand] false
	// switch [] false
	// bake [switched] false
	// contract [contract] true
	// watched: [schema]
}
