// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// turn takes the lease of a change and works until what is wanted is reached. Where it has
// to wait it gives the lease back and returns for how long.
func (m *Migrator) turn(ctx context.Context, id string) (time.Duration, error) {
	if !m.claim(id) { // the lease would not tell this process from itself
		return m.o.Poll, nil
	}
	defer m.release(id)
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return 0, err
	}
	a, err := next(r, time.Time{})
	switch {
	case err != nil || a.act == actNothing:
		return 0, err
	case a.act == actPaused:
		m.tell(ctx, r, Event{Kind: Waiting, Why: r.paused()})
		return m.o.Poll, nil
	}
	s, err := m.db.Lock(ctx, "change:"+id, m.o.Owner, m.o.Lease)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		m.tell(ctx, r, Event{Kind: Waiting, Why: busy.Owner + " is at work"})
		return m.o.Poll, nil
	}
	if err != nil {
		return 0, err
	}
	ctx, done := m.renewing(ctx, s)
	defer done()
	for {
		wait, err := m.step(ctx, s, id)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // fenced, or the caller's
		}
		if err != nil || wait != again {
			return max(wait, 0), err
		}
	}
}

// again is the wait of a turn that has more to do.
const again = -1

// renewing renews the lease until done, which gives it back. A lease that is lost ends ctx.
func (m *Migrator) renewing(ctx context.Context, s Session) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for sleep(ctx, m.o.Lease/3) == nil {
			if err := s.Renew(ctx); errors.Is(err, ErrFenced) {
				cancel(err)
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-stopped
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), m.o.Lease/3)
		defer stop()
		_ = s.Close(ctx) // it runs out by itself
	}
}

// claim keeps two calls on one Migrator from one change.
func (m *Migrator) claim(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claimed[id] {
		return false
	}
	m.claimed[id] = true
	return true
}

func (m *Migrator) claims(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claimed[id]
}

func (m *Migrator) release(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.claimed, id)
}

// step does the next thing, with another try for what may be tried again, and records a
// failure that needs a person.
func (m *Migrator) step(ctx context.Context, s Session, id string) (time.Duration, error) {
	var spent time.Duration
	for attempt := 1; ; attempt++ {
		r, err := m.db.Load(ctx, id)
		if err != nil {
			return 0, err
		}
		wait, err := m.act(ctx, s, r)
		switch {
		case err == nil, ctx.Err() != nil, errors.Is(err, ErrFenced), held(err), lost(err):
			return wait, err
		case spent < m.o.LockBudget && passing(err):
			pause := 500*time.Millisecond + rand.N(1500*time.Millisecond)
			m.tell(ctx, r, Event{Kind: Retried, Attempt: attempt, Took: pause, Err: err})
			if err := sleep(ctx, pause); err != nil {
				return 0, err
			}
			spent += pause + m.o.LockTimeout
			continue
		}
		return 0, errors.Join(err, m.failed(ctx, s, id, err))
	}
}

// failed records why a change does not go on by itself.
func (m *Migrator) failed(ctx context.Context, s Session, id string, why error) error {
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return err
	}
	state := r.State.saved()
	state.Failed, state.FailedUnder, state.By = bounded(why.Error()), r.Order.N, m.o.Owner
	return s.Do(ctx, id, Work{}, state)
}

// bounded keeps what a database says from growing a record without end.
func bounded(text string) string {
	const most = 2000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// act does what the record needs next.
func (m *Migrator) act(ctx context.Context, s Session, r Record) (time.Duration, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return 0, err
	}
	a, err := next(r, now)
	if err != nil {
		return 0, err
	}
	guard, err := r.guard(a, m.o.InstanceTTL)
	if err != nil {
		return 0, err
	}
	switch a.act {
	case actEnter:
		state := r.State.enter(a.phase, now)
		state.By = m.o.Owner
		if err := s.Do(ctx, r.ID, Work{Guard: guard}, state); err != nil {
			return 0, err
		}
		r.State = state
		m.tell(ctx, r, Event{Kind: PhaseEntered})
		return again, nil
	case actDo:
		return m.do(ctx, s, r, a.step, now, guard)
	case actUndo:
		return again, m.undo(ctx, s, r, a.step)
	case actWait:
		m.tell(ctx, r, Event{Kind: Waiting, Why: "soaking until " + a.until.UTC().Format(time.DateTime)})
		return min(m.o.Poll, a.until.Sub(now)), nil
	case actPaused:
		m.tell(ctx, r, Event{Kind: Waiting, Why: r.paused()})
		return m.o.Poll, nil
	case actNothing:
	}
	return 0, nil
}

