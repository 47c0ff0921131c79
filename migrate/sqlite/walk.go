// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// firstSize is how many rows the first batch of a walk has.
const firstSize = 100

// samples is how many keys of wrong rows a batch names.
const samples = 5

type session struct {
	*sqlstate.Session

	d *Database
}

// Pressure is how long the write lock was waited for lately. What others wait for us,
// SQLite does not tell; the throttle's Duty leaves them room.
func (s *session) Pressure(ctx context.Context) (migrate.Pressure, error) {
	if err := s.Check(ctx); err != nil {
		return migrate.Pressure{}, err
	}
	// Below a few milliseconds the difference between two means is chance.
	return migrate.Pressure{Commit: max(s.d.waiting.take(), 5*time.Millisecond)}, nil
}

// position is where a walk is: all rows up to At are done, and it ends at End. Version is
// the schema's when it began, by which a VACUUM shows.
type position struct {
	At      []value `json:"at,omitempty"`
	End     []value `json:"end"`
	Version int64   `json:"version"`
}

// value is a key's value with its type: null, integer, real, text or blob.
type value struct{ v any }

// MarshalJSON writes the type and the value as text.
func (v value) MarshalJSON() ([]byte, error) {
	switch x := v.v.(type) {
	case nil:
		return json.Marshal([]string{"null"})
	case int64:
		return json.Marshal([]string{"integer", strconv.FormatInt(x, 10)})
	case float64:
		return json.Marshal([]string{"real", strconv.FormatFloat(x, 'x', -1, 64)})
	case string:
		return json.Marshal([]string{"text", base64.StdEncoding.EncodeToString([]byte(x))})
	case []byte:
		return json.Marshal([]string{"blob", base64.StdEncoding.EncodeToString(x)})
	}
	return nil, fmt.Errorf("sqlite: a key has a value of type %T", v.v)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *value) UnmarshalJSON(text []byte) error {
	var parts []string
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	if len(parts) == 1 && parts[0] == "null" {
		v.v = nil
		return nil
	}
	if len(parts) != 2 {
		return fmt.Errorf("sqlite: position: %s is no value", text)
	}
	var err error
	switch parts[0] {
	case "integer":
		v.v, err = strconv.ParseInt(parts[1], 10, 64)
	case "real":
		v.v, err = strconv.ParseFloat(parts[1], 64)
	case "text":
		var b []byte
		b, err = base64.StdEncoding.DecodeString(parts[1])
		v.v = string(b)
	case "blob":
		v.v, err = base64.StdEncoding.DecodeString(parts[1])
	default:
		err = fmt.Errorf("sqlite: position: %q is no type", parts[0])
	}
	return err
}

// Batch does the next rows of a walk in the order of their keys. SQLite has one writer, so
// one shard does it all and the others have nothing to do.
func (s *session) Batch(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	if o.Shard > 0 {
		return s.idle(ctx, o)
	}
	b := batch{BatchOrder: o, s: s}
	b.Size = max(o.Size, 1)
	if o.Size <= 0 {
		b.Size = firstSize
	}
	if err := b.prepare(ctx); err != nil {
		return migrate.Batch{}, classify(err)
	}
	asked := time.Now()
	var began time.Time
	err := s.Tx(ctx, o.LockTimeout, func(tx *sql.Tx) error {
		began = time.Now()
		s.d.waiting.add(began.Sub(asked))
		return b.do(ctx, tx, began)
	})
	if err != nil {
		return migrate.Batch{}, err
	}
	b.out.Took, b.out.Size = time.Since(began), b.Size
	if b.Walk.Verify {
		b.out.Took += b.looked // it read before it took the lock
	}
	return b.out, nil
}

// idle is the batch of a shard that has nothing to do.
func (s *session) idle(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	b := migrate.Batch{Size: max(o.Size, 1), Done: true}
	err := s.Check(ctx)
	if err == nil {
		b.Progress, err = s.Progress(ctx, s.d.DB(), o.ID, o.Step)
	}
	return b, classify(err)
}

type batch struct {
	migrate.BatchOrder

	s   *session
	out migrate.Batch
	// from is the cursor that prepare saw. do begins where it is.
	from   sqlstate.Cursor
	at     position
	to     []value
	looked time.Duration
}

// prepare reads, without the write lock, how far the batch goes, and what it can count.
func (b *batch) prepare(ctx context.Context) error {
	began := time.Now()
	tx, err := b.s.d.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it read only
	if b.from, err = b.s.Cursor(ctx, tx, b.ID, b.Step, 0); err != nil {
		return err
	}
	if err := b.begin(ctx, tx); err != nil || b.at.End == nil {
		return err
	}
	if b.to, b.out.Seen, err = b.limit(ctx, tx); err != nil || b.to == nil {
		return err
	}
	if b.Walk.Verify {
		err = b.count(ctx, tx)
	}
	b.looked = time.Since(began)
	return err
}

// begin reads the position, or makes the first. The rows behind the last of now are
// written by clients, and the triggers see to them.
func (b *batch) begin(ctx context.Context, tx *sql.Tx) error {
	var version int64
	if err := tx.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil {
		return err
	}
	if b.from.Position != "" {
		if err := json.Unmarshal([]byte(b.from.Position), &b.at); err != nil {
			return fmt.Errorf("sqlite: the cursor of %s: %w", b.ID, err)
		}
	}
	// VACUUM gives rows new rowids where they are no column's.
	moved := b.Walk.Method == methodRowid && version != b.at.Version
	if b.from.Position != "" && !b.Restart && !moved {
		return nil
	}
	if b.Restart {
		b.from.Rows, b.from.Seen, b.from.Worked = 0, 0, 0
	}
	b.from.Done = false
	b.at = position{Version: version}
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(b.Walk.Table)).Scan(&b.from.Total); err != nil {
		return err
	}
	b.from.Total += b.from.Seen // when it begins again
	end, err := b.keys(ctx, tx, "SELECT "+b.selected()+" FROM "+quote(b.Walk.Table)+" ORDER BY "+b.ordered(" DESC")+" LIMIT 1")
	if err == nil && len(end) > 0 {
		b.at.End = end[0]
	}
	return err
}

