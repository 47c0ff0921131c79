// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
)

func (g *ground) pressure() migrate.Pressure {
	g.Helper()
	p, err := g.s.Pressure(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	return p
}

func TestPressureTellsOfAnOldSnapshot(t *testing.T) {
	t.Parallel()
	g := newGround(t, "CREATE TABLE users (id int)")
	if p := g.pressure(); p.Commit <= 0 || p.Lag != 0 || p.Log < 0 || p.Log > 1 {
		t.Errorf("%+v", p)
	}
	for _, begin := range []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM users",
		"BEGIN; INSERT INTO users VALUES (1)",
	} {
		conn, err := g.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), begin); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the snapshot of "+begin+" is seen to age", func() bool { return g.pressure().Snapshot > 50*time.Millisecond })
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		conn.Release()
		eventually(t, "it is gone", func() bool { return g.pressure().Snapshot < 50*time.Millisecond })
	}
}

func TestPressureTellsWhoWaitsForABatch(t *testing.T) {
	t.Parallel()
	g := newGround(t, fmt.Sprintf(users, 100)+`CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 FROM pg_sleep(0.01) $$`)
	g.pressure()
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			_, _ = g.pool.Exec(ctx, "UPDATE users SET note = 'mine' WHERE id = 1")
		}
	})
	w := fill()
	w.Method, w.Set[0].Value, w.Pending = "keyset", "slow(email)", "id <= 50" // one batch of half a second
	blocked, commit := 0, time.Duration(0)
	for step := 0; blocked == 0 && step < 20; step++ {
		g.walkShard(migrate.BatchOrder{ID: "walk", Step: step, Walk: w, Size: 1000})
		p := g.pressure()
		blocked, commit = p.Blocked, p.Commit
	}
	stop()
	group.Wait()
	if blocked != 1 || commit <= 0 {
		t.Errorf("%d wait, and a commit takes %v", blocked, commit)
	}
	if p := g.pressure(); p.Blocked != 0 {
		t.Errorf("%d wait for what has ended", p.Blocked)
	}
}

// TestPressureOfARoleWithNoRights has a role that may make a schema, and nothing else.
func TestPressureOfARoleWithNoRights(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t, dbtest.Options{Fast: true})
	g := &ground{TB: t, pool: pool(t, server.URL("postgres"))}
	g.exec("CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE postgres TO plain; GRANT CREATE ON SCHEMA public TO plain")
	plain := &ground{TB: t, pool: pool(t, strings.Replace(server.URL("postgres"), "postgres@", "plain@", 1))}
	plain.lock()
	plain.exec(fmt.Sprintf(users, 100))
	if p := plain.pressure(); p.Commit <= 0 {
		t.Errorf("%+v", p)
	}
	plain.walk(fill(), 1)
	plain.right()
	tx, err := g.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it has changed nothing
	if _, err := tx.Exec(t.Context(), "INSERT INTO users (email) VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	// When another's transaction began it cannot see, but that it is still there.
	eventually(t, "the transaction of another is seen to age", func() bool { return plain.pressure().Snapshot > 50*time.Millisecond })
}

// TestAWalkWaitsForAnOldSnapshotAndSaysWhy is the whole of it, with a Migrator.
func TestAWalkWaitsForAnOldSnapshotAndSaysWhy(t *testing.T) {
	t.Parallel()
	url := database(t)
	p := pool(t, url)
	db := open(t, p)
	if _, err := p.Exec(t.Context(), fmt.Sprintf(users, 500)); err != nil {
		t.Fatal(err)
	}
	w := fill()
	change := migrate.Change{ID: "walk", Unguarded: "a test", Ops: []migrate.Op{migrate.SQL{Name: "x", Do: []string{"SELECT 1"}, Undo: []string{"SELECT 1"}}}}
	err := db.Create(t.Context(), migrate.Record{
		ID: "walk", Kind: migrate.Coupled, Change: change, Script: migrate.Script{Steps: []migrate.Step{{Phase: migrate.Backfilling, Name: "fill", Walk: &w}}},
		State: migrate.State{Version: migrate.StateVersion, Steps: make([]migrate.StepState, 1)}, Order: migrate.Order{Want: migrate.Ready},
	})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	if _, err := reader.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users"); err != nil {
		t.Fatal(err)
	}
	why := ""
	m, err := migrate.New(db, migrate.Options{
		Throttle: migrate.Throttle{Snapshot: time.Millisecond},
		Observe: func(ctx context.Context, e migrate.Event) {
			if e.Kind == migrate.Throttled && why == "" {
				why = e.Why
				if e.Progress.Rows != 0 {
					t.Errorf("%d rows were done before", e.Progress.Rows)
				}
				if _, err := reader.Exec(ctx, "ROLLBACK"); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context(), "walk"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(why, "a transaction has been open for") {
		t.Errorf("it waited because %q", why)
	}
	r, err := m.Record(t.Context(), "walk")
	if err != nil || r.State.Phase != migrate.Ready || len(r.Progress) != 1 || r.Progress[0].Rows != 500 {
		t.Errorf("%v, %+v", err, r.Progress)
	}
}
