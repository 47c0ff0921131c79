// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// method is how this package walks: in the order of the primary key.
const method = "keyset"

const (
	firstSize = 500
	samples   = 5
)

// position is where a walk is. Keys are as the server writes them as text, in hexadecimal,
// so that any type and any collation comes back as it was.
type position struct {
	At  []string `json:"at,omitempty"`
	End []string `json:"end"`
	// Binary says of each column of the key whether it holds bytes and not text.
	Binary []bool `json:"binary"`
}

// Batch does the next rows of a walk in the order of their primary key, which InnoDB keeps
// them in. One shard does it all: two would write to the same pages and the same log.
func (s *session) Batch(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	if o.Shard > 0 {
		return s.idle(ctx, o)
	}
	if o.Size <= 0 {
		o.Size = firstSize
	}
	b := batch{BatchOrder: o, s: s, out: migrate.Batch{Size: o.Size}}
	err := s.Tx(ctx, o.LockTimeout, func(tx *sql.Tx) error { return b.do(ctx, tx) })
	return b.out, err
}

// idle is the batch of a shard that has nothing to do.
func (s *session) idle(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	b := migrate.Batch{Size: max(o.Size, 1), Done: true}
	err := s.Tx(ctx, o.LockTimeout, func(tx *sql.Tx) (err error) {
		b.Progress, err = s.Progress(ctx, tx, o.ID, o.Step)
		return err
	})
	return b, err
}

type batch struct {
	migrate.BatchOrder

	s   *session
	out migrate.Batch
	at  position
}

func (b *batch) do(ctx context.Context, tx *sql.Tx) error {
	began := time.Now()
	b.out = migrate.Batch{Size: b.Size}
	c, err := b.s.Cursor(ctx, tx, b.ID, b.Step, 0)
	if err != nil {
		return err
	}
	if err := b.begin(ctx, tx, &c); err != nil {
		return err
	}
	to, err := b.limit(ctx, tx)
	if err != nil {
		return err
	}
	if to != nil {
		if err := b.work(ctx, tx, to); err != nil {
			return err
		}
		b.at.At = to
	}
	c.Done = to == nil || slices.Equal(to, b.at.End)
	text, err := json.Marshal(b.at)
	if err != nil {
		return err
	}
	b.out.Took = time.Since(began)
	c.Position, c.Worked = string(text), c.Worked+b.out.Took
	c.Rows, c.Seen = c.Rows+b.out.Rows, c.Seen+b.out.Seen
	c.Total = max(c.Total, c.Seen)
	if c.Done {
		c.Total = c.Seen
	}
	if err := b.s.Save(ctx, tx, c); err != nil {
		return err
	}
	b.out.Done = c.Done
	b.out.Progress, err = b.s.Progress(ctx, tx, b.ID, b.Step)
	return err
}

// begin reads the position, or makes the first: rows behind the last of now are written by
// clients, and the triggers see to them.
func (b *batch) begin(ctx context.Context, tx *sql.Tx, c *sqlstate.Cursor) error {
	if c.Position != "" && !b.Restart {
		if err := json.Unmarshal([]byte(c.Position), &b.at); err != nil {
			return fmt.Errorf("mysql: the cursor of %s: %w", b.ID, err)
		}
		return nil
	}
	c.Rows, c.Seen, c.Worked, c.Done = 0, 0, 0, false
	err := tx.QueryRowContext(ctx, "SELECT COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?", b.Walk.Table).Scan(&c.Total)
	if err != nil {
		return err
	}
	if b.at, err = b.types(ctx, tx); err != nil {
		return err
	}
	last, err := b.keys(ctx, tx, "SELECT "+b.selected()+" FROM "+quote(b.Walk.Table)+" ORDER BY "+b.ordered(" DESC")+" LIMIT 1")
	if err == nil && len(last) > 0 {
		b.at.End = last[0]
	}
	return err
}

// types is a position that knows the key's types.
func (b *batch) types(ctx context.Context, tx *sql.Tx) (position, error) {
	p := position{Binary: make([]bool, len(b.Walk.Key))}
	for i, k := range b.Walk.Key {
		err := tx.QueryRowContext(ctx, "SELECT data_type IN ('binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob', 'bit') FROM information_schema.columns"+
			" WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?", b.Walk.Table, k).Scan(&p.Binary[i])
		if err != nil {
			return p, fmt.Errorf("column %s of the key: %w", k, err)
		}
	}
	return p, nil
}

