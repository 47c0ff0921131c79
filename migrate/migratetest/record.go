// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

var recordCases = []testCase{
	{
		name: "Setup is done by any number of processes at once",
		why:  "every process of a fleet calls Setup when it starts; none may fail because another does too, and it must not touch what is there",
		run: func(r *run) {
			r.create("kept")
			var group sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				db := r.other()
				group.Go(func() { errs[i] = db.Setup(r.ctx) })
			}
			group.Wait()
			for _, err := range errs {
				r.must("Setup again", err)
			}
			r.load("kept")
		},
	},
	{
		name: "what was created is loaded, whole",
		why:  "a record is finished by another process, maybe of another version: the script, the change, the digest and every time and flag must come back as they were saved",
		run: func(r *run) {
			want := r.create("whole")
			want.State.Version = 99 // whoever loads it must be able to see that it is newer
			want.State.Rev = 1
			want.State.Phase = migrate.Soaking
			want.State.Hidden = true
			want.State.Failed = "no"
			want.State.By = "ann"
			want.State.Entered = map[migrate.Phase]time.Time{migrate.Soaking: time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)}
			want.State.Steps = []migrate.StepState{{Begun: true, Done: true, Took: 123456789}, {Begun: true}}
			s := r.lock(r.Database, "whole", "ann")
			r.must("Do", s.Do(r.ctx, "whole", migrate.Work{}, want.State))
			r.must("Close", s.Close(r.ctx))
			got, err := r.other().Load(r.ctx, "whole")
			r.must("Load", err)
			r.same("the record", got, want)
		},
	},
	{
		name: "a record that is not there is ErrNotFound",
		why:  "Begin creates a record when Load says ErrNotFound, and only then",
		run: func(r *run) {
			_, err := r.Database.Load(r.ctx, "nowhere")
			r.is("Load", err, migrate.ErrNotFound)
		},
	},
	{
		name: "a record is created once",
		why:  "two processes that begin the same change at once must work on one record: the second Create is ErrExists, and leaves what is there",
		run: func(r *run) {
			r.create("once")
			s := r.lock(r.Database, "once", "ann")
			r.must("Do", r.save(s, "once", migrate.Work{}, func(s *migrate.State) { s.Phase = migrate.Expanding }))
			again := r.record("once")
			again.Digest = "other"
			r.is("Create again", r.other().Create(r.ctx, again), migrate.ErrExists)
			if got := r.load("once"); got.State.Phase != migrate.Expanding || got.Digest == "other" {
				r.Errorf("the second Create changed the record: %v, %s", got.State.Phase, got.Digest)
			}
			created := 0
			var group sync.WaitGroup
			var mu sync.Mutex
			for range 8 {
				db := r.other()
				rec := r.record("race")
				group.Go(func() {
					if db.Create(r.ctx, rec) == nil {
						mu.Lock()
						created++
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if created != 1 {
				r.Errorf("of 8 Creates at once %d succeeded, want one", created)
			}
		},
	},
	{
		name: "a record that was rolled back is replaced",
		why:  "a change that was rolled back may begin anew: state, order and progress of the first attempt must not be taken for the second's",
		run: func(r *run) {
			r.create("anew")
			s := r.lock(r.Database, "anew", "ann")
			r.must("Do", r.save(s, "anew", migrate.Work{}, func(s *migrate.State) {
				s.Phase, s.Failed = migrate.RolledBack, "no"
				s.Steps[0].Done = true
			}))
			want := r.record("anew")
			want.Digest = "second"
			want.Order.Why = "again"
			r.must("Create", r.Database.Create(r.ctx, want))
			r.must("Close", s.Close(r.ctx))
			r.same("the record", r.load("anew"), want)
		},
	},
	{
		name: "List is in the order of creation",
		why:  "changes are carried out, and shown, in the order in which they were made",
		run: func(r *run) {
			all, err := r.Database.List(r.ctx)
			r.must("List", err)
			if len(all) != 0 {
				r.Errorf("List of an empty database has %d records", len(all))
			}
			var want, got []string
			for i := range 12 {
				id := fmt.Sprintf("%d-list", (i*7)%12)
				r.create(id)
				want = append(want, id)
			}
			all, err = r.other().List(r.ctx)
			r.must("List", err)
			for _, rec := range all {
				got = append(got, rec.ID)
			}
			r.same("List", got, want)
			if len(all) > 0 {
				r.same("a record of List", all[0], r.load(want[0]))
			}
		},
	},
}

// same compares two values as JSON, which is what is saved.
func (r *run) same(what string, got, want any) {
	r.Helper()
	a, err := json.Marshal(got)
	r.must("Marshal", err)
	b, err := json.Marshal(want)
	r.must("Marshal", err)
	if !bytes.Equal(a, b) {
		r.Errorf("%s is not as it should be\n got %s\nwant %s", what, a, b)
	}
}

var orderCases = []testCase{
	{
		name: "what ends the way back heeds an order that came before it",
		why:  "whoever is about to contract has looked at the orders a moment ago: an order to go back, or to stop, that was accepted since is followed. A save that enters Contracting or Done from an earlier phase looks at the record's order in its own transaction, and is ErrRetry if the order Forbids it",
		run: func(r *run) {
			back, stop := migrate.Order{Want: migrate.RolledBack}, migrate.Order{Want: migrate.Done, Paused: true}
			for i, o := range []migrate.Order{back, stop} {
				for j, move := range [][2]migrate.Phase{{migrate.Soaking, migrate.Contracting}, {migrate.Switched, migrate.Done}} {
					id := fmt.Sprintf("late%d-%d", i, j)
					r.create(id)
					s := r.lock(r.Database, id, "ann")
					enter := func(p migrate.Phase) error {
						return r.save(s, id, migrate.Work{}, func(s *migrate.State) { s.Phase = p })
					}
					r.must("Do", enter(move[0]))
					r.must("Order", r.other().Order(r.ctx, id, o))
					before := r.load(id)
					r.is("Do that ends the way back, after an order", enter(move[1]), migrate.ErrRetry)
					r.same("the record", r.load(id), before)
					r.must("Do that does not", enter(move[0]))
					r.must("Order", r.other().Order(r.ctx, id, migrate.Order{Want: migrate.Done}))
					r.must("Do that ends the way back, after another order", enter(move[1]))
					r.must("Order to stop", r.other().Order(r.ctx, id, stop))
					r.must("Do after the end of the way back", enter(migrate.Done))
				}
			}
		},
	},
	{
		name: "an order to go back and the end of the way back exclude each other",
		why:  "one of the two comes first: either the order is refused with ErrContracted, or the save is, with ErrRetry; both must write, or lock, the same row",
		run: func(r *run) {
			r.create("end")
			s := r.lock(r.Database, "end", "ann")
			other := r.other()
			races := r.Races
			if races == 0 {
				races = 1000
			}
			wins := [2]int{}
			for range races {
				ordered, ended := r.raceToEnd(other, s)
				switch {
				case ordered == nil && ended == nil:
					r.Fatalf("an order to go back was accepted, and the way back is gone")
				case ordered == nil:
					r.is("Do after an order to go back", ended, migrate.ErrRetry)
					wins[0]++
				case ended == nil:
					r.is("Order after the end of the way back", ordered, migrate.ErrContracted)
					wins[1]++
				default:
					r.Fatalf("neither went through: Order: %v; Do: %v", ordered, ended)
				}
				r.must("Order", other.Order(r.ctx, "end", migrate.Order{Want: migrate.Done}))
			}
			r.Logf("the order was first %d times, the end %d times", wins[0], wins[1])
		},
	},
	{
		name: "an order is replaced at any time, by anybody",
		why:  "an operator orders while a process is at work: Order needs no lease, fences nobody, and touches nothing but the order",
		run: func(r *run) {
			r.create("order")
			s := r.lock(r.Database, "order", "ann")
			want := migrate.Order{Want: migrate.Done, Force: true, Paused: true, By: "bob", Why: "he wants it"}
			before := r.load("order")
			r.must("Order", r.other().Order(r.ctx, "order", want))
			after := r.load("order")
			r.same("the order", after.Order, want)
			r.same("the state", after.State, before.State)
			r.must("Do of the session held meanwhile", s.Do(r.ctx, "order", migrate.Work{}, following(before.State, nil)))
			r.same("the order after a save", r.load("order").Order, want)
			r.must("Order", r.Database.Order(r.ctx, "order", migrate.Order{Want: migrate.RolledBack}))
			r.same("the order", r.load("order").Order, migrate.Order{Want: migrate.RolledBack})
		},
	},
	{
		name: "an order does not replace one that its giver has not seen",
		why:  "an operator who orders to go on must not overwrite a colleague's order to go back of a moment ago: an N that is not 0 follows the N that is there, or the order is ErrRetry; it is compared in the statement that saves it",
		run: func(r *run) {
			r.create("numbered")
			order := func(n uint64) error {
				return r.other().Order(r.ctx, "numbered", migrate.Order{Want: migrate.Done, Why: fmt.Sprint(n), N: n})
			}
			r.must("Order 1 of a record with none", order(1))
			r.is("Order 1 again", order(1), migrate.ErrRetry)
			r.is("Order 3 after 1", order(3), migrate.ErrRetry)
			r.same("the order", r.load("numbered").Order, migrate.Order{Want: migrate.Done, Why: "1", N: 1})
			r.must("Order 2 after 1", order(2))
			var group sync.WaitGroup
			var mu sync.Mutex
			accepted := 0
			for range 8 {
				db := r.other()
				group.Go(func() {
					if db.Order(r.ctx, "numbered", migrate.Order{Want: migrate.RolledBack, N: 3}) == nil {
						mu.Lock()
						accepted++
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if accepted != 1 {
				r.Errorf("of 8 orders at once that follow the same %d were accepted, want one", accepted)
			}
			r.must("Order without a number", order(0))
		},
	},
	{
		name: "an order for what is not there is ErrNotFound",
		why:  "an order that nobody will ever carry out must not look accepted",
		run: func(r *run) {
			r.is("Order", r.Database.Order(r.ctx, "nowhere", migrate.Order{Want: migrate.Ready}), migrate.ErrNotFound)
		},
	},
	{
		name: "from Contracting on rolling back cannot be ordered",
		why:  "the old side is going: an accepted order to go back would promise what cannot be done, so it is refused in the statement that would save it",
		run: func(r *run) {
			for i, phase := range []migrate.Phase{migrate.Planned, migrate.Backfilling, migrate.Ready, migrate.Switched, migrate.Soaking, migrate.Contracting, migrate.Done} {
				id := fmt.Sprintf("back%d", i)
				r.create(id)
				s := r.lock(r.Database, id, "ann")
				r.must("Do", r.save(s, id, migrate.Work{}, func(s *migrate.State) { s.Phase = phase }))
				before := r.load(id).Order
				err := r.Database.Order(r.ctx, id, migrate.Order{Want: migrate.RolledBack})
				if phase.Returns() {
					r.must("Order to roll back from "+phase.String(), err)
					continue
				}
				r.is("Order to roll back from "+phase.String(), err, migrate.ErrContracted)
				r.same("the order", r.load(id).Order, before)
				r.must("another Order", r.Database.Order(r.ctx, id, migrate.Order{Want: migrate.Done, Paused: true}))
			}
		},
	},
}

// raceToEnd orders a change that soaks to go back, and contracts it, at once.
func (r *run) raceToEnd(other migrate.Database, s migrate.Session) (ordered, ended error) {
	r.must("Do", r.save(s, "end", migrate.Work{}, func(s *migrate.State) { s.Phase = migrate.Soaking }))
	next := following(r.load("end").State, func(s *migrate.State) { s.Phase = migrate.Contracting })
	var group sync.WaitGroup
	start, accepted := make(chan struct{}), make(chan struct{})
	group.Go(func() {
		defer close(accepted)
		<-start
		ordered = other.Order(r.ctx, "end", migrate.Order{Want: migrate.RolledBack})
		for errors.Is(ordered, migrate.ErrRetry) || errors.Is(ordered, migrate.ErrLockTimeout) {
			ordered = other.Order(r.ctx, "end", migrate.Order{Want: migrate.RolledBack})
		}
	})
	group.Go(func() {
		<-start
		if ended = s.Do(r.ctx, "end", migrate.Work{}, next); ended != nil {
			<-accepted // a database may give up for other reasons: what is told now is the reason
			ended = s.Do(r.ctx, "end", migrate.Work{}, next)
		}
	})
	close(start)
	group.Wait()
	return ordered, ended
}
