// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// Options of a Database. The zero Options are the defaults.
type Options struct{}

type store = sqlstate.Store

// Database is a schema of a MariaDB or MySQL server. It is a migrate.Database, safe for
// concurrent use.
type Database struct {
	*store
}

var _ migrate.Database = (*Database)(nil)

// New uses a database that the program has opened with go-sql-driver/mysql, whose DSN
// names the schema. It does not connect.
func New(db *sql.DB, _ Options) (*Database, error) {
	if db == nil {
		return nil, errors.New("mysql: New: db is nil")
	}
	d := &Database{}
	d.store = sqlstate.New(db, d.dialect())
	return d, nil
}

// Name is "mysql".
func (d *Database) Name() string { return "mysql" }

// CommitsDDL says that the server commits DDL by itself: package migrate runs the statements
// of a file one by one unless they only write rows.
func (d *Database) CommitsDDL() bool { return true }

// Setup makes the tables, and refuses a server that would not keep what it is given.
func (d *Database) Setup(ctx context.Context) error {
	var mode, format, version string
	var binlog bool
	err := d.DB().QueryRowContext(ctx, "SELECT @@SESSION.sql_mode, @@binlog_format, @@log_bin, @@version").Scan(&mode, &format, &binlog, &version)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	switch {
	case !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES"):
		return errors.New("mysql: sql_mode is not strict, so values that do not fit would be cut off without an error: add STRICT_TRANS_TABLES")
	case binlog && strings.EqualFold(format, "STATEMENT"):
		return errors.New("mysql: binlog_format is STATEMENT, which cannot replicate READ COMMITTED transactions: set it to ROW or MIXED")
	}
	return d.store.Setup(ctx)
}

// Lock takes a lease.
func (d *Database) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.store.Lock(ctx, name, owner, lease)
	if err != nil {
		return nil, err
	}
	return &session{Session: s, d: d}, nil
}

type session struct {
	*sqlstate.Session

	d *Database
}

// Pressure is how many transactions wait for a lock, as far as the account may see them,
// how far the replica that this server is lags, and what a small commit takes.
func (s *session) Pressure(ctx context.Context) (migrate.Pressure, error) {
	var p migrate.Pressure
	began := time.Now()
	if err := s.Renew(ctx); err != nil {
		return p, err
	}
	p.Commit = time.Since(began)
	// Without the right PROCESS the view is refused: then it is not known.
	if err := s.d.DB().QueryRowContext(ctx, "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&p.Blocked); err != nil {
		p.Blocked = 0
	}
	return p, context.Cause(ctx)
}
