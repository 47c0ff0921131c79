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

// deploy stands for starting v2.0.0: what matters here is that its instance registers.
type deploy struct {
	migrate.Database
	migrate.Instance
}

func (d deploy) Do(ctx context.Context, _ strategy.Ref) error { return d.Register(ctx, d.Instance) }

func (d deploy) Undo(ctx context.Context, _ strategy.Ref) error { return d.Unregister(ctx, d.Instance) }

func (d deploy) Status(ctx context.Context, r strategy.Ref) (strategy.TaskStatus, error) {
	alive, err := d.Instances(ctx, d.App, time.Minute)
	if (len(alive) > 0) != r.Back {
		return strategy.TaskDone, err
	}
	return strategy.TaskTodo, err
}

func main() {
	ctx := context.Background()
	db := migrate.NewMemory() // or postgres.New, mysql.New, sqlite.Open
	m, err := migrate.New(db, migrate.Options{Poll: 10 * time.Millisecond, Observe: func(_ context.Context, e migrate.Event) {
		if e.Kind == migrate.PhaseEntered {
			fmt.Println("the change is", e.Phase)
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
	plan, err := change.Plan(strategy.BlueGreen{Target: "web", Before: []string{"deploy"}, Bake: 400 * time.Millisecond})
	tasks := change.Tasks()
	tasks["deploy"] = deploy{db, migrate.Instance{App: "shop", Version: "v2.0.0", ID: "1"}}
	runner, err2 := strategy.NewRunner(strategy.Config{Store: &strategy.MemoryStore{}, Poll: 10 * time.Millisecond, Wire: strategy.Fixed(strategy.Wiring{
		Routers: map[string]traffic.Router{"web": loud{new(traffic.Memory)}}, Judges: change.Judges(), Tasks: tasks,
	})})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	_, err = runner.Start(ctx, "shop", strategy.Request{Release: strategy.NewRelease("v1.9.0", "v2.0.0"), Plan: plan})
	_, err2 = runner.Run(ctx, "shop")
	fmt.Println("ended:", errors.Join(err, err2))
}

type loud struct{ traffic.Router } // tells what is asked of it

func (l loud) Apply(ctx context.Context, fence uint64, r traffic.Route) error {
	fmt.Println(r)
	return l.Router.Apply(ctx, fence, r)
}
