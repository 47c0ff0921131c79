// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
)

// settle finds out whether a step that was begun is done: the catalog may tell, or it may
// be as good to do it again. Otherwise it is ErrUnresolved.
func (m *Migrator) settle(ctx context.Context, s Session, r *Record, t task, i int) (done bool, err error) {
	step := t.half[i]
	switch {
	case step.recheck.Holds != "":
		err = m.insist(ctx, r.ID, func() (err error) { done, err = s.Holds(ctx, step.recheck.Holds); return err })
		if err != nil {
			return false, err
		}
		if done {
			return true, m.did(ctx, s, r, t, i)
		}
		return false, m.clean(ctx, s, r, t, i)
	case step.recheck.Again:
		return false, nil
	}
	return false, t.unresolved(i)
}

// fresh refuses a statement that cannot but fail, because what it makes is there: after a
// crash it would be taken for done.
func (m *Migrator) fresh(ctx context.Context, s Session, r Record, t task, i int) error {
	check := t.half[i].recheck
	if check.Holds == "" || check.Again {
		return nil
	}
	var holds bool
	err := m.insist(ctx, r.ID, func() (err error) { holds, err = s.Holds(ctx, check.Holds); return err })
	if err == nil && holds {
		err = fmt.Errorf("migrate: %s: %s: what it does has been done by somebody else: look whether it is the same, and leave the statement out", t.half[i].at(0), t.name())
	}
	return err
}

// did saves that a step is done.
func (m *Migrator) did(ctx context.Context, s Session, r *Record, t task, i int) error {
	phase := t.during()
	if i == len(t.half)-1 {
		phase = t.end()
	}
	next, err := m.next(ctx, s, *r, phase)
	if err != nil {
		return err
	}
	if phase != RolledBack {
		next.Steps[t.base+i] = StepState{Begun: true, Done: true}
	}
	if err := m.save(ctx, s, r.ID, Work{}, next); err != nil {
		return err
	}
	r.State = next
	return nil
}

// clean removes what a failed attempt has left, such as an invalid index.
func (m *Migrator) clean(ctx context.Context, s Session, r *Record, t task, i int) error {
	step := t.half[i]
	if len(step.recheck.Clean) == 0 {
		return nil
	}
	m.statements(ctx, *r, t.name()+": clean up", step.recheck.Clean)
	next := r.State.saved()
	next.By = m.o.Owner
	w := Work{Statements: step.recheck.Clean, Alone: true, LockTimeout: m.o.LockTimeout}
	if err := m.save(ctx, s, r.ID, w, next); err != nil {
		return err
	}
	r.State = next
	return nil
}

// look asks the catalog after an attempt that failed. What was in doubt may have been done
// before; and what failed may have left something, which is removed.
func (m *Migrator) look(ctx context.Context, s Session, r *Record, t task, i int, doubt bool, why error) (done bool, err error) {
	step, unknown := t.half[i], errors.Is(why, ErrUnresolved)
	if ctx.Err() != nil || errors.Is(why, ErrFenced) || step.recheck.Holds == "" {
		return false, nil
	}
	if unknown { // another process may have been told the same, and its state is what counts
		saved, err := m.db.Load(ctx, r.ID)
		if err != nil {
			return false, nil //nolint:nilerr // the first error says more
		}
		r.State = saved.State
	}
	holds, err := s.Holds(ctx, step.recheck.Holds)
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // the first error says more
	case holds && (doubt || unknown):
		return true, m.did(ctx, s, r, t, i)
	case !holds:
		return false, m.clean(ctx, s, r, t, i)
	}
	return false, nil
}
