// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// lint refuses statements that stop the database's users, or break the version before. Of a phase in
// which the old side goes, dropping it is what is meant.
func (k *compiler) lint(op migrate.SQL) error {
	if op.Safe != "" {
		k.note("statements of "+op.Name+" are said to be safe: "+op.Safe, "")
		return nil
	}
	var errs []error
	linter := sqltext.NewLinter(sqltext.Postgres)
	for _, text := range op.Do {
		all, err := sqltext.Split(text, sqltext.Postgres, 1)
		if err != nil {
			errs = append(errs, k.unsafe(err.Error(), ""))
			continue
		}
		findings, err := linter.Lint(all, !op.Alone)
		if err != nil {
			errs = append(errs, k.unsafe(err.Error(), ""))
		}
		for _, f := range findings {
			meant := op.Phase >= migrate.Soaking && goes[f.Rule]
			if !meant && !k.settled(f) {
				errs = append(errs, &migrate.UnsafeError{Op: op.Name + ": " + f.Op, Why: f.Why, Fix: f.Fix})
			}
		}
	}
	return errors.Join(errs...)
}

// goes are the rules that keep an old version's side.
var goes = map[string]bool{"drop-column": true, "drop-table": true, "drop-schema": true, "rename-column": true, "rename-table": true}

// settled says that the database itself answers a doubt.
func (k *compiler) settled(f sqltext.Finding) bool {
	for _, query := range f.Unless(sqltext.Postgres) {
		row, err := k.d.one(k.ctx, "BEGIN READ ONLY;\nSET LOCAL statement_timeout = '1s';\n"+query+";\nROLLBACK")
		if err == nil && row != nil && string(row[0]) == "t" {
			return true
		}
	}
	return false
}