func (b *batch) selected() string {
	parts := make([]string, len(b.Walk.Key))
	for i, k := range b.Walk.Key {
		if parts[i] = "HEX(CAST(" + quote(k) + " AS CHAR CHARACTER SET utf8mb4))"; b.at.Binary[i] {
			parts[i] = "HEX(" + quote(k) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

func (b *batch) ordered(direction string) string {
	return listed(b.Walk.Key, func(k string) string { return quote(k) + direction })
}

// value is the value of a column of a key as SQL.
func (b *batch) value(key []string, i int) string {
	if b.at.Binary[i] {
		return "X'" + key[i] + "'"
	}
	return "CONVERT(X'" + key[i] + "' USING utf8mb4)"
}

// compare is the condition of the rows before, or behind, a key, written out so that the
// server can use the primary key for it.
func (b *batch) compare(key []string, operator string, orEqual bool) string {
	var either []string
	for i := range key {
		var all []string
		for j := range i {
			all = append(all, quote(b.Walk.Key[j])+" = "+b.value(key, j))
		}
		op := operator
		if orEqual && i == len(key)-1 {
			op += "="
		}
		either = append(either, strings.Join(append(all, quote(b.Walk.Key[i])+" "+op+" "+b.value(key, i)), " AND "))
	}
	return "(" + strings.Join(either, " OR ") + ")"
}

// left is the condition of the rows that are left, up to and with a key.
func (b *batch) left(to []string) string {
	where := b.compare(to, "<", true)
	if b.at.At != nil {
		where = b.compare(b.at.At, ">", false) + " AND " + where
	}
	return where
}

// limit is the key of the batch's last row; nil if there is none.
func (b *batch) limit(ctx context.Context, tx *sql.Tx) ([]string, error) {
	if b.at.End == nil || slices.Equal(b.at.At, b.at.End) {
		return nil, nil
	}
	from := " FROM " + quote(b.Walk.Table) + " WHERE " + b.left(b.at.End)
	last, err := b.keys(ctx, tx, fmt.Sprintf("SELECT %s%s ORDER BY %s LIMIT 1 OFFSET %d", b.selected(), from, b.ordered(""), b.Size-1))
	if err != nil {
		return nil, err
	}
	if len(last) > 0 {
		b.out.Seen = int64(b.Size)
		return last[0], nil
	}
	err = tx.QueryRowContext(ctx, "SELECT count(*)"+from).Scan(&b.out.Seen)
	if b.out.Seen == 0 {
		return nil, err
	}
	return b.at.End, err
}

// work writes the rows up to a key, or counts those that are wrong.
func (b *batch) work(ctx context.Context, tx *sql.Tx, to []string) error {
	where := " FROM " + quote(b.Walk.Table) + " WHERE " + b.left(to) + " AND (" + b.Walk.Pending + ")"
	if b.Walk.Verify {
		return b.count(ctx, tx, where)
	}
	if b.Walk.Into != "" { // the triggers that copy back have nothing to do
		if _, err := tx.ExecContext(ctx, "SET @_rh_split = 1"); err != nil {
			return err
		}
	}
	done, err := tx.ExecContext(ctx, b.statement(to, where))
	if err == nil {
		b.out.Rows, err = done.RowsAffected()
	}
	if b.Walk.Into != "" {
		_, reset := tx.ExecContext(context.WithoutCancel(ctx), "SET @_rh_split = NULL")
		err = errors.Join(err, reset)
	}
	return err
}

func (b *batch) statement(to []string, where string) string {
	if b.Walk.Into != "" {
		columns := listed(append(slices.Clone(b.Walk.Key), b.Walk.Columns...), quote)
		// The rows are locked, so that none is copied that a client deletes meanwhile.
		key := quote(b.Walk.Into) + "." + quote(b.Walk.Key[0])
		return "INSERT INTO " + quote(b.Walk.Into) + " (" + columns + ") SELECT " + columns + where + " LOCK IN SHARE MODE ON DUPLICATE KEY UPDATE " + key + " = " + key
	}
	set := make([]string, len(b.Walk.Set))
	for i, a := range b.Walk.Set {
		set[i] = quote(a.Column) + " = " + a.Value
	}
	return "UPDATE " + quote(b.Walk.Table) + " SET " + strings.Join(set, ", ") + " WHERE " + b.left(to) + " AND (" + b.Walk.Pending + ")"
}

func (b *batch) count(ctx context.Context, tx *sql.Tx, where string) error {
	if err := tx.QueryRowContext(ctx, "SELECT count(*)"+where).Scan(&b.out.Rows); err != nil || b.out.Rows == 0 {
		return err
	}
	key := listed(b.Walk.Key, quote)
	return b.each(ctx, tx, fmt.Sprintf("SELECT CONCAT_WS(', ', %s)%s LIMIT %d", key, where, samples), 1, func(values []string) {
		b.out.Sample = append(b.out.Sample, key+" = "+values[0])
	})
}

func (b *batch) keys(ctx context.Context, tx *sql.Tx, query string) (all [][]string, err error) {
	err = b.each(ctx, tx, query, len(b.Walk.Key), func(values []string) { all = append(all, values) })
	return all, err
}

func (b *batch) each(ctx context.Context, tx *sql.Tx, query string, n int, f func([]string)) (err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		values, into := make([]string, n), make([]any, n)
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		f(values)
	}
	return rows.Err()
}
