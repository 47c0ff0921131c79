// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

var sqlCases = []testCase{
	{
		name:  "statements and the record of them are one transaction",
		why:   "a failing statement must leave neither the ones before it nor the state; where the database commits each by itself, a script must make the step Alone with a Holds, so a step that is not Alone is held to this",
		needs: []need{needDB, needAtomic},
		run: func(r *run) {
			r.create("atomic")
			s := r.lock(r.Database, "atomic", "ann")
			r.exec("CREATE TABLE kept (id " + r.Types.Int + " PRIMARY KEY)")
			before := r.load("atomic").State
			insert := func(n int) string { return fmt.Sprintf("INSERT INTO kept VALUES (%d)", n) }
			err := s.Do(r.ctx, "atomic", migrate.Work{Statements: []string{insert(1), "ALTER TABLE kept ADD COLUMN more " + r.Types.Int, "INSERT INTO nowhere VALUES (1)"}}, following(before, nil))
			if err == nil {
				r.Errorf("Do with a failing statement succeeds")
			}
			r.same("the state", r.load("atomic").State, before)
			r.same("the columns", r.columns("kept"), []string{"id"})
			r.same("the rows", r.count("SELECT count(*) FROM kept"), 0)
			r.must("Do", s.Do(r.ctx, "atomic", migrate.Work{Statements: []string{insert(2), insert(3)}}, following(before, nil)))
			r.same("the rows", r.count("SELECT count(*) FROM kept"), 2)
		},
	},
	{
		name:  "a refused save undoes its statements",
		why:   "the fence, the Rev and the guard are checked in the transaction of the statements: a runner that was paused for an hour must not alter a table",
		needs: []need{needDB},
		run: func(r *run) {
			r.create("undone")
			old := r.lock(r.Database, "undone", "ann")
			r.exec("CREATE TABLE kept (id " + r.Types.Int + " PRIMARY KEY)")
			w := migrate.Work{Statements: []string{"INSERT INTO kept VALUES (1)"}}
			state := r.load("undone").State
			r.is("Do of a Rev ahead", old.Do(r.ctx, "undone", w, following(following(state, nil), nil)), migrate.ErrFenced)
			w.Guard = &migrate.Guard{App: "shop", Versions: []string{"v2"}, TTL: time.Minute}
			r.is("Do under a guard", old.Do(r.ctx, "undone", w, following(state, nil)), migrate.ErrUnguarded)
			w.Guard = nil
			r.must("Close", old.Close(r.ctx))
			r.lock(r.other(), "undone", "bob")
			r.is("Do of a fenced session", old.Do(r.ctx, "undone", w, following(state, nil)), migrate.ErrFenced)
			w.Alone = true
			r.is("Do alone of a fenced session", old.Do(r.ctx, "undone", w, following(state, nil)), migrate.ErrFenced)
			r.same("the rows", r.count("SELECT count(*) FROM kept"), 0)
			r.same("the state", r.load("undone").State, state)
		},
	},
	{
		name:  "statements that run alone are saved after the last",
		why:   "each runs by itself; if one fails the state is as it was, and the catalog tells how far they came",
		needs: []need{needDB},
		run: func(r *run) {
			r.create("alone")
			s := r.lock(r.Database, "alone", "ann")
			before := r.load("alone").State
			create := "CREATE TABLE alone1 (id " + r.Types.Int + " PRIMARY KEY)"
			err := s.Do(r.ctx, "alone", migrate.Work{Statements: []string{create, "INSERT INTO nowhere VALUES (1)"}, Alone: true}, following(before, nil))
			if err == nil {
				r.Errorf("Do with a failing statement succeeds")
			}
			r.same("the state", r.load("alone").State, before)
			r.same("the columns of what ran before", r.columns("alone1"), []string{"id"})
			r.must("Do", s.Do(r.ctx, "alone", migrate.Work{Statements: []string{"INSERT INTO alone1 VALUES (1)"}, Alone: true}, following(before, nil)))
			r.same("the rows", r.count("SELECT count(*) FROM alone1"), 1)
			r.same("the Rev", r.load("alone").State.Rev, before.Rev+1)
		},
	},
	{
		name:  "Holds answers",
		why:   "after a crash it alone tells whether a step was done",
		needs: []need{needDB},
		run: func(r *run) {
			s := r.lock(r.Database, "holds", "ann")
			for query, want := range map[string]bool{"SELECT 1 = 1": true, "SELECT 1 = 2": false, "SELECT count(*) > 0 FROM (SELECT 1 AS n) AS t WHERE n = 2": false} {
				got, err := s.Holds(r.ctx, query)
				r.must("Holds", err)
				if got != want {
					r.Errorf("%s holds: %v", query, got)
				}
			}
			if _, err := s.Holds(r.ctx, "SELECT nothing FROM nowhere"); err == nil {
				r.Errorf("Holds of a query that fails is no error")
			}
		},
	},
	{
		name:  "what was saved outlives the server",
		why:   "a reply that was sent is kept: records, orders, fences and instances are durable, and the Database finds the server again by itself",
		needs: []need{needDB, needRestart},
		run: func(r *run) {
			r.create("durable")
			s := r.lock(r.Database, "durable", "ann")
			r.must("Register", r.Database.Register(r.ctx, shop("v1", "a")))
			r.must("Order", r.Database.Order(r.ctx, "durable", migrate.Order{Want: migrate.Done, By: "bob"}))
			r.must("Do", r.save(s, "durable", migrate.Work{}, func(s *migrate.State) { s.Phase = migrate.Expanding }))
			want := r.load("durable")
			r.must("Restart", r.Restart(r.ctx))
			r.eventually("Load after the server came back", func() bool { _, err := r.Database.Load(r.ctx, "durable"); return err == nil })
			got := r.load("durable")
			r.same("the state", got.State, want.State)
			r.same("the order", got.Order, want.Order)
			r.alive(r.Database, "shop", "v1 a")
			var again migrate.Session
			r.eventually("Lock", func() (ok bool) {
				var err error
				again, err = r.Database.Lock(r.ctx, "change:durable", "ann", lease)
				return err == nil
			})
			if again.Fence() <= s.Fence() {
				r.Errorf("the fence went from %d to %d", s.Fence(), again.Fence())
			}
			r.eventually("a fenced session to be told so", func() bool {
				err := r.save(s, "durable", migrate.Work{}, nil)
				if err == nil {
					r.Fatalf("a fenced session saved")
				}
				return strings.Contains(err.Error(), migrate.ErrFenced.Error())
			})
			r.must("Do", r.save(again, "durable", migrate.Work{}, nil))
		},
	},
}

