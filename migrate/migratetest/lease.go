// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"errors"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// brief is a lease that a case lets run out.
const brief = 300 * time.Millisecond

var leaseCases = []testCase{
	{
		name: "one owner has the lease",
		why:  "two processes must not work on one change: Lock of a lease that another has is a *BusyError that names it, at once, without waiting",
		run: func(r *run) {
			other := r.other()
			s := r.lock(r.Database, "one", "ann")
			if s.Fence() == 0 {
				r.Errorf("the fence is 0, which is none")
			}
			began := time.Now()
			_, err := other.Lock(r.ctx, "change:one", "bob", lease)
			var busy *migrate.BusyError
			if !errors.As(err, &busy) {
				r.Fatalf("Lock by another: got error %v, want a *BusyError", err)
			}
			if took := time.Since(began); took > lease/2 {
				r.Errorf("Lock waited %v for the other", took)
			}
			if busy.Owner != "ann" || busy.Name != "change:one" || busy.Until.IsZero() {
				r.Errorf("the error says %+v, want change:one, ann and until when", *busy)
			}
			r.lock(other, "another", "bob")
			now, err := s.Now(r.ctx)
			r.must("Now", err)
			if left := busy.Until.Sub(now); left <= 0 || left > lease {
				r.Errorf("the lease of %v is said to last %v more", lease, left)
			}
		},
	},
	{
		name: "a lease that was given back can be had",
		why:  "whoever stops in good order gives the lease back, so that the next need not wait for it to run out; the fence rises all the same",
		run: func(r *run) {
			first := r.lock(r.Database, "back", "ann")
			r.must("Close", first.Close(r.ctx))
			r.must("Close again", first.Close(r.ctx))
			second := r.lock(r.other(), "back", "bob")
			if second.Fence() <= first.Fence() {
				r.Errorf("the fence went from %d to %d", first.Fence(), second.Fence())
			}
			r.must("Close of the first after that", first.Close(r.ctx))
			_, err := r.Database.Lock(r.ctx, "change:back", "cid", lease)
			r.is("Lock while the second has it", err, migrate.ErrBusy)
		},
	},
	{
		name: "a record says who has its lease",
		why:  "people ask who is at work",
		run: func(r *run) {
			r.create("who")
			s := r.lock(r.Database, "who", "ann")
			got, err := r.other().Load(r.ctx, "who")
			r.must("Load", err)
			if got.Owner != "ann" || got.Until.IsZero() {
				r.Errorf("the record says owner %q until %v, want ann", got.Owner, got.Until)
			}
			r.must("Close", s.Close(r.ctx))
			if got := r.load("who"); got.Owner != "" {
				r.Errorf("the lease was given back, and the record says %q has it", got.Owner)
			}
		},
	},
	{
		name: "a lease that ran out is taken over",
		why:  "a process that died must not keep a change for ever",
		run: func(r *run) {
			other := r.other()
			first, err := r.Database.Lock(r.ctx, "change:out", "ann", brief)
			r.must("Lock", err)
			var second migrate.Session
			r.eventually("Lock of a lease that ran out", func() bool {
				second, err = other.Lock(r.ctx, "change:out", "bob", lease)
				if err != nil && !errors.Is(err, migrate.ErrBusy) {
					r.Fatalf("Lock: %v", err)
				}
				return err == nil
			})
			if second.Fence() <= first.Fence() {
				r.Errorf("the fence went from %d to %d", first.Fence(), second.Fence())
			}
			r.is("Renew of the first", first.Renew(r.ctx), migrate.ErrFenced)
		},
	},
	{
		name: "a lease that is renewed lasts",
		why:  "a backfill takes hours: as long as its process says so in time, nobody may take it over",
		run: func(r *run) {
			other := r.other()
			s, err := r.Database.Lock(r.ctx, "change:lasts", "ann", 4*brief)
			r.must("Lock", err)
			now, err := s.Now(r.ctx)
			r.must("Now", err)
			for end := now.Add(6 * brief); now.Before(end); {
				r.must("Renew", s.Renew(r.ctx))
				if _, err := other.Lock(r.ctx, "change:lasts", "bob", lease); !errors.Is(err, migrate.ErrBusy) {
					r.Fatalf("Lock by another of a lease renewed just now: got error %v, want ErrBusy", err)
				}
				now, err = s.Now(r.ctx)
				r.must("Now", err)
				time.Sleep(20 * time.Millisecond)
			}
		},
	},
	{
		name: "a lease that ran out unnoticed goes on",
		why:  "a pause of the process or the network that nobody made use of is no reason to stop",
		run: func(r *run) {
			r.create("unnoticed")
			s, err := r.Database.Lock(r.ctx, "change:unnoticed", "ann", brief)
			r.must("Lock", err)
			r.eventually("a lease to run out", func() bool { return r.load("unnoticed").Owner == "" })
			r.must("Do", r.save(s, "unnoticed", migrate.Work{}, nil))
			r.must("Renew", s.Renew(r.ctx))
		},
	},
	{
		name: "an owner takes its lease again and fences itself",
		why:  "a process that has lost its session, or was started again under its name, goes on at once; whatever its earlier self still sends must not count",
		run: func(r *run) {
			r.create("again")
			first := r.lock(r.Database, "again", "ann")
			second := r.lock(r.other(), "again", "ann")
			if second.Fence() <= first.Fence() {
				r.Errorf("the fence went from %d to %d", first.Fence(), second.Fence())
			}
			r.is("Do of the first", r.save(first, "again", migrate.Work{}, nil), migrate.ErrFenced)
			r.must("Do of the second", r.save(second, "again", migrate.Work{}, nil))
		},
	},
	{
		name: "of many that want the lease one has it",
		why:  "the lease is taken in one statement, not looked at and then taken",
		run: func(r *run) {
			for range 20 {
				id := r.name("many")
				var group sync.WaitGroup
				var mu sync.Mutex
				var had []migrate.Session
				for i := range 4 {
					db := r.other()
					owner := string(rune('a' + i))
					group.Go(func() {
						s, err := db.Lock(r.ctx, "change:"+id, owner, lease)
						mu.Lock()
						defer mu.Unlock()
						if err == nil {
							had = append(had, s)
						} else if !errors.Is(err, migrate.ErrBusy) {
							r.Errorf("Lock beside others: %v", err)
						}
					})
				}
				group.Wait()
				if len(had) != 1 {
					r.Fatalf("%d of 4 have the lease at once, want one", len(had))
				}
			}
		},
	},
	{
		name: "a session that was fenced changes nothing",
		why:  "a process that was paused past its lease and woken must not touch the data: the fence is checked in the transaction that would change them",
		run: func(r *run) {
			r.create("fenced")
			old := r.lock(r.Database, "fenced", "ann")
			r.must("Close", old.Close(r.ctx))
			s := r.lock(r.other(), "fenced", "bob")
			before := r.load("fenced")
			r.is("Do", old.Do(r.ctx, "fenced", migrate.Work{Statements: []string{"SELECT 1"}}, following(before.State, nil)), migrate.ErrFenced)
			r.is("Renew", old.Renew(r.ctx), migrate.ErrFenced)
			_, err := old.Holds(r.ctx, "SELECT 1 = 1")
			r.is("Holds", err, migrate.ErrFenced)
			_, err = old.Now(r.ctx)
			r.is("Now", err, migrate.ErrFenced)
			_, err = old.Pressure(r.ctx)
			r.is("Pressure", err, migrate.ErrFenced)
			r.must("Close", old.Close(r.ctx))
			r.same("the record", r.load("fenced"), before)
			r.must("Do of the other", s.Do(r.ctx, "fenced", migrate.Work{}, following(before.State, nil)))
		},
	},
}
