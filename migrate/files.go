// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// UpOptions says how Up goes. The zero UpOptions apply everything, in order.
type UpOptions struct {
	// Limit is how many migrations are applied at most; 0 is all of them.
	Limit int
	// OutOfOrder applies migrations whose version is below one that was applied before,
	// which is ErrOutOfOrder otherwise: two branches were merged, and what the later one
	// says may not hold after the earlier one.
	OutOfOrder bool
	// Unsafe applies what would be refused with an *UnsafeError because it would stop the
	// database's users, or break the version of the program before.
	Unsafe bool
	// DryRun returns what would be done, and writes nothing.
	DryRun bool
}

// MigrationRun is one migration that went up or down, or would.
type MigrationRun struct {
	ID string
	// Down says that it was taken back.
	Down bool
	// Statements are those of its script.
	Statements []string
	// Alone says that they are not one transaction.
	Alone bool
	// Unsafe is what Up would refuse, or was allowed. Up also asks the database: much is safe
	// in a table that is not there yet, or has no rows.
	Unsafe []*UnsafeError
	// Took is how long it took; 0 in a dry run.
	Took time.Duration
}

// Up applies the migrations of a set that are not applied, in the order of their versions.
// Each is one transaction together with the record of it, so that a crash leaves it
// applied or not; those that cannot be, because they say so or because the database commits
// DDL by itself, are recorded statement by statement, and go on where they were.
//
// One process does so at a time: another waits, and then finds nothing left to do. A wait
// for a lock is bounded by Options.LockTimeout and tried again within Options.LockBudget.
// Before anything runs, every script is read, and a migration that was edited after it was
// applied is ErrChecksum. Statements that would stop the database's users, or break the
// version of the program before, are *UnsafeError, joined, unless a comment above them says
// why they are safe: -- migrate:allow drop-column nobody has read it since v41. What a
// migration before it in the same run has made may be changed at will. Applied migrations that the set does not have are passed over: an
// earlier version of the program must be able to start. Status lists them.
//
// It returns what it applied, with the error that ended it too.
func (m *Migrator) Up(ctx context.Context, set Set, o UpOptions) ([]MigrationRun, error) {
	if o.DryRun {
		tasks, err := m.pending(ctx, set, o)
		return dry(tasks), err
	}
	var done []MigrationRun
	err := m.underFiles(ctx, func(ctx context.Context, s Session) error {
		tasks, err := m.pending(ctx, set, o)
		if err != nil {
			return err
		}
		if !o.Unsafe {
			if err := m.unsafe(ctx, s, tasks); err != nil {
				return err
			}
		}
		for _, t := range tasks {
			r, err := m.begin(ctx, s, t)
			if err != nil {
				return err
			}
			took, err := m.carry(ctx, s, r, t)
			if err != nil {
				return err
			}
			done = append(done, t.run(took))
		}
		return nil
	})
	return done, err
}

// Down takes back the n migrations that were applied last, the last one first. Each is one
// transaction where Up was. What runs is the set's Down; or, of a migration that the set
// does not have or that was edited since, what was recorded when it was applied. Of one that
// is half taken back, statements that were done are not done again.
func (m *Migrator) Down(ctx context.Context, set Set, n int) ([]MigrationRun, error) {
	if n < 1 {
		return nil, fmt.Errorf("migrate: Down: n is %d, and must be how many migrations to take back", n)
	}
	var done []MigrationRun
	err := m.underFiles(ctx, func(ctx context.Context, s Session) error {
		tasks, err := m.applied(ctx, set, n)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			took, err := m.carry(ctx, s, *t.old, t)
			if err != nil {
				return err
			}
			done = append(done, t.run(took))
		}
		return nil
	})
	return done, err
}

// Resolve says whether the statement of a migration that is ErrUnresolved was done, by the
// word of somebody who has looked. The next Up or Down goes on after it, or with it.
func (m *Migrator) Resolve(ctx context.Context, id string, done bool) error {
	return m.underFiles(ctx, func(ctx context.Context, s Session) error {
		r, err := m.db.Load(ctx, id)
		if err != nil {
			return err
		}
		for i, step := range r.State.Steps {
			if r.Kind == Versioned && step.Begun && !step.Done {
				next := r.State.saved()
				next.By = m.o.Owner
				next.Steps[i] = StepState{Begun: done, Done: done}
				return m.save(ctx, s, r.ID, Work{}, next)
			}
		}
		return fmt.Errorf("migrate: %s: there is nothing to resolve", id)
	})
}

// filesLease is the lease of all versioned migrations together.
const filesLease = "files"

// underFiles runs f under the lease of the files, for which it waits.
func (m *Migrator) underFiles(ctx context.Context, f func(context.Context, Session) error) error {
	for {
		busy, err := m.tryFiles(ctx, f)
		if !busy {
			return err
		}
		m.tell(ctx, Record{ID: filesLease}, Event{Kind: Waiting, Why: err.Error()})
		if err := sleep(ctx, m.o.Poll); err != nil {
			return err
		}
	}
}

// tryFiles says whether another has the lease, and in the error who.
func (m *Migrator) tryFiles(ctx context.Context, f func(context.Context, Session) error) (busy bool, err error) {
	const claim = "\x00" + filesLease // no change is called so
	if !m.claim(claim) {
		return true, fmt.Errorf("%w: another call of this process", ErrBusy)
	}
	defer m.release(claim)
	var s Session
	err = m.insist(ctx, filesLease, func() error {
		s, err = m.db.Lock(ctx, filesLease, m.o.Owner, m.o.Lease)
		return err
	})
	if err != nil {
		return errors.Is(err, ErrBusy), err
	}
	ctx, done := m.renewing(ctx, s)
	defer done()
	err = f(ctx, s)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // fenced, or the caller's
	}
	return false, err
}

// insist tries again what may be tried again.
func (m *Migrator) insist(ctx context.Context, id string, f func() error) error {
	var spent time.Duration
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || ctx.Err() != nil || spent >= m.o.LockBudget || !passing(err) && !lost(err) {
			return err
		}
		pause := 500*time.Millisecond + rand.N(1500*time.Millisecond)
		m.tell(ctx, Record{ID: id}, Event{Kind: Retried, Attempt: attempt, Took: pause, Err: err})
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		spent += pause + m.o.LockTimeout
	}
}

// save does work that is one transaction with the state, until it is known to be done.
func (m *Migrator) save(ctx context.Context, s Session, id string, w Work, next State) error {
	asked := false
	return m.insist(ctx, id, func() error {
		if asked { // the reply may have been lost, and the work done
			if saved, err := m.saved(ctx, id, next); saved || err != nil {
				return err
			}
		}
		asked = true
		return s.Do(ctx, id, w, next)
	})
}

// saved says whether a state is the one that the record has.
func (m *Migrator) saved(ctx context.Context, id string, state State) (bool, error) {
	r, err := m.db.Load(ctx, id)
	return err == nil && r.State.Rev == state.Rev && r.State.By == state.By, err
}
