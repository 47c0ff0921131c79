// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/strategy"
)

// Expand is the task that makes the database ready for the candidate, and on the way home
// takes that back, unless Options.Keep. Taking it back says that the new version has no
// traffic, which the rollout has seen; instances of it may be running.
func (x *Migration) Expand() strategy.Task { return expand{task{x}} }

// Switched is the task that tells the database that the candidate has all traffic. It is
// done as soon as it is ordered: a record for people, and no work. What the contract does
// begins with it in any case.
func (x *Migration) Switched() strategy.Task { return switched{task{x}} }

// Contract is the task that removes what only the old version needs. Put it before a step
// that is OneWay: from its order on there is no automatic return.
func (x *Migration) Contract() strategy.Task { return contract{task{x}} }

// task is what the tasks share.
type task struct{ *Migration }

// Explain says where the change is, in one line.
func (x task) Explain(ctx context.Context, _ strategy.Ref) (string, error) {
	text, err := x.Migration.Explain(ctx)
	return strings.ReplaceAll(text, "\n", "; "), err
}

type expand struct{ task }

// Status is Done once the change serves; on the way back, once it is rolled back.
func (x expand) Status(ctx context.Context, ref strategy.Ref) (strategy.TaskStatus, error) {
	r, found, err := x.load(ctx)
	if err != nil {
		return strategy.TaskUnknown, err
	}
	if ref.Back {
		return x.back(r, found, ref), nil
	}
	switch phase := r.State.Phase; {
	case !found, phase == migrate.RolledBack:
		return strategy.TaskTodo, nil
	case r.Order.Want == migrate.RolledBack || phase == migrate.RollingBack:
		return strategy.TaskRunning, nil // an earlier rollout's return has to end first
	case phase.Serves():
		return strategy.TaskDone, nil
	case failed(r):
		return strategy.TaskFailed, nil
	case r.Order.Want < migrate.Ready:
		return strategy.TaskTodo, nil
	}
	return strategy.TaskRunning, nil
}

func (x expand) back(r migrate.Record, found bool, ref strategy.Ref) strategy.TaskStatus {
	switch phase := r.State.Phase; {
	case !found, x.stays(r, ref), phase == migrate.RolledBack:
		return strategy.TaskDone
	case gone(r):
		return strategy.TaskFailed
	case r.Order.Want != migrate.RolledBack || !r.Order.Force: // a person's order would wait for the candidate's instances
		return strategy.TaskTodo
	case failed(r):
		return strategy.TaskFailed
	}
	return strategy.TaskRunning
}

// Do orders Ready. A change that an earlier rollout is still taking back is ordered again
// when that has ended.
func (x expand) Do(ctx context.Context, ref strategy.Ref) error {
	r, found, err := x.load(ctx)
	if err != nil {
		return err
	}
	if found && r.State.Phase != migrate.RolledBack && r.Order.Want == migrate.RolledBack {
		return fmt.Errorf("migration: change %s is still being rolled back, ordered by %s", r.ID, r.Order.By)
	}
	return x.m.Begin(ctx, x.change, x.order(ref, migrate.Ready, "expand before the candidate has traffic"))
}

// Undo orders RolledBack.
func (x expand) Undo(ctx context.Context, ref strategy.Ref) error {
	r, found, err := x.load(ctx)
	if err != nil || !found || x.stays(r, ref) || r.State.Phase == migrate.RolledBack {
		return err
	}
	return x.m.Order(ctx, x.change.ID, x.order(ref, migrate.RolledBack, "the rollout went home"))
}

// stays says that the change outlives the return: as Options.Keep has it, or because home
// is a version that needs it, which an earlier rollout has brought.
func (x *Migration) stays(r migrate.Record, ref strategy.Ref) bool {
	return x.o.Keep || slices.Contains(r.New, ref.Release.Stable.Version)
}

type switched struct{ task }

// Status is Done once it is ordered.
func (x switched) Status(ctx context.Context, ref strategy.Ref) (strategy.TaskStatus, error) {
	r, found, err := x.load(ctx)
	switch {
	case err != nil:
		return strategy.TaskUnknown, err
	case ref.Back:
		return strategy.TaskDone, nil // the expand task takes everything back
	case !found || !r.State.Phase.Serves() || r.Order.Want == migrate.RolledBack:
		return strategy.TaskFailed, nil
	case r.Order.Want >= migrate.Switched:
		return strategy.TaskDone, nil
	}
	return strategy.TaskTodo, nil
}

// Do orders Switched.
func (x switched) Do(ctx context.Context, ref strategy.Ref) error {
	return x.m.Order(ctx, x.change.ID, x.order(ref, migrate.Switched, "the candidate has all traffic"))
}

// Undo has nothing to take back.
func (x switched) Undo(context.Context, strategy.Ref) error { return nil }

type contract struct{ task }

// Status is Done when the old side is gone. While it soaks, or an old version is alive, it
// is Running; the record's Explain says which.
func (x contract) Status(ctx context.Context, ref strategy.Ref) (strategy.TaskStatus, error) {
	r, found, err := x.load(ctx)
	switch {
	case err != nil:
		return strategy.TaskUnknown, err
	case ref.Back && gone(r) && !x.stays(r, ref):
		return strategy.TaskFailed, nil
	case ref.Back:
		return strategy.TaskDone, nil // the expand task takes everything back
	case !found:
		return strategy.TaskFailed, nil
	case r.State.Phase == migrate.Done:
		return strategy.TaskDone, nil
	case failed(r) || r.Order.Want == migrate.RolledBack:
		return strategy.TaskFailed, nil
	case r.Order.Want == migrate.Done:
		return strategy.TaskRunning, nil
	}
	return strategy.TaskTodo, nil
}

// Do orders Done.
func (x contract) Do(ctx context.Context, ref strategy.Ref) error {
	return x.m.Order(ctx, x.change.ID, x.order(ref, migrate.Done, "contract after the bake"))
}

// Undo has nothing to take back, or no way to.
func (x contract) Undo(ctx context.Context, ref strategy.Ref) error {
	r, found, err := x.load(ctx)
	if err == nil && found && gone(r) && !x.stays(r, ref) {
		err = fmt.Errorf("migration: change %s: %w", r.ID, migrate.ErrContracted)
	}
	return err
}

// gone says that the old side cannot come back.
func gone(r migrate.Record) bool {
	return r.State.Phase == migrate.Contracting || r.State.Phase == migrate.Done
}

// failed says that the change failed under the order that stands.
func failed(r migrate.Record) bool {
	return r.State.Failed != "" && r.State.FailedUnder == r.Order.N
}
