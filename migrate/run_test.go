// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// wrapped is a Memory of which a test changes some calls.
type wrapped struct {
	*migrate.Memory
	batch func(s migrate.Session, b migrate.BatchOrder) (migrate.Batch, error)
	order func(o migrate.Order)
	save  func(next migrate.State)
	// compile is called before Compile.
	compile func() error
}

func (d *wrapped) Compile(ctx context.Context, c migrate.Change) (migrate.Script, error) {
	if d.compile != nil {
		if err := d.compile(); err != nil {
			return migrate.Script{}, err
		}
	}
	return d.Memory.Compile(ctx, c)
}

func (d *wrapped) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.Memory.Lock(ctx, name, owner, lease)
	if err != nil {
		return nil, err
	}
	return &wrappedSession{s, d}, nil
}

func (d *wrapped) Order(ctx context.Context, id string, o migrate.Order) error {
	err := d.Memory.Order(ctx, id, o)
	if d.order != nil && err == nil {
		d.order(o)
	}
	return err
}

type wrappedSession struct {
	migrate.Session
	d *wrapped
}

func (s *wrappedSession) Batch(ctx context.Context, b migrate.BatchOrder) (migrate.Batch, error) {
	if s.d.batch != nil {
		return s.d.batch(s.Session, b)
	}
	return s.Session.Batch(ctx, b)
}

func (s *wrappedSession) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	if s.d.save != nil {
		s.d.save(next)
	}
	return s.Session.Do(ctx, id, w, next)
}

func migrator(t *testing.T, db migrate.Database, o migrate.Options) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(db, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var (
	fill    = migrate.Change{ID: "c", Ops: []migrate.Op{migrate.Backfill{Table: "t", Column: "c", Value: "1"}}}
	replace = migrate.Change{ID: "c", Ops: []migrate.Op{migrate.RenameColumn{Table: "t", Old: "a", New: "b"}}}
)

func phase(t *testing.T, m *migrate.Migrator) migrate.Phase {
	t.Helper()
	r, err := m.Record(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	return r.State.Phase
}

func TestTwoCallsOfOneProcessDoNotFenceEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &wrapped{Memory: migrate.NewMemory()}
		var fences []uint64
		db.batch = func(s migrate.Session, b migrate.BatchOrder) (migrate.Batch, error) {
			fences = append(fences, s.Fence())
			b.Size = 10
			time.Sleep(100 * time.Millisecond)
			return s.Batch(t.Context(), b)
		}
		m := migrator(t, db, migrate.Options{})
		done := make(chan error)
		for range 2 {
			go func() { done <- m.Reach(t.Context(), fill, migrate.Ready) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("Reach: %v", err)
			}
		}
		if n := len(slices.Compact(fences)); n != 1 {
			t.Errorf("the walk was done under %d fences, want one: %v", n, fences)
		}
	})
}

func TestTheShardsOfAWalkAreSettledWhenItBegins(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ first, then, want int }{
		"more workers later":  {2, 5, 2},
		"fewer workers later": {4, 1, 4},
		"one at first":        {1, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := &wrapped{Memory: migrate.NewMemory()}
				var now, most, calls atomic.Int32
				ctx, kill := context.WithCancel(t.Context())
				db.batch = func(s migrate.Session, b migrate.BatchOrder) (migrate.Batch, error) {
					if b.Shards != tt.want || b.Shard >= b.Shards {
						t.Errorf("shard %d of %d, want of %d", b.Shard, b.Shards, tt.want)
					}
					most.Store(max(most.Load(), now.Add(1)))
					defer now.Add(-1)
					time.Sleep(10 * time.Millisecond)
					b.Size = 10
					if calls.Add(1) == 20 {
						kill()
					}
					return s.Batch(t.Context(), b)
				}
				one := migrator(t, db, migrate.Options{Owner: "a", Throttle: migrate.Throttle{Workers: tt.first}})
				if err := one.Reach(ctx, fill, migrate.Ready); !errors.Is(err, context.Canceled) {
					t.Fatalf("the first process: %v", err)
				}
				most.Store(0)
				two := migrator(t, db, migrate.Options{Owner: "a", Throttle: migrate.Throttle{Workers: tt.then}})
				if err := two.Reach(t.Context(), fill, migrate.Ready); err != nil {
					t.Fatal(err)
				}
				if got := int(most.Load()); got > tt.then {
					t.Errorf("%d batches at once, and %d workers", got, tt.then)
				}
			})
		})
	}
}

