// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// task is one migration on its way up or down.
type task struct {
	m    Migration
	down bool
	half half
	up   script
	// unsafe is what is unsafe about it.
	unsafe []unsafe
	// base is where the steps of the half begin among those of the record.
	base   int
	script Script // of a new record
	old    *Record
}

// name is the direction.
func (t task) name() string {
	if t.down {
		return "down"
	}
	return "up"
}

// during and end are its phases.
func (t task) during() Phase {
	if t.down {
		return RollingBack
	}
	return Expanding
}

func (t task) end() Phase {
	if t.down {
		return RolledBack
	}
	return Done
}

func (t task) run(took time.Duration) MigrationRun {
	run := MigrationRun{ID: t.m.ID, Down: t.down, Took: took}
	for _, f := range t.unsafe {
		run.Unsafe = append(run.Unsafe, f.UnsafeError)
	}
	for _, s := range t.half {
		run.Statements = append(run.Statements, s.do...)
		run.Alone = run.Alone || s.begun
	}
	return run
}

func dry(tasks []task) []MigrationRun {
	var runs []MigrationRun
	for _, t := range tasks {
		runs = append(runs, t.run(0))
	}
	return runs
}

// frozen is both halves, frozen for the record.
func frozen(up, down half) Script {
	var s Script
	for i, step := range up {
		s.Steps = append(s.Steps, Step{Phase: Expanding, Op: -1, Name: fmt.Sprintf("up %d", i+1), Do: step.do, Alone: step.begun, Holds: step.recheck.Holds, Clean: step.recheck.Clean})
	}
	for i, step := range down {
		s.Steps = append(s.Steps, Step{Phase: RollingBack, Op: -1, Name: fmt.Sprintf("down %d", i+1), Undo: step.do, Alone: step.begun, Holds: step.recheck.Holds, Clean: step.recheck.Clean})
	}
	return s
}

// ups is how many steps of a record go up.
func (r Record) ups() int {
	n := slices.IndexFunc(r.Script.Steps, func(s Step) bool { return s.Phase == RollingBack })
	if n < 0 {
		return len(r.Script.Steps)
	}
	return n
}

// begin makes the record of a migration, if it is not there as it has to be.
func (m *Migrator) begin(ctx context.Context, s Session, t task) (Record, error) {
	r := Record{
		ID: t.m.ID, Kind: Versioned, Digest: t.m.digest(), Script: t.script,
		State: State{Version: StateVersion, Steps: make([]StepState, len(t.script.Steps)), By: m.o.Owner},
	}
	if old := t.old; old != nil {
		if old.State.Phase != RolledBack && alike(*old, r) {
			return *old, nil
		}
		if err := t.keep(&r, *old); err != nil {
			return r, err
		}
		if old.State.Phase != RolledBack { // only then it can be replaced
			next := old.State.saved()
			next.Phase, next.By = RolledBack, m.o.Owner
			if err := m.save(ctx, s, r.ID, Work{}, next); err != nil {
				return r, err
			}
		}
	}
	err := m.insist(ctx, r.ID, func() error {
		err := m.db.Create(ctx, r)
		if !errors.Is(err, ErrExists) {
			return err
		}
		was, loading := m.db.Load(ctx, r.ID) // ours, if the reply was lost
		if loading != nil || was.State.Rev == 0 && alike(was, r) {
			return loading
		}
		return err
	})
	return r, err
}

// alike says whether two records are of the same text.
func alike(a, b Record) bool {
	x, errX := json.Marshal(a.Script)
	y, errY := json.Marshal(b.Script)
	return a.Kind == b.Kind && a.Digest == b.Digest && len(a.State.Steps) == len(b.State.Steps) &&
		errX == nil && errY == nil && bytes.Equal(x, y)
}

// keep lets a migration that was edited while it was half applied go on after what was done.
func (t task) keep(r *Record, old Record) error {
	for i, step := range old.State.Steps[:min(old.ups(), len(old.State.Steps))] {
		switch {
		case !step.Begun && !step.Done:
		case step.Begun && !step.Done && (i >= len(t.half) || !slices.Equal(t.half[i].do, old.Script.Steps[i].Do)):
			return fmt.Errorf("%w: %s: statement %d was begun: put it back as it was until it is known whether it is done", ErrChecksum, t.m.Up.name(t.m.ID), i+1)
		case i >= len(t.half) || !slices.Equal(t.half[i].do, old.Script.Steps[i].Do):
			return fmt.Errorf("%w: %s: statement %d has been applied: put it back as it was, and mend it with a later one", ErrChecksum, t.m.Up.name(t.m.ID), i+1)
		default:
			r.State.Steps[i] = step
		}
	}
	return nil
}

func (t task) unresolved(i int) error {
	return fmt.Errorf("%w: %s: %s, statement %d of %d: look whether it is, and say so with Resolve(%q)", ErrUnresolved, t.half[min(i, len(t.half)-1)].at(0), t.name(), i+1, len(t.half), t.m.ID)
}

