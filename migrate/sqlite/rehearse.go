// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rheostat-go/rheostat/migrate"
)

// refusal is an error of a statement that was rehearsed.
type refusal struct {
	step migrate.Step
	err  error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %v", r.step.Name, r.err) }
func (r *refusal) Unwrap() error { return r.err }

func refused(s migrate.Step, err error) error {
	return &migrate.UnsafeError{
		Why: fmt.Sprintf("on an empty copy of the schema, %q fails: %v", s.Name, err),
		Fix: "mend the expression, or drop what depends on the column in an earlier migration",
	}
}

// rehearse runs a script on an empty copy of the schema, as a rollout would that is rolled
// back from Soaking, begun again, and carried through.
func rehearse(ctx context.Context, objects []object, c migrate.Change, script migrate.Script) error {
	copied, err := copyOf(ctx, objects)
	if err != nil {
		return err
	}
	err = stages(ctx, copied, script)
	if r, ok := errors.AsType[*refusal](err); ok {
		err = wrapped(c, r.step.Op, refused(r.step, r.err))
	}
	return errors.Join(err, copied.Close())
}

func stages(ctx context.Context, db *schema, script migrate.Script) error {
	last := len(script.Steps)
	if i := slices.IndexFunc(script.Steps, func(s migrate.Step) bool { return s.Phase == migrate.Contracting }); i >= 0 {
		last = i
	}
	there := func(steps []migrate.Step) error {
		for _, s := range steps {
			if err := rehearseStep(ctx, db, s); err != nil {
				return &refusal{s, err}
			}
		}
		return nil
	}
	if err := there(script.Steps[:last]); err != nil {
		return err
	}
	for _, s := range slices.Backward(script.Steps[:last]) {
		if err := run(ctx, db, s.Undo); err != nil {
			s.Name = "undo " + s.Name
			return &refusal{s, err}
		}
	}
	if err := there(script.Steps); err != nil {
		return err
	}
	return whole(ctx, db, script)
}

// rehearseStep runs a step's statements, and has the walk's compiled.
func rehearseStep(ctx context.Context, db *schema, s migrate.Step) error {
	if err := run(ctx, db, s.Do); err != nil || s.Walk == nil {
		return err
	}
	w := *s.Walk
	if w.Verify {
		return run(ctx, db, []string{"SELECT count(*) FROM " + quote(w.Table) + " WHERE " + w.Pending})
	}
	return run(ctx, db, []string{statement(w, "true")})
}

// run runs statements in one transaction, as Do does.
func run(ctx context.Context, db *schema, statements []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it is committed, or the error is told
	for _, text := range statements {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// whole has SQLite read every view and trigger again: a rename does.
func whole(ctx context.Context, db *schema, script migrate.Script) error {
	err := run(ctx, db, []string{"CREATE TABLE _rh_probe (a)", "ALTER TABLE _rh_probe RENAME COLUMN a TO b", "DROP TABLE _rh_probe"})
	if err == nil || len(script.Steps) == 0 {
		return err
	}
	return &refusal{script.Steps[len(script.Steps)-1], err}
}