func TestRowsThatDifferAreAnErrorUntilTheyDoNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &wrapped{Memory: migrate.NewMemory()}
		wrong := int64(3)
		restarts := 0
		db.batch = func(s migrate.Session, b migrate.BatchOrder) (migrate.Batch, error) {
			done, err := s.Batch(t.Context(), b)
			if b.Restart {
				restarts++
			}
			if b.Walk.Verify && done.Done {
				done.Rows, done.Progress.Rows, done.Sample = wrong, wrong, []string{"7", "8", "9", "10", "11", "12"}[:wrong]
			}
			return done, err
		}
		m := migrator(t, db, migrate.Options{})
		err := m.Reach(t.Context(), replace, migrate.Ready)
		var diverged *migrate.DivergedError
		if !errors.As(err, &diverged) || diverged.Rows != 3 || len(diverged.Sample) != 3 {
			t.Fatalf("got error %v, want 3 rows that differ", err)
		}
		if got := phase(t, m); got != migrate.Verifying {
			t.Errorf("it is %v", got)
		}
		wrong = 0
		if err := m.Run(t.Context(), "c"); err != nil || phase(t, m) != migrate.Ready {
			t.Errorf("after the rows were mended: %v, %v", err, phase(t, m))
		}
		if restarts != 1 {
			t.Errorf("it was verified again %d times, want once", restarts)
		}
	})
}

func TestAPauseStopsAWalk(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{10 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			db := &wrapped{Memory: migrate.NewMemory()}
			db.Rows = 2000 // more than there is time for
			var last atomic.Int64
			db.batch = func(s migrate.Session, b migrate.BatchOrder) (migrate.Batch, error) {
				time.Sleep(took)
				last.Store(time.Now().UnixNano())
				b.Size = 1
				done, err := s.Batch(t.Context(), b)
				done.Took = took
				return done, err
			}
			m := migrator(t, db, migrate.Options{Throttle: migrate.Throttle{Duty: 0.1}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Reach(ctx, fill, migrate.Ready) }()
			time.Sleep(time.Minute)
			paused := time.Now()
			if err := m.Pause(t.Context(), "c", "op", "why not"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if after := time.Unix(0, last.Load()).Sub(paused); after > 2*time.Second {
				t.Errorf("it walked on for %v", after)
			}
			began := time.Now()
			if err := migrator(t, db, migrate.Options{Owner: "other"}).Rollback(t.Context(), "c", "enough"); err != nil {
				t.Errorf("Rollback beside a process that waits: %v", err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("rolling back took %v", took)
			}
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run of the other: %v", err)
			}
		})
	}
}

func TestARollbackTakesOverFromAWalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := migrate.NewMemory()
		db.Rows = 1e12
		walking := migrator(t, db, migrate.Options{Owner: "walking"})
		done := make(chan error)
		go func() { done <- walking.Reach(t.Context(), fill, migrate.Ready) }()
		time.Sleep(time.Minute)
		began := time.Now()
		if err := migrator(t, db, migrate.Options{Owner: "other"}).Rollback(t.Context(), "c", "enough"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := <-done; err != nil {
			t.Errorf("the process that walked: %v", err)
		}
	})
}

func TestARollbackThatAnOrderCrossesIsOrderedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &wrapped{Memory: migrate.NewMemory()}
		m := migrator(t, db, migrate.Options{})
		if err := m.Reach(t.Context(), replace, migrate.Ready); err != nil {
			t.Fatal(err)
		}
		crossed := false
		db.order = func(o migrate.Order) {
			if o.Want == migrate.RolledBack && !crossed { // somebody who looks at no order
				crossed = true
				if err := db.Memory.Order(t.Context(), "c", migrate.Order{Want: migrate.Ready}); err != nil {
					t.Error(err)
				}
			}
		}
		if err := m.Rollback(t.Context(), "c", "it is wrong"); err != nil || phase(t, m) != migrate.RolledBack {
			t.Errorf("Rollback: %v, and it is %v", err, phase(t, m))
		}
	})
}

