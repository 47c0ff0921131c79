// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// unsafe is what is wrong with a statement, unless the database has a reason why not.
type unsafe struct {
	*UnsafeError

	unless []string // queries
}

// lint finds in a script what would stop the database's users or break the version of the
// program before. What cannot work wherever it is run is an error.
func lint(l *sqltext.Linter, d sqltext.Dialect, file string, all []sqltext.Statement, whole bool) ([]unsafe, error) {
	findings, err := l.Lint(all, whole)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", located(file, err))
	}
	var found []unsafe
	var errs []error
	for _, f := range findings {
		e := &UnsafeError{Op: fmt.Sprintf("%s:%d: %s", file, f.Line, f.Op), Why: f.Why, Fix: f.Fix}
		if f.Broken {
			errs = append(errs, e)
			continue
		}
		e.Fix += "; or write above it why it is safe here: -- migrate:allow " + f.Rule + " …"
		found = append(found, unsafe{UnsafeError: e, unless: f.Unless(d)})
	}
	return found, errors.Join(errs...)
}

// unsafe is what is unsafe about the migrations that are to go up. With a session the
// database is asked: in a table that is not there yet, or has no rows, much is safe.
func (m *Migrator) unsafe(ctx context.Context, s Session, tasks []task) error {
	var errs []error
	for _, t := range tasks {
		for _, f := range t.unsafe {
			harmless, err := harmless(ctx, s, f.unless)
			if err != nil {
				return err
			}
			if !harmless {
				errs = append(errs, f.UnsafeError)
			}
		}
	}
	return errors.Join(errs...)
}

func harmless(ctx context.Context, s Session, queries []string) (bool, error) {
	for _, query := range queries {
		holds, err := s.Holds(ctx, query)
		if ctx.Err() != nil || errors.Is(err, ErrFenced) {
			return false, err
		}
		if err == nil && holds { // a query that fails has no answer
			return true, nil
		}
	}
	return false, nil
}
