// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// Dialect is what differs from one database to the next. Parameters are question marks, and
// names that may be reserved are in backticks, in all of them.
type Dialect struct {
	// Name begins every error that is not one of package migrate's: "sqlite".
	Name string
	// Tables make the tables where they are missing: rheostat_layout(id, version),
	// rheostat_record(id, kind, digest, app, new, change, script, state, rev, phase, order,
	// created), rheostat_lease(name, fence, owner, until),
	// rheostat_cursor(id, step, shard, position, rows, seen, total, worked, done) and
	// rheostat_instance(app, version, id, seen). Each statement is run by itself, by several
	// processes at once.
	Tables []string
	// Micros is the database's clock as SQL: microseconds since 1970 as an integer.
	Micros string
	// ForUpdate ends a SELECT that locks the rows it reads: " FOR UPDATE".
	ForUpdate string
	// InsertNew begins an INSERT that does nothing where the key is there already:
	// "INSERT IGNORE INTO".
	InsertNew string
	// Isolation is that of every transaction. Each statement must see what was committed
	// before it began.
	Isolation sql.IsolationLevel
	// First, if not empty, is the first statement of every transaction. It makes it a
	// writer's, where the database would else let it begin as a reader.
	First string
	// Bound bounds the wait of a connection for one lock, until release; 0 is the
	// adapter's own bound.
	Bound func(ctx context.Context, c *sql.Conn, lock time.Duration) (release func(), err error)
	// Alone, if set, runs a statement outside a transaction, which is to wait no longer than
	// lock for one lock. nil executes it as it is.
	Alone func(ctx context.Context, c *sql.Conn, text string, lock time.Duration) error
	// Classify makes an error of the driver migrate.ErrLockTimeout, ErrRetry or ErrLost where
	// it is, and returns every other as it is. nil stays nil.
	Classify func(error) error
	// Sessions, if set, lists connections that name a version which the guard refuses.
	Sessions func(ctx context.Context, tx *sql.Tx, g *migrate.Guard) ([]string, error)
}

// Layout is the version of the tables that this package writes.
const Layout = 1

// Store is the state of a database. It is safe for concurrent use.
type Store struct {
	db *sql.DB
	d  Dialect
}

// New makes a Store.
func New(db *sql.DB, d Dialect) *Store { return &Store{db: db, d: d} }

// DB is what New was given.
func (s *Store) DB() *sql.DB { return s.db }

// Setup makes the tables if they are not there, and refuses a layout that is newer than
// this package.
func (s *Store) Setup(ctx context.Context) error {
	for _, text := range s.d.Tables {
		if err := s.alone(ctx, text, 0, 0); err != nil {
			return fmt.Errorf("%s: make the tables of rheostat: %w", s.d.Name, err)
		}
	}
	var version int
	err := s.write(ctx, 0, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, s.d.InsertNew+" rheostat_layout (id, version) VALUES (1, ?)", Layout); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT version FROM rheostat_layout WHERE id = 1").Scan(&version)
	})
	if err == nil && version > Layout {
		err = fmt.Errorf("its tables have layout %d, and this version knows up to %d: use a newer version of the program", version, Layout)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.d.Name, err)
	}
	return nil
}

// write is one transaction, in which f writes. Its errors are classified.
func (s *Store) write(ctx context.Context, lock time.Duration, f func(*sql.Tx) error) error {
	return s.d.Classify(s.conn(ctx, lock, func(c *sql.Conn) error {
		tx, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: s.d.Isolation})
		if err != nil {
			return err
		}
		err = s.inside(ctx, tx, f)
		if err == nil {
			return tx.Commit()
		}
		if back := tx.Rollback(); !errors.Is(back, sql.ErrTxDone) {
			err = errors.Join(err, back)
		}
		return err
	}))
}

func (s *Store) inside(ctx context.Context, tx *sql.Tx, f func(*sql.Tx) error) error {
	if s.d.First != "" {
		if _, err := tx.ExecContext(ctx, s.d.First); err != nil {
			return err
		}
	}
	return f(tx)
}

// conn lends a connection with a bound on its wait for locks.
func (s *Store) conn(ctx context.Context, lock time.Duration, f func(*sql.Conn) error) (err error) {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closing := c.Close(); err == nil && !errors.Is(closing, sql.ErrConnDone) {
			err = closing
		}
	}()
	release, err := s.d.Bound(ctx, c, lock)
	if err != nil {
		return err
	}
	defer release()
	return f(c)
}

// alone runs one statement outside a transaction.
func (s *Store) alone(ctx context.Context, text string, lock, timeout time.Duration) error {
	return s.d.Classify(s.conn(ctx, lock, func(c *sql.Conn) error {
		ctx, cancel := within(ctx, timeout)
		defer cancel()
		if s.d.Alone != nil {
			return s.d.Alone(ctx, c, text, lock)
		}
		_, err := c.ExecContext(ctx, text)
		return err
	}))
}

// within bounds ctx by a timeout, of which 0 is none.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// micros is a time of the database's clock.
func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }
