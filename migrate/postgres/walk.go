// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rheostat-go/rheostat/migrate"
)

// The methods of a walk. Its tables and columns are named as in the Change, and its
// expressions are SQL.
const (
	// methodHot goes through the pages of the table in the order of the disk, and through each
	// stretch of them several times, a slice of its rows at a time. What the first slice leaves
	// behind when it moves away is room for the others to be updated within their page, without a
	// new entry in any index (HOT). It needs no key.
	methodHot = "hot"
	// methodKeyset goes through the rows in the order of a key.
	methodKeyset = "keyset"
	// methodCopy copies rows into another table, page after page.
	methodCopy = "copy"
)

// batchTimeout is when a batch is given up, so that the rows it holds are not held for longer.
// It is tried again at half the size.
const batchTimeout = 2 * time.Second

// walks are those that a session is at.
type walks struct {
	mu  sync.Mutex
	all map[walkName]*walk
}

type walkName struct {
	id          string
	step, shard int
}

// walk is one shard of a walk as the database last told of it.
type walk struct {
	walkName
	// known says that what follows is what is saved. After an error it may not be: the batch may
	// have been done and its reply lost.
	known bool
	// saved is the cursor's position as text; at is where to go on, which may be elsewhere: a table
	// that was rewritten begins again.
	saved string
	at    position
	tree  tree
	// keyed says that it goes by a key, and not by pages.
	keyed bool
	own   migrate.Progress
	// others is the progress of the other shards.
	others migrate.Progress
	// anew says that what was counted counts no more.
	anew bool
}

func (s *session) walk(b migrate.BatchOrder) *walk {
	s.walks.mu.Lock()
	defer s.walks.mu.Unlock()
	name := walkName{id: b.ID, step: b.Step, shard: b.Shard}
	if s.walks.all == nil {
		s.walks.all = map[walkName]*walk{}
	}
	if s.walks.all[name] == nil {
		s.walks.all[name] = &walk{walkName: name}
	}
	return s.walks.all[name]
}

// Batch does the next batch in one transaction and one round trip. The first batch of a session,
// of a partition, and after an error reads the cursor and the catalog before.
//
// It does not wait for the disk: a crash that loses rows loses the cursor's way over them, too. The
// save that says the walk is done does wait, and makes all before it durable.
func (s *session) Batch(ctx context.Context, b migrate.BatchOrder) (migrate.Batch, error) {
	b.Shards = max(b.Shards, 1)
	w := s.walk(b)
	for range 5 {
		if !w.known || b.Restart {
			if err := s.load(ctx, w, b); err != nil {
				return migrate.Batch{}, err
			}
			b.Restart = false
		}
		if w.own.Done {
			return migrate.Batch{Size: b.Size, Progress: w.progress(), Done: true}, nil
		}
		done, err := s.try(ctx, w, b)
		if err != nil {
			return migrate.Batch{}, err
		}
		if done != nil {
			return *done, nil
		}
	}
	return migrate.Batch{}, fmt.Errorf("%w: the cursor of the walk over %s moves by itself", migrate.ErrRetry, b.Walk.Table)
}

// try does a batch, or returns nil if the cursor is not where it was thought to be, because a
// batch whose reply was lost has moved it, or the table is not the one that it was.
//
//nolint:nilnil // no batch is no error
func (s *session) try(ctx context.Context, w *walk, b migrate.BatchOrder) (*migrate.Batch, error) {
	t := w.turn(b)
	w.known = false
	began := time.Now()
	probed := s.gauge.probe(ctx, s.d)
	results, err := s.d.run(ctx, s.batchText(w, b, t))
	took := time.Since(began)
	probed()
	switch {
	case undefined(err):
		return nil, nil
	case code(err) == brokenOff && ctx.Err() == nil:
		return nil, fmt.Errorf("%w: %w", migrate.ErrRetry, err) // it took too long, and a smaller one will not
	case err != nil:
		return nil, err
	}
	found := results[len(results)-2].Rows // COMMIT is the last
	if len(found) == 0 {
		return nil, nil
	}
	row := found[0]
	done := &migrate.Batch{Size: t.size, Took: took}
	before := w.own.Seen
	if done.Rows, err = w.read(row, b.Step); err != nil {
		return nil, err
	}
	w.known = w.own.Done || w.at.Leaf != 0 // or the next table of the tree is to be found
	if row[8] != nil {
		if err := json.Unmarshal(row[8], &done.Sample); err != nil {
			return nil, err
		}
	}
	s.gauge.block(row[9])
	done.Seen, done.Done, done.Progress = max(w.own.Seen-before, 0), w.own.Done, w.progress()
	return done, nil
}

// read takes in what a batch returned, and how many rows it did.
func (w *walk) read(row [][]byte, step int) (int64, error) {
	var n [5]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(string(row[i]), 10, 64); err != nil {
			return 0, err
		}
	}
	w.own = migrate.Progress{Step: step, Rows: n[1], Seen: n[2], Total: n[3], Worked: time.Duration(n[4]), Done: string(row[7]) == "t"}
	w.saved, w.at, w.anew, w.others = string(row[5]), position{}, false, migrate.Progress{}
	if err := errors.Join(json.Unmarshal(row[5], &w.at), json.Unmarshal(row[6], &w.others)); err != nil {
		return 0, err
	}
	return n[0], nil
}