// TestAnOrderComesBeforeThePointOfNoReturn has an order arrive after a process has looked at the
// orders, and before it saves that there is no way back.
func TestAnOrderComesBeforeThePointOfNoReturn(t *testing.T) {
	t.Parallel()
	add := migrate.Change{ID: "c", Ops: []migrate.Op{migrate.AddColumn{Table: "t", Column: "c", Type: "text"}}}
	drop := migrate.Change{ID: "c", Unguarded: "a test", Soak: time.Minute, Ops: replace.Ops}
	for name, tt := range map[string]struct {
		change migrate.Change
		stays  migrate.Phase
	}{
		"what soaks": {drop, migrate.Soaking}, "what has nothing to drop": {add, migrate.Switched},
	} {
		for _, pause := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, pause %v", name, pause), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { orderBetween(t, tt.change, tt.stays, pause) })
			})
		}
	}
}

func orderBetween(t *testing.T, change migrate.Change, stays migrate.Phase, pause bool) {
	t.Helper()
	db := &wrapped{Memory: migrate.NewMemory()}
	operator := migrator(t, db, migrate.Options{Owner: "operator"})
	ordered := false
	db.save = func(next migrate.State) {
		if ordered || next.Phase != migrate.Contracting && next.Phase != migrate.Done {
			return
		}
		ordered = true
		var err error
		if pause {
			err = operator.Pause(t.Context(), "c", "bob", "wait")
		} else {
			err = operator.Order(t.Context(), "c", migrate.Order{Want: migrate.RolledBack, By: "bob"})
		}
		if err != nil {
			t.Errorf("the order: %v", err)
		}
	}
	done := make(chan error)
	go func() { done <- migrator(t, db, migrate.Options{}).Reach(t.Context(), change, migrate.Done) }()
	time.Sleep(time.Hour)
	want := migrate.RolledBack
	if pause {
		if got := phase(t, operator); got != stays {
			t.Errorf("it was paused while %v, and is %v", stays, got)
		}
		if err := operator.Resume(t.Context(), "c", "bob", "go on"); err != nil {
			t.Error(err)
		}
		want = migrate.Done
	}
	if err := <-done; err != nil || phase(t, operator) != want {
		t.Errorf("it is %v, and is to be %v: %v", phase(t, operator), want, err)
	}
}

// TestTwoBeginOneChange has another process begin a change, and carry it out, after a process saw
// that it is not recorded: the plan finds in the catalog what the other has made.
func TestTwoBeginOneChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &wrapped{Memory: migrate.NewMemory()}
		there := &migrate.UnsafeError{Op: "add index", Why: "there is something of that name already"}
		db.compile = func() error { return there }
		m := migrator(t, db, migrate.Options{})
		if err := m.Begin(t.Context(), fill, migrate.Order{Want: migrate.Done}); !errors.Is(err, migrate.ErrUnsafe) {
			t.Errorf("Begin of what nobody has begun: %v", err)
		}
		db.compile = func() error {
			if err := migrator(t, db.Memory, migrate.Options{Owner: "other"}).Reach(t.Context(), fill, migrate.Ready); err != nil {
				t.Error(err)
			}
			return there
		}
		if err := m.Reach(t.Context(), fill, migrate.Done); err != nil || phase(t, m) != migrate.Done {
			t.Errorf("Reach beside another: %v, and it is %v", err, phase(t, m))
		}
	})
}

