// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rheostat-go/rheostat/migrate"
)

// doFunc is Do with a Func: the one kind of transaction that lasts as long as its client. The
// server ends it when the client is silent for a lease.
func (s *session) doFunc(ctx context.Context, id string, w migrate.Work, save string) (err error) {
	db := s.d.plain()
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return wrap(err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // it is undone whatever this says
		}
	}()
	idle := "SET LOCAL idle_in_transaction_session_timeout = " + milliseconds(max(s.lease, time.Second)) + ";\n"
	if err := exec(ctx, tx, idle+s.head(id, w)); err != nil {
		return err
	}
	for i, text := range w.Statements {
		if err := exec(ctx, tx, text); err != nil {
			return which(err, w.Statements, i)
		}
	}
	if err := w.Func(ctx, tx); err != nil {
		return wrapFunc(err)
	}
	if err := exec(ctx, tx, save); err != nil {
		return err
	}
	return wrap(tx.Commit())
}

// plain opens connections like the pool's that prepare nothing.
func (d *Database) plain() *sql.DB {
	c := d.pool.Config()
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.ConnConfig.StatementCacheCapacity, c.ConnConfig.DescriptionCacheCapacity = 0, 0
	var o []stdlib.OptionOpenDB
	if c.BeforeConnect != nil {
		o = append(o, stdlib.OptionBeforeConnect(c.BeforeConnect))
	}
	if c.AfterConnect != nil {
		o = append(o, stdlib.OptionAfterConnect(c.AfterConnect))
	}
	db := stdlib.OpenDB(*c.ConnConfig, o...)
	db.SetMaxOpenConns(1)
	return db
}

// exec runs a text of several statements.
func exec(ctx context.Context, tx *sql.Tx, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return wrap(err)
}

// wrapFunc keeps a Func's own error as it is.
func wrapFunc(err error) error {
	classified := wrap(err)
	for _, meaning := range []error{migrate.ErrLockTimeout, migrate.ErrRetry, migrate.ErrLost} {
		if errors.Is(classified, meaning) {
			return classified
		}
	}
	return err
}
