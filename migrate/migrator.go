// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
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
	return &Migrator{db: db, o: o}, nil
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
	return Plan{Database: m.db.Name(), Change: c, Script: script, LockTimeout: m.o.LockTimeout}, nil
}

// Begin records a change as it was planned, and what is wanted of it, without doing
// anything: a process in Work or Run does. A change that is recorded already is left as it
// is, or is ErrChecksum if it says something else now; one that was rolled back begins
// anew. An order by which less is wanted than was is an error, rolling back apart.
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
		if err := m.create(ctx, c, digest, o); !errors.Is(err, ErrExists) {
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

// Order changes what is wanted of a recorded change. Wanting a phase that is behind it
// changes nothing; wanting RolledBack from Contracting on is ErrContracted.
func (m *Migrator) Order(ctx context.Context, id string, o Order) error {
	if err := checkWant(o.Want); err != nil {
		return err
	}
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return err
	}
	if r.Order.Want == RolledBack && o.Want != RolledBack && r.State.Phase != RolledBack {
		return fmt.Errorf("migrate: %s is being rolled back (%s: %s); begin it again afterwards", id, r.Order.By, r.Order.Why)
	}
	if o.Want < r.Order.Want {
		o.Want = r.Order.Want
	}
	if o == r.Order {
		return nil
	}
	return m.db.Order(ctx, id, o)
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
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return err
	}
	o := r.Order
	o.Paused, o.By, o.Why = paused, by, why
	return m.db.Order(ctx, id, o)
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
// schema is as it was.
func (m *Migrator) Rollback(ctx context.Context, id, why string) error {
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return err
	}
	o := r.Order
	o.Want, o.Paused, o.By, o.Why = RolledBack, false, m.o.Owner, why
	if err := m.db.Order(ctx, id, o); err != nil {
		return err
	}
	return m.Run(ctx, id)
}

// Run works on one change until what is ordered is reached. While another process has the
// lease, or the change is paused or soaks, it waits. An instance that must not be alive
// is ErrOldVersionLive at once; whoever wants to wait for it runs Work.
func (m *Migrator) Run(ctx context.Context, id string) error {
	for {
		wait, err := m.turn(ctx, id)
		if err != nil || wait == 0 {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Work carries out whatever is ordered of any change, by anybody, until ctx ends. Several
// processes may do so: each change has one at work. Errors are told to the observer, and
// the changes tried again after Options.Poll, those apart that need a person: their
// State.Failed says why, and a new order, or Run, tries them again.
func (m *Migrator) Work(ctx context.Context) error {
	for {
		records, err := m.db.List(ctx)
		if err != nil {
			m.o.Observe(ctx, Event{Kind: Failed, Err: err})
		}
		for _, r := range records {
			if a, err := next(r, time.Time{}); r.Kind != Coupled || r.State.Failed != "" || err == nil && (a.act == actNothing || a.act == actPaused) {
				continue
			}
			if _, err := m.turn(ctx, r.ID); err != nil && ctx.Err() == nil {
				m.o.Observe(ctx, Event{Kind: Failed, ID: r.ID, Phase: r.State.Phase, Err: err})
			}
		}
		if err := sleep(ctx, m.o.Poll); err != nil {
			return err
		}
	}
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