func (m *Migrator) do(ctx context.Context, s Session, r Record, i int, now time.Time, guard *Guard) (time.Duration, error) {
	step := r.Script.Steps[i]
	m.tell(ctx, r, Event{Kind: StepBegun, Step: step.Name})
	began := time.Now()
	switch {
	case step.Walk != nil:
		if wait, err := m.walk(ctx, s, r, i); err != nil || wait != again {
			return wait, err
		}
	case step.Alone:
		if err := m.alone(ctx, s, &r, i, guard); err != nil {
			return 0, err
		}
	default:
		m.statements(ctx, r, step.Name, step.Do)
		w := Work{Statements: step.Do, Guard: guard, LockTimeout: m.o.LockTimeout}
		if err := s.Do(ctx, r.ID, w, r.did(i, time.Since(began), now)); err != nil {
			return 0, fmt.Errorf("migrate: %s: %s: %w", r.ID, step.Name, err)
		}
		m.tell(ctx, r, Event{Kind: StepDone, Step: step.Name, Took: time.Since(began)})
		return again, nil
	}
	took := time.Since(began)
	if err := s.Do(ctx, r.ID, Work{}, r.did(i, took, now)); err != nil {
		return 0, err
	}
	m.tell(ctx, r, Event{Kind: StepDone, Step: step.Name, Took: took})
	return again, nil
}

// alone does a step that cannot be one transaction with the record of it: that it is begun
// is saved first, and whether it was done is then read from the catalog.
func (m *Migrator) alone(ctx context.Context, s Session, r *Record, i int, guard *Guard) error {
	step := r.Script.Steps[i]
	begun := r.State.Steps[i].Begun
	state := r.State.saved()
	state.Steps[i].Begun = true
	if err := s.Do(ctx, r.ID, Work{Guard: guard}, state); err != nil {
		return err
	}
	r.State = state
	if begun {
		if holds, err := s.Holds(ctx, step.Holds); err != nil || holds {
			return err
		}
		if err := m.outside(ctx, s, r, step.Name+": clean up", step.Clean); err != nil {
			return err
		}
	}
	if err := m.outside(ctx, s, r, step.Name, step.Do); err != nil {
		return err
	}
	holds, err := s.Holds(ctx, step.Holds)
	if err == nil && !holds {
		err = fmt.Errorf("migrate: %s: %s: its statements ran, and the catalog does not show it", r.ID, step.Name)
	}
	return err
}

// outside runs statements outside a transaction.
func (m *Migrator) outside(ctx context.Context, s Session, r *Record, name string, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	m.statements(ctx, *r, name, statements)
	state := r.State.saved()
	if err := s.Do(ctx, r.ID, Work{Statements: statements, Alone: true, LockTimeout: m.o.LockTimeout}, state); err != nil {
		return fmt.Errorf("migrate: %s: %s: %w", r.ID, name, err)
	}
	r.State = state
	return nil
}

// undo takes one step back.
func (m *Migrator) undo(ctx context.Context, s Session, r Record, i int) error {
	step := r.Script.Steps[i]
	began := time.Now()
	if step.Alone {
		if err := m.undoAlone(ctx, s, &r, i); err != nil {
			return err
		}
		if err := s.Do(ctx, r.ID, Work{}, r.undid(i)); err != nil {
			return err
		}
	} else {
		m.statements(ctx, r, "undo "+step.Name, step.Undo)
		w := Work{Statements: step.Undo, LockTimeout: m.o.LockTimeout}
		if err := s.Do(ctx, r.ID, w, r.undid(i)); err != nil {
			return fmt.Errorf("migrate: %s: undo %s: %w", r.ID, step.Name, err)
		}
	}
	m.tell(ctx, r, Event{Kind: StepUndone, Step: step.Name, Took: time.Since(began)})
	return nil
}

func (m *Migrator) undoAlone(ctx context.Context, s Session, r *Record, i int) error {
	step := r.Script.Steps[i]
	holds, err := s.Holds(ctx, step.Holds)
	if err != nil {
		return err
	}
	if !holds {
		return m.outside(ctx, s, r, "undo "+step.Name+": clean up", step.Clean)
	}
	return m.outside(ctx, s, r, "undo "+step.Name, step.Undo)
}

// statements tells the statements before they run.
func (m *Migrator) statements(ctx context.Context, r Record, step string, statements []string) {
	for _, text := range statements {
		m.tell(ctx, r, Event{Kind: StatementRun, Step: step, Statement: text})
	}
}

// tell tells an event. A wait is told once, until something else happens.
func (m *Migrator) tell(ctx context.Context, r Record, e Event) {
	e.ID, e.Phase = r.ID, r.State.Phase
	waits := ""
	if e.Kind == Waiting || e.Kind == Throttled {
		waits = e.Why
	}
	m.mu.Lock()
	known := waits != "" && m.waits[r.ID] == waits
	m.waits[r.ID] = waits
	m.mu.Unlock()
	if !known {
		m.o.Observe(ctx, e)
	}
}
