// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// Session is a lease held, for an adapter's migrate.Session to be built on.
type Session struct {
	s     *Store
	name  string
	owner string
	fence int64
	lease time.Duration
}

type lease struct {
	owner             string
	fence, until, now int64
}

// busy is an error while another than owner has it.
func (l lease) busy(name, owner string) error {
	if l.owner != "" && l.owner != owner && l.now < l.until {
		return &migrate.BusyError{Name: name, Owner: l.owner, Until: micros(l.until)}
	}
	return nil
}

func readLease(row *sql.Row) (l lease, err error) {
	err = row.Scan(&l.owner, &l.fence, &l.until, &l.now)
	return l, err
}

// Lock takes a lease and raises its fence; see migrate.Database. It looks first, without a
// lock, so that waiting for another's lease costs that other nothing.
func (s *Store) Lock(ctx context.Context, name, owner string, last time.Duration) (*Session, error) {
	query := "SELECT owner, fence, until, " + s.d.Micros + " FROM rheostat_lease WHERE name = ?"
	l, err := readLease(s.db.QueryRowContext(ctx, query, name))
	if errors.Is(err, sql.ErrNoRows) {
		// Not in the transaction below: two that find the row there would both hold it shared,
		// and neither could write it.
		err = s.conn(ctx, 0, func(c *sql.Conn) error {
			_, err := c.ExecContext(ctx, s.d.InsertNew+" rheostat_lease (name, fence, owner, until) VALUES (?, 0, '', 0)", name)
			return err
		})
	}
	if err == nil {
		err = l.busy(name, owner)
	}
	if err != nil {
		return nil, s.d.Classify(err)
	}
	err = s.write(ctx, 0, func(tx *sql.Tx) error {
		if l, err = readLease(tx.QueryRowContext(ctx, query+s.d.ForUpdate, name)); err != nil {
			return err
		}
		if err := l.busy(name, owner); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE rheostat_lease SET fence = ?, owner = ?, until = "+s.d.Micros+" + ? WHERE name = ?",
			l.fence+1, owner, last.Microseconds(), name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Session{s: s, name: name, owner: owner, fence: l.fence + 1, lease: last}, nil
}

// Fence is above that of every earlier session of the same name.
func (x *Session) Fence() uint64 { return uint64(x.fence) } //nolint:gosec // counted from 0 by one

// Renew makes the lease last from now.
func (x *Session) Renew(ctx context.Context) error {
	return x.Tx(ctx, 0, func(tx *sql.Tx) error {
		var owner string
		if err := tx.QueryRowContext(ctx, "SELECT owner FROM rheostat_lease WHERE name = ?", x.name).Scan(&owner); err != nil {
			return err
		}
		if owner != x.owner {
			return fmt.Errorf("%s: the session of %s is closed", x.s.d.Name, x.name)
		}
		_, err := tx.ExecContext(ctx, "UPDATE rheostat_lease SET until = "+x.s.d.Micros+" + ? WHERE name = ?", x.lease.Microseconds(), x.name)
		return err
	})
}

// Close gives the lease back, if it is still had.
func (x *Session) Close(ctx context.Context) error {
	return x.s.write(ctx, 0, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE rheostat_lease SET owner = '', until = 0 WHERE name = ? AND fence = ?", x.name, x.fence)
		return err
	})
}

// Now is the database's clock.
func (x *Session) Now(ctx context.Context) (time.Time, error) {
	now, err := x.read(ctx, x.s.db, "")
	return micros(now), x.s.d.Classify(err)
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read fails with ErrFenced once another has the lease, and returns the clock.
func (x *Session) read(ctx context.Context, q rowQuerier, lock string) (int64, error) {
	var fence, now int64
	err := q.QueryRowContext(ctx, "SELECT fence, "+x.s.d.Micros+" FROM rheostat_lease WHERE name = ?"+lock, x.name).Scan(&fence, &now)
	if errors.Is(err, sql.ErrNoRows) || err == nil && fence != x.fence {
		return 0, fmt.Errorf("%w: %s", migrate.ErrFenced, x.name)
	}
	return now, err
}

func (x *Session) fenced(ctx context.Context, q rowQuerier, lock string) error {
	_, err := x.read(ctx, q, lock)
	return err
}

// Check fails with ErrFenced once another has the lease.
func (x *Session) Check(ctx context.Context) error {
	return x.s.d.Classify(x.fenced(ctx, x.s.db, ""))
}

// Holds answers a query of one boolean.
func (x *Session) Holds(ctx context.Context, query string) (bool, error) {
	if err := x.Check(ctx); err != nil {
		return false, err
	}
	var holds sql.NullBool
	err := x.s.db.QueryRowContext(ctx, query).Scan(&holds)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return holds.Bool, x.s.d.Classify(err)
}

// Tx is one transaction under the fence, whose row it has locked before f is called.
func (x *Session) Tx(ctx context.Context, lock time.Duration, f func(*sql.Tx) error) error {
	return x.s.write(ctx, lock, func(tx *sql.Tx) error {
		if err := x.fenced(ctx, tx, x.s.d.ForUpdate); err != nil {
			return err
		}
		return f(tx)
	})
}

// Do runs w and saves next; see migrate.Session.
func (x *Session) Do(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if w.Alone {
		if err := x.alone(ctx, id, w, next); err != nil {
			return err
		}
		w.Statements = nil
	}
	return x.Tx(ctx, w.LockTimeout, func(tx *sql.Tx) error {
		if err := x.may(ctx, tx, id, w.Guard, next); err != nil {
			return err
		}
		for i, text := range w.Statements {
			if err := x.statement(ctx, tx, text, w.Timeout); err != nil {
				return &migrate.StatementError{N: i + 1, Err: x.s.d.Classify(err)}
			}
		}
		if w.Func != nil {
			if err := w.Func(ctx, tx); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE rheostat_record SET state = ?, rev = ?, phase = ? WHERE id = ?",
			string(text), int64(next.Rev), next.Phase.String(), id) //nolint:gosec // counted from 0 by one
		return err
	})
}

func (x *Session) statement(ctx context.Context, tx *sql.Tx, text string, timeout time.Duration) error {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	_, err := tx.ExecContext(ctx, text)
	return err
}

// alone runs each statement by itself, if the session may.
func (x *Session) alone(ctx context.Context, id string, w migrate.Work, next migrate.State) error {
	for i, text := range w.Statements {
		err := x.Tx(ctx, w.LockTimeout, func(tx *sql.Tx) error { return x.may(ctx, tx, id, w.Guard, next) })
		if err != nil {
			return err
		}
		if err := x.s.alone(ctx, text, w.LockTimeout, w.Timeout); err != nil {
			return &migrate.StatementError{N: i + 1, Err: x.s.d.Classify(err)}
		}
	}
	return nil
}

// may locks the record, and refuses if another saved it since, or an order or the guard forbids it.
func (x *Session) may(ctx context.Context, tx *sql.Tx, id string, g *migrate.Guard, next migrate.State) error {
	var rev int64
	var phase, text []byte
	err := tx.QueryRowContext(ctx, "SELECT rev, phase, `order` FROM rheostat_record WHERE id = ?"+x.s.d.ForUpdate, id).Scan(&rev, &phase, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", migrate.ErrNotFound, id)
	case err != nil:
		return err
	case uint64(rev)+1 != next.Rev: //nolint:gosec // counted from 0 by one
		return fmt.Errorf("%w: rev %d of %s is saved, and %d was to follow", migrate.ErrFenced, rev, id, next.Rev)
	}
	var from migrate.Phase
	var order migrate.Order
	if err := errors.Join(from.UnmarshalText(phase), json.Unmarshal(text, &order)); err != nil {
		return fmt.Errorf("record %s: %w", id, err)
	}
	if order.Forbids(from, next.Phase) {
		return fmt.Errorf("%w: %s: an order came before the end of the way back", migrate.ErrRetry, id)
	}
	return x.s.guard(ctx, tx, g)
}
