// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rheostat-go/rheostat/migrate"
)

// Options are what New has a default for.
type Options struct {
	// Schema holds the tables that records are kept in. Empty is "rheostat".
	Schema string
}

// Database is a migrate.Database. It is safe for concurrent use.
type Database struct {
	pool *pgxpool.Pool
	// schema is quoted.
	schema string
}

var _ migrate.Database = (*Database)(nil)

// New makes a Database of a pool, which stays its owner's to close. A change needs up to
// three connections at a time, and one more for each worker of a backfill.
func New(pool *pgxpool.Pool, o Options) (*Database, error) {
	if pool == nil {
		return nil, errors.New("postgres: New: pool is nil")
	}
	if o.Schema == "" {
		o.Schema = "rheostat"
	}
	return &Database{pool: pool, schema: pgx.Identifier{o.Schema}.Sanitize()}, nil
}

// Name is "postgres".
func (d *Database) Name() string { return "postgres" }

// run sends a text of one or more statements as one message, and reads the results. Nothing is
// prepared and nothing is set for longer than a transaction, so that it works through a pooler
// too. A transaction that failed is ended.
func (d *Database) run(ctx context.Context, text string) ([]*pgconn.Result, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	defer conn.Release()
	return runOn(ctx, conn.Conn().PgConn(), text)
}

func runOn(ctx context.Context, conn *pgconn.PgConn, text string) ([]*pgconn.Result, error) {
	results, err := conn.Exec(ctx, text).ReadAll()
	if err != nil && !conn.IsClosed() && conn.TxStatus() != 'I' {
		// The server has undone the transaction and let its locks go; this is for the
		// connection's sake.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(ctx, "ROLLBACK").ReadAll()
	}
	return results, wrap(err)
}

// rows is the last result that has columns, as text; nil is null.
func rows(results []*pgconn.Result) [][][]byte {
	for _, result := range slices.Backward(results) {
		if len(result.FieldDescriptions) > 0 {
			return result.Rows
		}
	}
	return nil
}

// one runs a text whose last result has one row, or none.
func (d *Database) one(ctx context.Context, text string) ([][]byte, error) {
	results, err := d.run(ctx, text)
	if err != nil {
		return nil, err
	}
	if all := rows(results); len(all) > 0 {
		return all[0], nil
	}
	return nil, nil
}

// setLocal bounds the statements that follow in the transaction. Each is sent even when it is the
// database's own, as a role may have one of its own that breaks off what takes long.
func setLocal(lock, statement time.Duration) string {
	text := "SET LOCAL statement_timeout = " + milliseconds(statement) + ";\n"
	if lock > 0 {
		text += "SET LOCAL lock_timeout = " + milliseconds(lock) + ";\n"
	}
	return text
}

// milliseconds is at least one, unless d is none.
func milliseconds(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return fmt.Sprint(max(1, d.Milliseconds()))
}
