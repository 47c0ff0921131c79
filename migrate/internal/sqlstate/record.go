// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rheostat-go/rheostat/migrate"
)

const recordColumns = "id, kind, digest, app, `new`, `change`, script, state, rev, phase, `order`"

// texts are a record's columns, as they are kept.
func texts(r migrate.Record) ([]any, error) {
	var errs []error
	text := func(v any) string {
		b, err := json.Marshal(v)
		errs = append(errs, err)
		return string(b)
	}
	columns := []any{
		r.ID, string(r.Kind), r.Digest, r.App, text(r.New), text(r.Change), text(r.Script), text(r.State),
		int64(r.State.Rev), r.State.Phase.String(), text(r.Order), //nolint:gosec // counted from 0 by one
	}
	return columns, errors.Join(errs...)
}

type scanner interface{ Scan(into ...any) error }

// read reads a record's columns, and those of its lease.
func read(row scanner) (migrate.Record, error) {
	var r migrate.Record
	var kind, phase string
	var rev, until, now int64
	var owner string
	var versions, change, script, state, order []byte
	err := row.Scan(&r.ID, &kind, &r.Digest, &r.App, &versions, &change, &script, &state, &rev, &phase, &order, &owner, &until, &now)
	if err != nil {
		return r, err
	}
	r.Kind = migrate.Kind(kind)
	if owner != "" && until > now {
		r.Owner, r.Until = owner, micros(until)
	}
	if r.Kind == migrate.Coupled {
		if err := json.Unmarshal(change, &r.Change); err != nil {
			return r, fmt.Errorf("record %s: change: %w", r.ID, err)
		}
	}
	for name, part := range map[string]struct {
		text []byte
		into any
	}{"new": {versions, &r.New}, "script": {script, &r.Script}, "state": {state, &r.State}, "order": {order, &r.Order}} {
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return r, fmt.Errorf("record %s: %s: %w", r.ID, name, err)
		}
	}
	return r, nil
}

func (s *Store) selectRecords() string {
	return "SELECT " + recordColumns + ", COALESCE(l.owner, ''), COALESCE(l.until, 0), " + s.d.Micros +
		" FROM rheostat_record LEFT JOIN rheostat_lease l ON l.name = "
}

// Create saves a new record; see migrate.Database.
func (s *Store) Create(ctx context.Context, r migrate.Record) error {
	columns, err := texts(r)
	if err != nil {
		return err
	}
	return s.write(ctx, 0, func(tx *sql.Tx) error {
		var phase string
		err := tx.QueryRowContext(ctx, "SELECT phase FROM rheostat_record WHERE id = ?"+s.d.ForUpdate, r.ID).Scan(&phase)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return s.insert(ctx, tx, r.ID, columns)
		case err != nil:
			return err
		case phase != migrate.RolledBack.String():
			return fmt.Errorf("%w: %s", migrate.ErrExists, r.ID)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM rheostat_cursor WHERE id = ?", r.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE rheostat_record SET kind = ?, digest = ?, app = ?, `new` = ?, `change` = ?, script = ?, state = ?, rev = ?, phase = ?, `order` = ? WHERE id = ?",
			append(columns[1:], r.ID)...)
		return err
	})
}

// insert gives the record a place after every other. Two processes at once may make the
// same record: one of them finds it there.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, id string, columns []any) error {
	var now, last int64
	if err := tx.QueryRowContext(ctx, "SELECT "+s.d.Micros+", COALESCE(MAX(created), 0) FROM rheostat_record").Scan(&now, &last); err != nil {
		return err
	}
	done, err := tx.ExecContext(ctx, s.d.InsertNew+" rheostat_record ("+recordColumns+", created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		append(columns, max(now, last+1))...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("%w: %s", migrate.ErrExists, id)
}

// Load reads a record; see migrate.Database.
func (s *Store) Load(ctx context.Context, id string) (migrate.Record, error) {
	r, err := read(s.db.QueryRowContext(ctx, s.selectRecords()+"? WHERE id = ?", "change:"+id, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: %s", migrate.ErrNotFound, id)
	}
	if err != nil {
		return r, s.d.Classify(err)
	}
	all, err := s.progress(ctx, "WHERE id = ? ", id)
	r.Progress = all[id]
	return r, err
}

// List reads every record in the order they were created.
func (s *Store) List(ctx context.Context) ([]migrate.Record, error) {
	records, err := rows(ctx, s.db, s.selectRecords()+"CONCAT('change:', id) ORDER BY created, id", read)
	if err != nil {
		return nil, s.d.Classify(err)
	}
	all, err := s.progress(ctx, "")
	for i := range records {
		records[i].Progress = all[records[i].ID]
	}
	return records, err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// rows reads every row of a query.
func rows[T any](ctx context.Context, q querier, query string, read func(scanner) (T, error), args ...any) (all []T, err error) {
	found, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		one, err := read(found)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, found.Err()
}

// Order replaces a record's order; see migrate.Database.
func (s *Store) Order(ctx context.Context, id string, o migrate.Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.write(ctx, 0, func(tx *sql.Tx) error {
		var phase string
		var old []byte
		var before migrate.Order
		err := tx.QueryRowContext(ctx, "SELECT phase, `order` FROM rheostat_record WHERE id = ?"+s.d.ForUpdate, id).Scan(&phase, &old)
		if err == nil {
			err = json.Unmarshal(old, &before)
		}
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("%w: %s", migrate.ErrNotFound, id)
		case err != nil:
			return err
		case o.Want == migrate.RolledBack && (phase == migrate.Contracting.String() || phase == migrate.Done.String()):
			return fmt.Errorf("%w: %s", migrate.ErrContracted, id)
		case o.N != 0 && o.N != before.N+1:
			return fmt.Errorf("%w: %s: order %d is there, and %d was to follow", migrate.ErrRetry, id, before.N, o.N)
		}
		_, err = tx.ExecContext(ctx, "UPDATE rheostat_record SET `order` = ? WHERE id = ?", string(text), id)
		return err
	})
}
