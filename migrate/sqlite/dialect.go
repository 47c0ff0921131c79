// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

var tables = []string{
	"CREATE TABLE IF NOT EXISTS rheostat_layout (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
	"CREATE TABLE IF NOT EXISTS rheostat_record (id TEXT PRIMARY KEY, kind TEXT NOT NULL, digest TEXT NOT NULL, app TEXT NOT NULL," +
		" `new` TEXT NOT NULL, `change` TEXT NOT NULL, script TEXT NOT NULL, state TEXT NOT NULL, rev INTEGER NOT NULL," +
		" phase TEXT NOT NULL, `order` TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID",
	"CREATE TABLE IF NOT EXISTS rheostat_lease (name TEXT PRIMARY KEY, fence INTEGER NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID",
	"CREATE TABLE IF NOT EXISTS rheostat_cursor (id TEXT NOT NULL, step INTEGER NOT NULL, shard INTEGER NOT NULL, position TEXT NOT NULL," +
		" `rows` INTEGER NOT NULL, seen INTEGER NOT NULL, total INTEGER NOT NULL, worked INTEGER NOT NULL, done INTEGER NOT NULL," +
		" PRIMARY KEY (id, step, shard)) WITHOUT ROWID",
	"CREATE TABLE IF NOT EXISTS rheostat_instance (app TEXT NOT NULL, version TEXT NOT NULL, id TEXT NOT NULL, seen INTEGER NOT NULL," +
		" PRIMARY KEY (app, version, id)) WITHOUT ROWID",
}

func (d *Database) dialect() sqlstate.Dialect {
	return sqlstate.Dialect{
		Name: "sqlite", Tables: tables,
		Micros:    "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
		InsertNew: "INSERT OR IGNORE INTO",
		// The write lock first: a transaction that began as a reader cannot become a
		// writer once another has written.
		First:    "UPDATE rheostat_layout SET version = version WHERE id = 1",
		Bound:    d.bound,
		Classify: classify,
	}
}

// bound sets a connection's busy timeout, and release sets it as it was.
func (d *Database) bound(ctx context.Context, c *sql.Conn, lock time.Duration) (release func(), err error) {
	if lock <= 0 {
		lock = d.o.Busy
	}
	var before int64
	if err := c.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&before); err != nil {
		return nil, err
	}
	set := func(ctx context.Context, ms int64) error {
		_, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", ms))
		return err
	}
	ms := max(lock.Milliseconds(), 1)
	if ms == before {
		return func() {}, nil
	}
	if err := set(ctx, ms); err != nil {
		return nil, err
	}
	return func() {
		if err := set(context.WithoutCancel(ctx), before); err != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // nobody gets it with our timeout
		}
	}, nil
}

// classify says which errors may be tried again.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || errors.Is(err, migrate.ErrLockTimeout) || errors.Is(err, migrate.ErrRetry) {
		return err
	}
	switch code := e.Code(); {
	case code == sqlite3.SQLITE_BUSY_SNAPSHOT, code&0xff == sqlite3.SQLITE_LOCKED, code&0xff == sqlite3.SQLITE_SCHEMA:
		return fmt.Errorf("%w: %w", migrate.ErrRetry, err)
	case code&0xff == sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w: %w", migrate.ErrLockTimeout, err)
	}
	return err
}

// waiting remembers how long the write lock was waited for lately.
type waiting struct {
	mu    sync.Mutex
	total time.Duration
	count int
}

func (w *waiting) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total, w.count = w.total+d, w.count+1
}

// take is the mean wait since it was last asked.
func (w *waiting) take() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return 0
	}
	mean := w.total / time.Duration(w.count)
	w.total, w.count = 0, 0
	return mean
}
