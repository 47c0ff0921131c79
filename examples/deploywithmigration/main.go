// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command deploywithmigration is blue-green with a change of the database as one plan, with one way home.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/migration"
	"github.com/rheostat-go/rheostat/traffic"
)

func main() {
	ctx := context.Background()
	web := new(traffic.Memory) // or nginx.New, httpproxy.New, …
	db := migrate.NewMemory()  // or postgres.New, mysql.New, sqlite.Open
	m, err := migrate.New(db, migrate.Options{Poll: 10 * time.Millisecond, Observe: func(ctx context.Context, e migrate.Event) {
		if seen, _ := web.Observe(ctx); e.Kind == migrate.PhaseEntered {
			fmt.Println("the change is", e.Phase, "with", seen.Route.Split.Candidate, "on v2.0.0")
		}
	}})
	change, err2 := migration.New(m, migrate.Change{
		ID: "20261123-users-new-field", App: "shop", New: []string{"v2.0.0"}, Soak: 100 * time.Millisecond,
		Ops: []migrate.Op{
			migrate.AddColumn{Table: "users", Column: "new_field", Type: "text"},
			migrate.Backfill{Table: "users", Column: "new_field", Value: "lower(name)"},
			migrate.MakeNotNull{Table: "users", Column: "new_field"},
		},
	}, migration.Options{})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	go m.Work(ctx) //nolint:errcheck // here, or in a process of its own, until that ends
	plan, err := change.Plan(strategy.BlueGreen{Target: "web", Bake: 400 * time.Millisecond})
	wiring := strategy.Wiring{Routers: map[string]traffic.Router{"web": web}, Judges: change.Judges(), Tasks: change.Tasks()}
	runner, err2 := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Poll: 10 * time.Millisecond, Wire: strategy.Fixed(wiring)})
	// Each instance of v2.0.0 does so when it starts, see migrate.Attend: without one nothing is contracted.
	err3 := db.Register(ctx, migrate.Instance{App: "shop", Version: "v2.0.0", ID: "1"})
	if err := errors.Join(err, err2, err3); err != nil {
		log.Fatal(err)
	}
	for _, step := range plan.Lanes[0].Steps {
		fmt.Println("step", step.Name, "after", step.Before)
	}
	_, err = runner.Start(ctx, "shop", strategy.Request{Release: strategy.NewRelease("v1.9.0", "v2.0.0"), Plan: plan})
	_, err2 = runner.Run(ctx, "shop")
	fmt.Println("ended:", errors.Join(err, err2))
}
