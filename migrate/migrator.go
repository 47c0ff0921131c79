// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// DefaultInstanceTTL is how long ago an instance was seen that counts as alive.
const DefaultInstanceTTL = 30 * time.Second

// Options of a Migrator. The zero Options are safe defaults.
type Options struct {
	// Owner names this process in leases. Empty is the host's name with a random part.
	Owner string
	// Lease is how long the process may be silent before another takes over. 0 is 15 seconds.
	Lease time.Duration
	// LockTimeout bounds the wait of one statement for a lock, and so how long it can stop
	// others who queue behind it. 0 is 75 milliseconds.
	LockTimeout time.Duration
	// LockBudget bounds how long a step is tried again after ErrLockTimeout. 0 is 10
	// minutes.
	LockBudget time.Duration
	// InstanceTTL is how long ago an instance was seen that counts as alive. 0 is
	// DefaultInstanceTTL. It must be the same, or longer, than what Attend is given.
	InstanceTTL time.Duration
	// Throttle says how hard backfills may work.
	Throttle Throttle
	// Poll is how often orders are looked at, and leases that others have. 0 is a second.
	Poll time.Duration
	// Observe, if set, is told what happens.
	Observe Observer
}

// Migrator carries changes out. It is safe for concurrent use.
type Migrator struct {
	db Database
	o  Options

	mu      sync.Mutex
	claimed map[string]bool   // the changes that a call is at work on
	waits   map[string]string // what was told last of a change, if that was that it waits
}

// New makes a Migrator. Call db.Setup once before it is used.
func New(db Database, o Options) (*Migrator, error) {
	if db == nil {
		return nil, errors.New("migrate: New: db is nil")
	}
	for name, d := range map[string]time.Duration{
		"Lease": o.Lease, "LockTimeout": o.LockTimeout, "LockBudget": o.LockBudget, "InstanceTTL": o.InstanceTTL, "Poll": o.Poll,
	} {
		if d < 0 {
			return nil, fmt.Errorf("migrate: Options.%s is below zero", name)
		}
	}
	orElse := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	orElse(&o.Lease, 15*time.Second)
	orElse(&o.LockTimeout, 75*time.Millisecond)
	orElse(&o.LockBudget, 10*time.Minute)
	orElse(&o.InstanceTTL, DefaultInstanceTTL)
	orElse(&o.Poll, time.Second)
	if o.Owner == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		o.Owner = host + "/" + rand.Text()[:8]
	}
	if o.Observe == nil {
		o.Observe = func(context.Context, Event) {}
	}
	return &Migrator{db: db, o: o, claimed: map[string]bool{}, waits: map[string]string{}}, nil
}

// Database is what New was given.
func (m *Migrator) Database() Database { return m.db }

// Plan says what a change would do, and writes nothing. Operations that are not safe are
// *UnsafeError, joined.
func (m *Migrator) Plan(ctx context.Context, c Change) (Plan, error) {
	if err := c.Check(); err != nil {
		return Plan{}, err
	}
	script, err := m.db.Compile(ctx, c)
	if err != nil {
		return Plan{}, err
	}
	if err := script.check(); err != nil {
		return Plan{}, fmt.Errorf("migrate: change %s: the %s database made a wrong script: %w", c.ID, m.db.Name(), err)
	}
	if i := slices.IndexFunc(script.Steps, func(s Step) bool { return s.Phase >= Soaking }); i >= 0 && c.App == "" && c.Unguarded == "" {
		script.Notes = append(script.Notes, Note{
			Op: script.Steps[i].Op, Why: "contracting will be refused, because nothing tells which versions are alive",
			Fix: "name App and New in the change and register its instances, or give the reason why it is safe in Unguarded",
		})
	}
	return Plan{Database: m.db.Name(), Change: c, Script: script, LockTimeout: m.o.LockTimeout}, nil
}

