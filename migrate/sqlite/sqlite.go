// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// Options of a Database. The zero Options are safe defaults.
type Options struct {
	// Busy is how long to wait for the file's write lock where nothing else bounds the
	// wait, and how long every connection of Open waits. 0 is 10 seconds.
	Busy time.Duration
	// Stall is how long, by estimate, one statement may keep writers waiting: SQLite
	// rewrites the table to drop a column and scans it to make one not null, under the
	// file's one write lock. An operation that needs longer is refused. 0 is 2 seconds.
	Stall time.Duration
}

func (o Options) withDefaults() Options {
	if o.Busy <= 0 {
		o.Busy = 10 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = 2 * time.Second
	}
	return o
}

type store = sqlstate.Store

// Database is an SQLite file. It is a migrate.Database, safe for concurrent use, and for
// several processes on one file.
type Database struct {
	*store

	o       Options
	waiting waiting
}

var _ migrate.Database = (*Database)(nil)

// Open opens a file, or makes it, the way this package works best, and checks that it can
// be read: journal_mode WAL, so that readers and the writer do not stop each other;
// synchronous NORMAL, which loses nothing when a process dies and may lose the last
// moments, though no consistency, when the power fails; a busy timeout; transactions that
// take the write lock when they begin; and foreign keys enforced. The program can use
// [Database.DB] for its own queries too.
func Open(path string, o Options) (*Database, error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, errors.New("sqlite: Open: path must name a file: every connection to memory has a database of its own")
	}
	o = o.withDefaults()
	db, err := sql.Open("sqlite", dataSource(path, o))
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if err := db.PingContext(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), db.Close())
	}
	return New(db, o)
}

// dataSource is the driver's name for a file, whatever characters are in it.
func dataSource(path string, o Options) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	q := url.Values{
		"_txlock":       {"immediate"},
		"_busy_timeout": {fmt.Sprint(o.Busy.Milliseconds())},
		"_pragma":       {"journal_mode(wal)", "synchronous(normal)", "foreign_keys(1)"},
	}
	return "file:" + strings.Join(parts, "/") + "?" + q.Encode()
}

// New uses a database of modernc.org/sqlite that the program has opened. It works with
// every journal mode and way to begin transactions; what Open sets is best. db must be a
// file, or have SetMaxOpenConns(1).
func New(db *sql.DB, o Options) (*Database, error) {
	if db == nil {
		return nil, errors.New("sqlite: New: db is nil")
	}
	o = o.withDefaults()
	d := &Database{o: o}
	d.store = sqlstate.New(db, d.dialect())
	return d, nil
}

// Close closes the connections, those of the sql.DB that New was given too.
func (d *Database) Close() error { return d.DB().Close() }

// Name is "sqlite".
func (d *Database) Name() string { return "sqlite" }

// DefaultThrottle is what the zeros of a migrate.Throttle are: SQLite has one writer and
// no queue, so that a batch is kept short and followed by a pause as long.
func (d *Database) DefaultThrottle() migrate.Throttle {
	return migrate.Throttle{Batch: 8 * time.Millisecond, Duty: 0.5}
}

// Lock takes a lease.
func (d *Database) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.store.Lock(ctx, name, owner, lease)
	if err != nil {
		return nil, err
	}
	return &session{Session: s, d: d}, nil
}