// exec runs a statement as a client, and ends the case if it fails.
func (r *run) exec(statement string) {
	r.Helper()
	if err := r.try(statement); err != nil {
		r.Fatalf("%s: %v", statement, err)
	}
}

// try runs a statement as a client does, again while the error is Transient.
func (r *run) try(statement string) error {
	return r.patiently(func(ctx context.Context) error {
		_, err := r.DB.ExecContext(ctx, statement)
		return err
	})
}

func (r *run) patiently(f func(context.Context) error) error {
	for {
		err := f(r.ctx)
		if err == nil || !r.Transient(err) || r.ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// count is the number that a query answers.
func (r *run) count(query string) int {
	r.Helper()
	var n int
	if err := r.patiently(func(ctx context.Context) error { return r.DB.QueryRowContext(ctx, query).Scan(&n) }); err != nil {
		r.Fatalf("%s: %v", query, err)
	}
	return n
}

// columns are the names of a table's columns, or nil if there is no such table.
func (r *run) columns(table string) []string {
	r.Helper()
	rows, err := r.DB.QueryContext(r.ctx, "SELECT * FROM "+r.Quote(table)+" WHERE 1 = 0")
	if err != nil {
		return nil
	}
	names, err := rows.Columns()
	r.must("Columns", err)
	r.must("Close", rows.Close())
	r.must("rows", rows.Err())
	return names
}