// selected are the key's columns without their declared types, for which the driver would
// make times of text.
func (b *batch) selected() string {
	return listed(b.Walk.Key, func(k string) string { return "+" + quote(k) })
}

func (b *batch) ordered(direction string) string {
	return listed(b.Walk.Key, func(k string) string { return quote(k) + direction })
}

// row is the key as a row value.
func (b *batch) row() string {
	if len(b.Walk.Key) == 1 {
		return quote(b.Walk.Key[0])
	}
	return "(" + listed(b.Walk.Key, quote) + ")"
}

func (b *batch) marks() string {
	if len(b.Walk.Key) == 1 {
		return "?"
	}
	return "(" + strings.Repeat("?, ", len(b.Walk.Key)-1) + "?)"
}

// after is the condition of the rows that are left, up to and with a key.
func (b *batch) after(to []value) (string, []any) {
	text, args := b.row()+" <= "+b.marks(), arguments(to)
	if b.at.At != nil {
		text, args = b.row()+" > "+b.marks()+" AND "+text, append(arguments(b.at.At), args...)
	}
	return text, args
}

func arguments(key []value) []any {
	args := make([]any, len(key))
	for i, k := range key {
		args[i] = k.v
	}
	return args
}

// limit is the key of the batch's last row, and how many rows it has.
func (b *batch) limit(ctx context.Context, tx *sql.Tx) ([]value, int64, error) {
	where, args := b.after(b.at.End)
	from := " FROM " + quote(b.Walk.Table) + " WHERE " + where
	last, err := b.keys(ctx, tx, fmt.Sprintf("SELECT %s%s ORDER BY %s LIMIT 1 OFFSET %d", b.selected(), from, b.ordered(""), b.Size-1), args...)
	if err != nil {
		return nil, 0, err
	}
	if len(last) > 0 {
		return last[0], int64(b.Size), nil
	}
	var left int64
	err = tx.QueryRowContext(ctx, "SELECT count(*)"+from, args...).Scan(&left)
	if left == 0 {
		return nil, 0, err
	}
	return b.at.End, left, err
}

// count counts the wrong rows of the batch.
func (b *batch) count(ctx context.Context, tx *sql.Tx) error {
	where, args := b.after(b.to)
	where = " FROM " + quote(b.Walk.Table) + " WHERE " + where + " AND (" + b.Walk.Pending + ")"
	if err := tx.QueryRowContext(ctx, "SELECT count(*)"+where, args...).Scan(&b.out.Rows); err != nil || b.out.Rows == 0 {
		return err
	}
	wrong, err := b.keys(ctx, tx, fmt.Sprintf("SELECT %s%s LIMIT %d", b.selected(), where, samples), args...)
	for _, key := range wrong {
		var parts []string
		for i, v := range key {
			parts = append(parts, fmt.Sprintf("%s=%v", b.Walk.Key[i], v.v))
		}
		b.out.Sample = append(b.out.Sample, strings.Join(parts, " "))
	}
	return err
}

// keys reads keys.
func (b *batch) keys(ctx context.Context, tx *sql.Tx, query string, args ...any) (all [][]value, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		key, into := make([]value, len(b.Walk.Key)), make([]any, len(b.Walk.Key))
		for i := range key {
			into[i] = &key[i].v
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, rows.Err()
}

// do writes the batch and saves where it is.
func (b *batch) do(ctx context.Context, tx *sql.Tx, began time.Time) error {
	now, err := b.s.Cursor(ctx, tx, b.ID, b.Step, 0)
	if err != nil {
		return err
	}
	if now.Position != b.from.Position {
		return fmt.Errorf("%w: the walk was moved meanwhile", migrate.ErrRetry)
	}
	c := b.from
	if b.to != nil && !b.Walk.Verify {
		done, err := b.write(ctx, tx)
		if err != nil {
			return err
		}
		if b.out.Rows, err = done.RowsAffected(); err != nil {
			return err
		}
	}
	if b.to != nil {
		b.at.At = b.to
	}
	c.Done = b.to == nil || same(b.to, b.at.End)
	text, err := json.Marshal(b.at)
	if err != nil {
		return err
	}
	c.Position = string(text)
	c.Rows, c.Seen = c.Rows+b.out.Rows, c.Seen+b.out.Seen
	c.Worked += time.Since(began) + b.looked
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

// write makes the rows right, or copies them.
func (b *batch) write(ctx context.Context, tx *sql.Tx) (sql.Result, error) {
	where, args := b.after(b.to)
	return tx.ExecContext(ctx, statement(b.Walk, where), args...)
}

// statement is what a walk does to the rows of a condition.
func statement(w migrate.Walk, where string) string {
	where += " AND (" + w.Pending + ")"
	if w.Into != "" {
		columns := listed(append(append([]string(nil), w.Key...), w.Columns...), quote)
		return "INSERT INTO " + quote(w.Into) + " (" + columns + ") SELECT " + columns + " FROM " + quote(w.Table) + " WHERE " + where + " ON CONFLICT DO NOTHING"
	}
	set := make([]string, len(w.Set))
	for i, a := range w.Set {
		set[i] = quote(a.Column) + " = " + a.Value
	}
	return "UPDATE " + quote(w.Table) + " SET " + strings.Join(set, ", ") + " WHERE " + where
}

func same(a, b []value) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}