// carry does what is left of a migration, and returns how long that took.
func (m *Migrator) carry(ctx context.Context, s Session, r Record, t task) (time.Duration, error) {
	began := time.Now()
	r.State = r.State.clone()
	if n := t.base + len(t.half); t.down || len(r.State.Steps) < n {
		marks := make([]StepState, n)
		copy(marks, r.State.Steps)
		if t.down && r.State.Phase != RollingBack {
			clear(marks[t.base:])
		}
		r.State.Steps = marks
	}
	m.tell(ctx, r, Event{Kind: StepBegun, Step: t.name()})
	for i := range t.half {
		done := r.State.Steps[t.base+i].Done
		var err error
		if !done && r.State.Steps[t.base+i].Begun {
			done, err = m.settle(ctx, s, &r, t, i)
		}
		if err == nil && !done {
			err = m.part(ctx, s, &r, t, i)
		}
		if err != nil {
			return 0, err
		}
	}
	if r.State.Phase != t.end() { // all of it had been done
		next, err := m.next(ctx, s, r, t.end())
		if err == nil {
			err = m.save(ctx, s, r.ID, Work{}, next)
		}
		if err != nil {
			return 0, err
		}
		r.State = next
	}
	took := time.Since(began)
	m.tell(ctx, r, Event{Kind: StepDone, Step: t.name(), Took: took})
	return took, nil
}

// next is the state in a phase.
func (m *Migrator) next(ctx context.Context, s Session, r Record, phase Phase) (State, error) {
	var now time.Time
	err := m.insist(ctx, r.ID, func() (err error) { now, err = s.Now(ctx); return err })
	next := r.State.enter(phase, now)
	next.By = m.o.Owner
	if phase == RolledBack { // as if it had never been
		next.Steps = make([]StepState, len(r.Script.Steps))
	}
	return next, err
}

// part does one step of a half, and saves that it is done: in the same transaction, or else
// after it was saved that it is begun.
func (m *Migrator) part(ctx context.Context, s Session, r *Record, t task, i int) error {
	step, k := t.half[i], t.base+i
	doubt := r.State.Steps[k].Begun // a server that was lost may be at it still
	if step.begun && !doubt {
		if err := m.fresh(ctx, s, *r, t, i); err != nil {
			return err
		}
	}
	if step.begun {
		next, err := m.next(ctx, s, *r, t.during())
		next.Steps[k] = StepState{Begun: true}
		if err == nil {
			err = m.save(ctx, s, r.ID, Work{}, next)
		}
		if err != nil {
			return err
		}
		r.State = next
	}
	phase := t.during()
	if i == len(t.half)-1 {
		phase = t.end()
	}
	next, err := m.next(ctx, s, *r, phase)
	if err != nil {
		return err
	}
	if phase != RolledBack {
		next.Steps[k] = StepState{Begun: step.begun, Done: true}
	}
	m.statements(ctx, *r, t.name(), step.do)
	began := time.Now()
	w := Work{Statements: step.do, Func: step.fn, Alone: step.alone, LockTimeout: cmp.Or(step.lockTimeout, m.o.LockTimeout), Timeout: step.timeout}
	if step.begun {
		err = m.once(ctx, s, r, t, i, w, next)
	} else {
		err = m.save(ctx, s, r.ID, w, next)
	}
	if err != nil && step.begun {
		if done, looking := m.look(ctx, s, r, t, i, doubt, err); done || looking != nil {
			return looking
		}
	}
	if err != nil {
		return m.refused(ctx, s, *r, t, i, err)
	}
	r.State = next
	if len(step.do) == 1 {
		m.tell(ctx, *r, Event{Kind: StatementRan, Step: t.name(), Statement: step.do[0], Took: time.Since(began)})
	}
	return nil
}

// once does work that must not be done twice, and about which the database does not tell.
func (m *Migrator) once(ctx context.Context, s Session, r *Record, t task, i int, w Work, next State) error {
	return m.insist(ctx, r.ID, func() error {
		err := s.Do(ctx, r.ID, w, next)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrFenced) {
			return err
		}
		if failed := (*StatementError)(nil); errors.As(err, &failed) && !lost(err) {
			return err // it was not done
		}
		saved, loading := m.saved(ctx, r.ID, next)
		switch {
		case saved:
			return nil
		case loading != nil && (passing(loading) || lost(loading)):
			loading = nil // the same as not to know
		}
		//nolint:errorlint // what caused it must not make it be tried again
		return errors.Join(fmt.Errorf("%w (%v)", t.unresolved(i), err), loading)
	})
}

// refused records why a migration does not go on, and says where it was.
func (m *Migrator) refused(ctx context.Context, s Session, r Record, t task, i int, why error) error {
	at, failed := t.half[i].at(0), (*StatementError)(nil)
	if errors.As(why, &failed) {
		at = t.half[i].at(failed.N - 1)
	}
	if errors.Is(why, ErrUnresolved) {
		return why
	}
	err := fmt.Errorf("migrate: %s: %s: %w", at, t.name(), why)
	if ctx.Err() != nil || errors.Is(why, ErrFenced) || lost(why) || t.half[i].begun && failed == nil {
		return err
	}
	next := r.State.saved()
	next.Failed, next.By = bounded(err.Error()), m.o.Owner
	next.Steps[t.base+i] = StepState{}
	return errors.Join(err, m.save(ctx, s, r.ID, Work{}, next))
}