// Begin records a change as it was planned, and what is wanted of it, without doing
// anything: a process in Work or Run does. A change that is recorded already is left as it
// is, or is ErrChecksum if it says something else now; one that was rolled back begins
// anew. See Order for what an order changes.
func (m *Migrator) Begin(ctx context.Context, c Change, o Order) error {
	if err := checkWant(o.Want); err != nil {
		return err
	}
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	r, err := m.db.Load(ctx, c.ID)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && r.State.Phase == RolledBack && o.Want != RolledBack:
		if err := r.Order.admits(o); err != nil {
			return err
		}
		o.Fence = max(o.Fence, r.Order.Fence)
		err := m.create(ctx, c, digest, o)
		if err == nil || !errors.Is(err, ErrExists) && !m.begun(ctx, c.ID) {
			return err
		}
		return m.Begin(ctx, c, o) // somebody was faster
	case err != nil:
		return err
	case r.Digest != digest:
		return fmt.Errorf("%w: change %s: give the edited change an ID of its own, or roll the recorded one back first", ErrChecksum, c.ID)
	}
	return m.Order(ctx, c.ID, o)
}

// begun says whether a change is recorded, and was not rolled back. What another has begun
// meanwhile may be in the way of a plan: the index is there already.
func (m *Migrator) begun(ctx context.Context, id string) bool {
	r, err := m.db.Load(ctx, id)
	return err == nil && r.State.Phase != RolledBack
}

func (m *Migrator) create(ctx context.Context, c Change, digest string, o Order) error {
	p, err := m.Plan(ctx, c)
	if err != nil {
		return err
	}
	return m.db.Create(ctx, Record{
		ID: c.ID, Kind: Coupled, Digest: digest, App: c.App, New: c.New, Change: c, Script: p.Script,
		State: State{Version: StateVersion, Steps: make([]StepState, len(p.Script.Steps))}, Order: o,
	})
}

// Order changes what is wanted of a recorded change. What was wanted before stays wanted:
// a phase that is behind it changes nothing. Wanting RolledBack from Contracting on is
// ErrContracted, and wanting anything else of a change that is, or was, rolled back is an
// error. A pause is ended by Resume and by RolledBack only. A change that failed is tried
// again.
func (m *Migrator) Order(ctx context.Context, id string, o Order) error {
	if err := checkWant(o.Want); err != nil {
		return err
	}
	return m.ordering(ctx, id, func(r Record) (Order, error) { return r.ordered(o) })
}

// ordered is what is wanted after an order.
func (r Record) ordered(o Order) (Order, error) {
	if o.Want != RolledBack {
		switch {
		case r.State.Phase == RolledBack:
			return o, fmt.Errorf("migrate: %s was rolled back: begin it again with its change", r.ID)
		case r.Order.Want == RolledBack || r.State.Phase == RollingBack:
			return o, fmt.Errorf("migrate: %s is being rolled back (%s: %s): begin it again afterwards", r.ID, r.Order.By, r.Order.Why)
		case r.Order.Paused && !o.Paused:
			o.Paused, o.By, o.Why = true, r.Order.By, r.Order.Why
		}
	}
	o.Want = max(o.Want, r.Order.Want)
	return o, nil
}

// ordering saves the order that f makes of a record, and asks f again where another has ordered
// since the record was read.
func (m *Migrator) ordering(ctx context.Context, id string, f func(Record) (Order, error)) error {
	for try := 1; ; try++ {
		r, err := m.db.Load(ctx, id)
		if err != nil {
			return err
		}
		o, err := f(r)
		if err == nil {
			err = m.order(ctx, r, o)
		}
		if try == orders || !errors.Is(err, ErrRetry) {
			return err
		}
	}
}

// orders is how often an order is tried that others come before.
const orders = 10

