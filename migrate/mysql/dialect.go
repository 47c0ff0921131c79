// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

const tableOptions = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

var tables = []string{
	"CREATE TABLE IF NOT EXISTS rheostat_layout (id INT PRIMARY KEY, version INT NOT NULL)" + tableOptions,
	"CREATE TABLE IF NOT EXISTS rheostat_record (id VARCHAR(255) PRIMARY KEY, kind VARCHAR(20) NOT NULL, digest VARCHAR(100) NOT NULL," +
		" app VARCHAR(255) NOT NULL, `new` LONGTEXT NOT NULL, `change` LONGTEXT NOT NULL, script LONGTEXT NOT NULL, state LONGTEXT NOT NULL," +
		" rev BIGINT NOT NULL, phase VARCHAR(20) NOT NULL, `order` LONGTEXT NOT NULL, created BIGINT NOT NULL, KEY (app))" + tableOptions,
	"CREATE TABLE IF NOT EXISTS rheostat_lease (name VARCHAR(300) PRIMARY KEY, fence BIGINT NOT NULL, owner VARCHAR(255) NOT NULL," +
		" until BIGINT NOT NULL)" + tableOptions,
	"CREATE TABLE IF NOT EXISTS rheostat_cursor (id VARCHAR(255) NOT NULL, step INT NOT NULL, shard INT NOT NULL, position LONGTEXT NOT NULL," +
		" `rows` BIGINT NOT NULL, seen BIGINT NOT NULL, total BIGINT NOT NULL, worked BIGINT NOT NULL, done BOOLEAN NOT NULL," +
		" PRIMARY KEY (id, step, shard))" + tableOptions,
	"CREATE TABLE IF NOT EXISTS rheostat_instance (app VARCHAR(200) NOT NULL, version VARCHAR(200) NOT NULL, id VARCHAR(200) NOT NULL," +
		" seen BIGINT NOT NULL, PRIMARY KEY (app, version, id))" + tableOptions,
}

func (d *Database) dialect() sqlstate.Dialect {
	return sqlstate.Dialect{
		Name: "mysql", Tables: tables,
		// NOW() would be when the statement began, before it waited for a row.
		Micros:    "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
		ForUpdate: " FOR UPDATE",
		InsertNew: "INSERT IGNORE INTO",
		Isolation: sql.LevelReadCommitted,
		Bound:     bound,
		Alone:     d.alone,
		Classify:  classify,
	}
}

// bound bounds a connection's wait for a row in the seconds that the server knows, and for
// a metadata lock where nothing watches it.
func bound(ctx context.Context, c *sql.Conn, lock time.Duration) (release func(), err error) {
	if lock <= 0 {
		return func() {}, nil
	}
	seconds := max(1, int(lock/time.Second))
	if _, err := c.ExecContext(ctx, fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", seconds)); err != nil {
		return nil, err
	}
	return func() {
		if _, err := c.ExecContext(context.WithoutCancel(ctx), "SET SESSION innodb_lock_wait_timeout = DEFAULT"); err != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // nobody gets it with our timeout
		}
	}, nil
}

// The server's error numbers.
const (
	tooManyConnections = 1040
	shutdown           = 1053
	lockWaitTimeout    = 1205
	deadlock           = 1213
	queryInterrupted   = 1317
	readOnly           = 1290 // an option such as --read-only
	connectionKilled   = 1927
	killed             = 3169 // MySQL's
	noSuchThread       = 1094
)

// classify says which errors may be tried again, and which say that the connection is gone.
func classify(err error) error {
	var e *mysql.MySQLError
	if errors.Is(err, mysql.ErrInvalidConn) && !errors.Is(err, migrate.ErrLost) {
		return fmt.Errorf("%w: %w", migrate.ErrLost, err)
	}
	if !errors.As(err, &e) || errors.Is(err, migrate.ErrLockTimeout) || errors.Is(err, migrate.ErrRetry) || errors.Is(err, migrate.ErrLost) {
		return err
	}
	switch e.Number {
	case lockWaitTimeout, queryInterrupted:
		return fmt.Errorf("%w: %w", migrate.ErrLockTimeout, err)
	case deadlock:
		return fmt.Errorf("%w: %w", migrate.ErrRetry, err)
	case tooManyConnections, shutdown, readOnly, connectionKilled, killed:
		return fmt.Errorf("%w: %w", migrate.ErrLost, err)
	}
	return err
}

// A step's statement may be several that one connection runs one after another, each
// only if a condition holds, so that a step which was interrupted goes on. They are
// separated by the line between.
const (
	between = "\n-- then\n"
	ifMark  = "-- if "
)

// together makes one statement of several.
func together(statements ...string) string { return strings.Join(statements, between) }

// when makes a statement that is run only if a query answers true.
func when(query, statement string) string { return ifMark + query + "\n" + statement }

// alone runs the statements of a step on one connection, watched.
func (d *Database) alone(ctx context.Context, c *sql.Conn, text string, lock time.Duration) error {
	var id int64
	if err := c.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return err
	}
	parts := strings.Split(text, between)
	if len(parts) > 1 {
		// The next user of the connection must find no table locked and no setting changed.
		defer func() { _ = c.Raw(func(any) error { return driver.ErrBadConn }) }()
	}
	for _, part := range parts {
		if query, statement, ok := strings.Cut(part, "\n"); ok && strings.HasPrefix(query, ifMark) {
			var holds bool
			if err := c.QueryRowContext(ctx, strings.TrimPrefix(query, ifMark)).Scan(&holds); err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
			if !holds {
				continue
			}
			part = statement
		}
		if err := d.watched(ctx, c, id, part, lock); err != nil {
			return err
		}
	}
	return nil
}

// watched runs a statement, and kills it once it has waited for a metadata lock for longer
// than lock. One that has worked already, and waits at its end, is given ten times as long:
// its work would be lost.
func (d *Database) watched(ctx context.Context, c *sql.Conn, id int64, statement string, lock time.Duration) error {
	if lock <= 0 {
		_, err := c.ExecContext(ctx, statement)
		return err
	}
	watch, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.watch(watch, id, lock)
	}()
	_, err := c.ExecContext(ctx, statement)
	stop()
	<-done
	return err
}

func (d *Database) watch(ctx context.Context, id int64, lock time.Duration) {
	tick := time.NewTicker(max(lock/4, 5*time.Millisecond))
	defer tick.Stop()
	var waited time.Time // since when it waits
	patience := lock
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var state sql.NullString
		err := d.DB().QueryRowContext(ctx, "SELECT state FROM information_schema.processlist WHERE id = ?", id).Scan(&state)
		switch {
		case err != nil:
			continue
		case !strings.HasPrefix(state.String, "Waiting for"):
			waited = time.Time{}
			if state.String != "" {
				patience = 10 * lock
			}
		case waited.IsZero():
			waited = time.Now().Add(-max(lock/4, 5*time.Millisecond)) // it may have begun right after the last look
		}
		if !waited.IsZero() && time.Since(waited) >= patience {
			_, err := d.DB().ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id))
			var e *mysql.MySQLError
			if err == nil || errors.As(err, &e) && e.Number == noSuchThread {
				return
			}
		}
	}
}
