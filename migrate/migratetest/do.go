// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/rheostat-go/rheostat/migrate"
)

var errOurs = errors.New("an error of the suite's own")

var doCases = []testCase{
	{
		name: "a state follows the one before it",
		why:  "a reply may be lost and asked again for, or two answers cross: a state is saved if the one before it is there, by Rev, and otherwise it is ErrFenced and nothing is done",
		run: func(r *run) {
			r.create("rev")
			s := r.lock(r.Database, "rev", "ann")
			first := following(r.load("rev").State, func(s *migrate.State) { s.By = "first" })
			r.must("Do", s.Do(r.ctx, "rev", migrate.Work{}, first))
			again := first
			again.By = "again"
			r.is("Do of the same Rev again", s.Do(r.ctx, "rev", migrate.Work{}, again), migrate.ErrFenced)
			ahead := following(following(first, nil), nil)
			r.is("Do of a Rev ahead", s.Do(r.ctx, "rev", migrate.Work{}, ahead), migrate.ErrFenced)
			r.same("the state", r.load("rev").State, first)
		},
	},
	{
		name: "a record that is not there is not saved",
		why:  "a state without a record would be work that nobody knows of",
		run: func(r *run) {
			s := r.lock(r.Database, "nowhere", "ann")
			r.is("Do", s.Do(r.ctx, "nowhere", migrate.Work{}, migrate.State{Version: 1, Rev: 1}), migrate.ErrNotFound)
		},
	},
	{
		name: "work that fails saves nothing",
		why:  "the record says what was done: a function's error undoes the transaction",
		run: func(r *run) {
			r.create("func")
			s := r.lock(r.Database, "func", "ann")
			before := r.load("func")
			called := 0
			fail := func(context.Context, *sql.Tx) error { called++; return errOurs }
			err := s.Do(r.ctx, "func", migrate.Work{Func: fail}, following(before.State, nil))
			if errors.Is(err, errors.ErrUnsupported) {
				r.Skipf("skipped for want of functions")
			}
			r.is("Do", err, errOurs)
			r.same("the record", r.load("func").State, before.State)
			r.must("Do", s.Do(r.ctx, "func", migrate.Work{Func: func(context.Context, *sql.Tx) error { called++; return nil }}, following(before.State, nil)))
			if called != 2 {
				r.Errorf("functions were called %d times, want twice", called)
			}
		},
	},
	{
		name: "changes do not get in each other's way",
		why:  "each change has a lease of its own; several are worked on at once",
		run: func(r *run) {
			var group sync.WaitGroup
			for range 4 {
				id := r.name("beside")
				r.create(id)
				db := r.other()
				s := r.lock(db, id, "ann")
				state := r.load(id).State
				group.Go(func() {
					for range 10 {
						next := following(state, nil)
						switch err := s.Do(r.ctx, id, migrate.Work{}, next); {
						case err == nil:
							state = next
						case !errors.Is(err, migrate.ErrRetry) && !errors.Is(err, migrate.ErrLockTimeout):
							r.Errorf("Do: %v", err)
							return
						}
					}
				})
			}
			group.Wait()
		},
	},
}

var contextCases = []testCase{
	{
		name: "a call whose context has ended does nothing",
		why:  "a process that is told to stop stops",
		run: func(r *run) {
			r.create("ended")
			s := r.lock(r.Database, "ended", "ann")
			before := r.load("ended")
			ctx, cancel := context.WithCancel(r.ctx)
			cancel()
			db := r.Database
			_, err := db.Load(ctx, "ended")
			r.is("Load", err, context.Canceled)
			_, err = db.List(ctx)
			r.is("List", err, context.Canceled)
			r.is("Create", db.Create(ctx, r.record("never")), context.Canceled)
			r.is("Order", db.Order(ctx, "ended", migrate.Order{Want: migrate.Done}), context.Canceled)
			_, err = db.Lock(ctx, "change:other", "ann", lease)
			r.is("Lock", err, context.Canceled)
			r.is("Register", db.Register(ctx, shop("v1", "a")), context.Canceled)
			r.is("Unregister", db.Unregister(ctx, shop("v1", "a")), context.Canceled)
			r.is("Do", s.Do(ctx, "ended", migrate.Work{}, following(before.State, nil)), context.Canceled)
			r.is("Renew", s.Renew(ctx), context.Canceled)
			_, err = s.Pressure(ctx)
			r.is("Pressure", err, context.Canceled)
			r.same("the state", r.load("ended").State, before.State)
			r.same("the order", r.load("ended").Order, before.Order)
			_, err = db.Load(r.ctx, "never")
			r.is("Load of what was not created", err, migrate.ErrNotFound)
			r.must("Do with a context that has not ended", s.Do(r.ctx, "ended", migrate.Work{}, following(before.State, nil)))
		},
	},
}
