// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// Cursor is how far one shard of a walk is. It is saved in the transaction of the batch
// that moved it.
type Cursor struct {
	ID          string
	Step, Shard int
	// Position is the adapter's, as text. Empty is before the first row.
	Position string
	// Rows were written, Seen were looked at, Total is estimated. Total and Worked are of
	// this shard alone.
	Rows, Seen, Total int64
	Worked            time.Duration
	Done              bool
	found             bool
}

// Cursor reads a cursor. One that is not there is at its beginning.
func (x *Session) Cursor(ctx context.Context, tx *sql.Tx, id string, step, shard int) (Cursor, error) {
	c := Cursor{ID: id, Step: step, Shard: shard}
	var worked int64
	err := tx.QueryRowContext(ctx, "SELECT position, `rows`, seen, total, worked, done FROM rheostat_cursor WHERE id = ? AND step = ? AND shard = ?", id, step, shard).
		Scan(&c.Position, &c.Rows, &c.Seen, &c.Total, &worked, &c.Done)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	c.Worked, c.found = time.Duration(worked)*time.Microsecond, true
	return c, err
}

// Save saves a cursor that was read in the same transaction.
func (x *Session) Save(ctx context.Context, tx *sql.Tx, c Cursor) error {
	query := "INSERT INTO rheostat_cursor (position, `rows`, seen, total, worked, done, id, step, shard) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
	if c.found {
		query = "UPDATE rheostat_cursor SET position = ?, `rows` = ?, seen = ?, total = ?, worked = ?, done = ? WHERE id = ? AND step = ? AND shard = ?"
	}
	_, err := tx.ExecContext(ctx, query, c.Position, c.Rows, c.Seen, c.Total, c.Worked.Microseconds(), c.Done, c.ID, c.Step, c.Shard)
	return err
}

// Progress is that of a whole walk, over its shards, as a transaction or a database sees it.
func (x *Session) Progress(ctx context.Context, q querier, id string, step int) (migrate.Progress, error) {
	all, err := progress(ctx, q, "WHERE id = ? AND step = ? ", id, step)
	if err != nil || len(all[id]) == 0 {
		return migrate.Progress{Step: step}, err
	}
	return all[id][0], nil
}

func (s *Store) progress(ctx context.Context, where string, args ...any) (map[string][]migrate.Progress, error) {
	all, err := progress(ctx, s.db, where, args...)
	return all, s.d.Classify(err)
}

// progress is that of walks, by their change.
func progress(ctx context.Context, q querier, where string, args ...any) (map[string][]migrate.Progress, error) {
	all := map[string][]migrate.Progress{}
	_, err := rows(ctx, q, "SELECT id, step, SUM(`rows`), SUM(seen), SUM(total), SUM(worked), MIN(done) FROM rheostat_cursor "+where+"GROUP BY id, step ORDER BY id, step",
		func(row scanner) (struct{}, error) {
			var id string
			var p migrate.Progress
			var worked int64
			err := row.Scan(&id, &p.Step, &p.Rows, &p.Seen, &p.Total, &worked, &p.Done)
			p.Worked = time.Duration(worked) * time.Microsecond
			if p.Done {
				p.Share = 1
			} else if p.Total > 0 {
				p.Share = min(float64(p.Seen)/float64(p.Total), 1)
			}
			all[id] = append(all[id], p)
			return struct{}{}, err
		}, args...)
	return all, err
}
