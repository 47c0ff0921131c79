// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"errors"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// Lint refuses the statements of an operation that would stop the database's users, or
// break the version before, as *migrate.UnsafeError, joined. Where the old side goes,
// dropping it is what is meant; and one that is said to be Safe is.
//
// It is no method, which would be one of every adapter's Database.
func Lint(ctx context.Context, s *Store, op migrate.SQL) error {
	if op.Safe != "" {
		return nil
	}
	d := sqltext.Of(s.d.Name)
	linter := sqltext.NewLinter(d)
	var errs []error
	for _, text := range op.Do {
		all, err := sqltext.Split(text, d, 1)
		var found []sqltext.Finding
		if err == nil {
			found, err = linter.Lint(all, !op.Alone)
		}
		if err != nil {
			errs = append(errs, &migrate.UnsafeError{Op: "SQL " + op.Name, Why: err.Error()})
		}
		for _, f := range found {
			if op.Phase >= migrate.Soaking && f.Removes() || s.harmless(ctx, f.Unless(d)) {
				continue
			}
			errs = append(errs, &migrate.UnsafeError{Op: "SQL " + op.Name + ": " + f.Op, Why: f.Why, Fix: f.Fix + "; or say in Safe why it is safe here"})
		}
	}
	return errors.Join(errs...)
}

// harmless says whether the database answers one of the queries with yes.
func (s *Store) harmless(ctx context.Context, queries []string) bool {
	for _, query := range queries {
		var yes bool
		if err := s.db.QueryRowContext(ctx, query).Scan(&yes); err == nil && yes {
			return true
		}
	}
	return false
}