// order saves an order, unless it is the one that is there and nothing has failed under it.
func (m *Migrator) order(ctx context.Context, r Record, o Order) error {
	if r.Kind == Versioned {
		return fmt.Errorf("migrate: %s is a versioned migration: Up and Down carry it out", r.ID)
	}
	if err := r.Order.admits(o); err != nil {
		return err
	}
	o.N, o.Fence = r.Order.N, max(o.Fence, r.Order.Fence)
	if o == r.Order && r.State.Failed == "" {
		return nil
	}
	o.N++
	return m.db.Order(ctx, r.ID, o)
}

// admits says whether an order may follow o.
func (o Order) admits(next Order) error {
	if next.Fence != 0 && next.Fence < o.Fence {
		return fmt.Errorf("%w: an order with fence %d came after one with %d", ErrFenced, next.Fence, o.Fence)
	}
	return nil
}

// Pause stops a change where it is, within about a second, until Resume. Nothing is held
// meanwhile, and the sync goes on.
func (m *Migrator) Pause(ctx context.Context, id, by, why string) error {
	return m.paused(ctx, id, true, by, why)
}

// Resume takes a Pause back.
func (m *Migrator) Resume(ctx context.Context, id, by, why string) error {
	return m.paused(ctx, id, false, by, why)
}

func (m *Migrator) paused(ctx context.Context, id string, paused bool, by, why string) error {
	return m.ordering(ctx, id, func(r Record) (Order, error) {
		o := r.Order
		o.Paused, o.By, o.Why = paused, by, why
		return o, nil
	})
}

// Record is what the database knows of a change or a versioned migration.
func (m *Migrator) Record(ctx context.Context, id string) (Record, error) { return m.db.Load(ctx, id) }

// Reach begins the change if it is not recorded, and works on it until it is in that
// phase or past it. It is Begin and Run.
func (m *Migrator) Reach(ctx context.Context, c Change, phase Phase) error {
	if err := m.Begin(ctx, c, Order{Want: phase, By: m.o.Owner}); err != nil {
		return err
	}
	return m.Run(ctx, c.ID)
}

// Rollback takes a change back, from any phase before Contracting, and returns when the
// schema is as it was. From Soaking the old side comes back at once, so that old versions
// can be started and given the traffic; from Ready on nothing else is taken back while an
// instance of a new version is alive, which is ErrOldVersionLive. A process that is at work on the change sees the order within about
// Options.Poll, between two statements or batches, and takes it back itself.
func (m *Migrator) Rollback(ctx context.Context, id, why string) error {
	for {
		r, err := m.db.Load(ctx, id)
		if err != nil || r.State.Phase == RolledBack {
			return err
		}
		err = m.ordering(ctx, id, func(r Record) (Order, error) {
			o := r.Order
			o.Want, o.Paused, o.By, o.Why = RolledBack, false, m.o.Owner, why
			return o, nil
		})
		if err != nil {
			return err
		}
		if err := m.Run(ctx, id); err != nil {
			return err
		}
		// An order that crossed ours may have replaced it: look again.
	}
}

// Run works on one change until what is ordered is reached. While another process has the
// lease, or the change is paused or soaks, it waits, and so it does for up to
// Options.LockBudget while the database cannot be reached. An instance that must not be
// alive is ErrOldVersionLive at once; whoever wants to wait for it runs Work.
func (m *Migrator) Run(ctx context.Context, id string) error {
	var silent time.Time // since when the database cannot be reached
	for {
		wait, err := m.turn(ctx, id)
		switch {
		case ctx.Err() != nil && err != nil:
			return err
		case errors.Is(err, ErrFenced): // another goes on with it
			wait, silent = m.o.Poll, time.Time{}
		case err != nil && lost(err):
			if silent.IsZero() {
				silent = time.Now()
			}
			if time.Since(silent) > m.o.LockBudget {
				return err
			}
			wait = m.o.Poll
			m.o.Observe(ctx, Event{Kind: Retried, ID: id, Err: err, Took: wait})
		case err != nil || wait == 0:
			return err
		default:
			silent = time.Time{}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}
