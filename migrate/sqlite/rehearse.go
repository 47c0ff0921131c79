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
	broken, err := brokenTables(ctx, db, nil)
	if err != nil {
		return err
	}
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
	if err := whole(ctx, db, script); err != nil {
		return err
	}
	_, err = brokenTables(ctx, db, broken)
	if err != nil && len(script.Steps) > 0 {
		return &refusal{script.Steps[len(script.Steps)-1], err}
	}
	return err
}

// brokenTables are tables that cannot be written, because a trigger of theirs wants what is
// not there: SQLite finds that only when it compiles a statement that fires it. Given those
// that were before, another is an error.
func brokenTables(ctx context.Context, db *schema, before map[string]bool) (map[string]bool, error) {
	names, err := db.names(ctx, "SELECT DISTINCT tbl_name FROM sqlite_schema t WHERE type = 'trigger' AND EXISTS (SELECT 1 FROM sqlite_schema s WHERE s.type = 'table' AND s.name = t.tbl_name)")
	if err != nil {
		return nil, err
	}
	broken := map[string]bool{}
	for _, name := range names {
		columns, err := db.names(ctx, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", name)
		if err != nil {
			return nil, err
		}
		err = run(ctx, db, []string{
			"EXPLAIN INSERT INTO " + quote(name) + " DEFAULT VALUES", "EXPLAIN DELETE FROM " + quote(name),
			"EXPLAIN UPDATE " + quote(name) + " SET " + listed(columns, func(c string) string { return quote(c) + " = " + quote(c) }),
		})
		if broken[name] = err != nil; err != nil && before != nil && !before[name] {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return broken, nil
}

// names reads one column of text.
func (s *schema) names(ctx context.Context, query string, args ...any) (all []string, err error) {
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, rows.Err()
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