// TestNoOrderReplacesOneItHasNotSeen has one operator order while another has read the record and
// not ordered yet.
func TestNoOrderReplacesOneItHasNotSeen(t *testing.T) {
	t.Parallel()
	mem := migrate.NewMemory()
	db := &crossing{Memory: mem}
	ann, bob := migrator(t, db, migrate.Options{Owner: "ann"}), migrator(t, mem, migrate.Options{Owner: "bob"})
	if err := bob.Begin(t.Context(), fill, migrate.Order{Want: migrate.Ready}); err != nil {
		t.Fatal(err)
	}
	order := func() migrate.Order {
		r, err := mem.Load(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		return r.Order
	}
	db.loaded = func() error { return bob.Pause(t.Context(), "c", "bob", "lunch") }
	if err := ann.Order(t.Context(), "c", migrate.Order{Want: migrate.Done, By: "ann"}); err != nil {
		t.Error(err)
	}
	if o := order(); o.Want != migrate.Done || !o.Paused || o.N != 2 {
		t.Errorf("ann wants it done, bob has paused it, and the order is %+v", o)
	}
	db.loaded = func() error {
		return bob.Order(t.Context(), "c", migrate.Order{Want: migrate.RolledBack, By: "bob"})
	}
	if err := ann.Order(t.Context(), "c", migrate.Order{Want: migrate.Done, By: "ann", Force: true}); err == nil {
		t.Error("an order to go on is accepted after one to go back")
	}
	if o := order(); o.Want != migrate.RolledBack {
		t.Errorf("bob wants it rolled back, and the order is %+v", o)
	}
	busy := 0
	db.always = func() error {
		busy++
		return mem.Order(t.Context(), "c", migrate.Order{Want: migrate.RolledBack, N: order().N + 1})
	}
	if err := ann.Pause(t.Context(), "c", "ann", "lunch"); !errors.Is(err, migrate.ErrRetry) || busy > 100 {
		t.Errorf("while others order all the time: %v after %d", err, busy)
	}
}

// crossing is a Memory on which something happens after a record was read.
type crossing struct {
	*migrate.Memory
	loaded, always func() error // loaded once
}

func (d *crossing) Load(ctx context.Context, id string) (migrate.Record, error) {
	r, err := d.Memory.Load(ctx, id)
	if d.always != nil {
		err = errors.Join(err, d.always())
	}
	if f := d.loaded; f != nil {
		d.loaded = nil
		err = errors.Join(err, f())
	}
	return r, err
}

func TestAStepThatWasBegunIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := migrate.NewMemory()
		change := migrate.Change{ID: "c", Ops: []migrate.Op{migrate.AddIndex{Table: "t", Name: "i", Columns: []string{"a"}}}}
		ctx, kill := context.WithCancel(t.Context())
		calls := 0
		db.After = func(_ context.Context, call string) error {
			if call == "Do" {
				if calls++; calls == 3 { // entered, begun, and the index is there
					kill()
					return driver.ErrBadConn
				}
			}
			return nil
		}
		m := migrator(t, db, migrate.Options{})
		if err := m.Reach(ctx, change, migrate.Ready); !errors.Is(err, context.Canceled) {
			t.Fatalf("the process that was killed: %v", err)
		}
		if err := m.Rollback(t.Context(), "c", "never mind"); err != nil {
			t.Fatal(err)
		}
		log := db.Statements()
		if len(log) != 2 || log[1] != "undo "+log[0] {
			t.Errorf("the statements are %q, want one and its undoing", log)
		}
	})
}

func TestADatabaseThatStaysAwayIsAnErrorInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := migrate.NewMemory()
		m := migrator(t, db, migrate.Options{LockBudget: time.Minute})
		if err := m.Begin(t.Context(), fill, migrate.Order{Want: migrate.Ready}); err != nil {
			t.Fatal(err)
		}
		db.Before = func(context.Context, string) error { return driver.ErrBadConn }
		began := time.Now()
		err := m.Run(t.Context(), "c")
		if took := time.Since(began); !errors.Is(err, driver.ErrBadConn) || took < time.Minute || took > 2*time.Minute {
			t.Errorf("Run: %v after %v", err, took)
		}
		db.Before = nil
		r, err := m.Record(t.Context(), "c")
		if err != nil || r.State.Failed != "" {
			t.Errorf("the change failed for it: %q, %v", r.State.Failed, err)
		}
	})
}

func TestAttendSaysThatItIsAliveUntilItIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := migrate.NewMemory()
		i := migrate.Instance{App: "shop", Version: "v1", ID: "a"}
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan struct{}), make(chan error)
		go func() { done <- migrate.Attend(ctx, db, i, 30*time.Second, func() { close(ready) }) }()
		<-ready
		time.Sleep(10 * time.Minute)
		if seen, err := db.Instances(t.Context(), "shop", 11*time.Second); err != nil || len(seen) != 1 {
			t.Errorf("after ten minutes %v is alive, %v", seen, err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Attend: %v", err)
		}
		if seen, err := db.Instances(t.Context(), "shop", time.Hour); err != nil || len(seen) != 0 {
			t.Errorf("after its end %v is alive, %v", seen, err)
		}
		if err := migrate.Attend(t.Context(), db, migrate.Instance{App: "shop"}, 0, nil); err == nil {
			t.Error("an instance without a version attends")
		}
	})
}