// progress is that of the whole walk.
func (w *walk) progress() migrate.Progress {
	p := w.own
	p.Rows, p.Seen, p.Total, p.Worked = p.Rows+w.others.Rows, p.Seen+w.others.Seen, p.Total+w.others.Total, p.Worked+w.others.Worked
	p.Done = p.Done && w.others.Done
	p.Seen = max(p.Seen, p.Rows) // where the table was never analysed, seen is a guess
	p.Total = max(p.Total, p.Seen)
	switch {
	case p.Done:
		p.Share = 1
	case p.Total > 0:
		p.Share = min(float64(p.Seen)/float64(p.Total), 0.999)
	}
	return p
}

// undefined says that a table is not there any more.
func undefined(err error) bool { return code(err) == "42P01" }

// code is the server's, or empty.
func code(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// load reads the cursor, and makes it if it is not there; then the tables, and where to go on.
func (s *session) load(ctx context.Context, w *walk, b migrate.BatchOrder) error {
	row, err := s.d.one(ctx, "BEGIN;\n"+setLocal(b.LockTimeout, 0)+s.call("share")+s.cursorText(b)+"COMMIT")
	if err != nil {
		return err
	}
	if _, err := w.read(row, b.Step); err != nil {
		return err
	}
	if w.own.Done && w.at.Of == b.Shards {
		w.known = true
		return nil
	}
	var paged bool
	if w.tree, paged, err = s.d.tree(ctx, b.Walk); err != nil {
		return err
	}
	w.keyed = b.Walk.Method == methodKeyset || !paged
	if w.keyed && len(b.Walk.Key) == 0 {
		return fmt.Errorf("postgres: walk: %s cannot be read page by page and has no key: add a primary key: %w", b.Walk.Table, errors.ErrUnsupported)
	}
	w.aim(b)
	w.known = true
	return nil
}

// cursorText makes the cursor, if it is not there, and reads it. The first shard counts on for
// shards that there were and are not.
func (s *session) cursorText(b migrate.BatchOrder) string {
	text := ""
	if b.Restart {
		text = "UPDATE {s}.cursor SET position = '{}', rows = 0, seen = 0, done = false WHERE " + cursorKey(b) + ";\n"
	}
	return s.d.in(fmt.Sprintf(`%sWITH over AS (
	DELETE FROM {s}.cursor WHERE id = %[2]s AND step = %[3]d AND shard >= %[4]d AND %[5]d = 0 RETURNING rows
)
INSERT INTO {s}.cursor (id, step, shard, position, rows)
SELECT %[2]s, %[3]d, %[5]d, '{}', coalesce(sum(rows), 0) FROM over
ON CONFLICT (id, step, shard) DO UPDATE SET rows = cursor.rows + excluded.rows
RETURNING 0, rows, seen, total, worked, position::text, %[6]s, done;
`, text, literal(b.ID), b.Step, b.Shards, b.Shard, s.others(b)))
}

func cursorKey(b migrate.BatchOrder) string {
	return fmt.Sprintf("cursor.id = %s AND cursor.step = %d AND cursor.shard = %d", literal(b.ID), b.Step, b.Shard)
}

// others is the progress of the other shards as SQL.
func (s *session) others(b migrate.BatchOrder) string {
	if b.Shards == 1 {
		return `'{"done":true}'`
	}
	return s.d.in(fmt.Sprintf(`(SELECT json_build_object('rows', coalesce(sum(rows), 0), 'seen', coalesce(sum(seen), 0),
	'total', coalesce(sum(total), 0), 'worked', coalesce(sum(worked), 0), 'done', count(*) FILTER (WHERE done) = %d)
	FROM {s}.cursor WHERE id = %s AND step = %d AND shard <> %d)`, b.Shards-1, literal(b.ID), b.Step, b.Shard))
}

// batchText is a whole batch. It does nothing, and returns nothing, unless the cursor is where
// the walk was left and the table is the one that it was.
func (s *session) batchText(w *walk, b migrate.BatchOrder, t turn) string {
	same, rows := "", "cursor.rows + "
	if w.at.Node != 0 {
		same = fmt.Sprintf(" AND pg_catalog.pg_relation_filenode(%d) = %d", w.at.Leaf, w.at.Node)
	}
	if w.anew {
		rows = ""
	}
	text := "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n" + setLocal(b.LockTimeout, batchTimeout) + t.set +
		"SET LOCAL jit = off;\nSET LOCAL synchronous_commit = off;\n" + s.call("share")
	return text + s.d.in(fmt.Sprintf(`WITH rh_at AS MATERIALIZED (
	SELECT FROM {s}.cursor WHERE %[1]s AND position::text = %[2]s%[3]s FOR UPDATE
)%[4]s
UPDATE {s}.cursor SET position = %[5]s, rows = %[6]srh.did, seen = %[7]s, total = %[8]d, done = %[9]s,
	worked = worked + (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000000000)::bigint
FROM (%[10]s) AS rh
WHERE %[1]s AND EXISTS (SELECT FROM rh_at)
RETURNING rh.did, cursor.rows, seen, total, worked, position::text, %[11]s, done, rh.sample, %[12]s;
COMMIT`, cursorKey(b), literal(w.saved), same, t.work, t.next, rows, t.seen, w.own.Total, t.done, t.from, s.others(b), s.gauge.blockedText()))
}
