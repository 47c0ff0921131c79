// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is clients of the old version: each does fifty operations a second, and remembers every
// write that was acknowledged.
type load struct {
	writers []*writer
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

const pace = 20 * time.Millisecond

// writer owns the ids that leave its number as a remainder, and the rows that it inserts.
type writer struct {
	n, of, rows int
	conn        *pgx.Conn
	random      *rand.Rand
	emails      map[int64]string
	mine        []int64
	samples     []sample
	failed      int64
	err         error
}

// sample is one operation: when it was due, and how long after that it was done. took is
// without what it waited for its own predecessor.
type sample struct {
	due       time.Time
	late, own time.Duration
}

func newLoad(ctx context.Context, url string, writers, rows int) (*load, error) {
	l := &load{}
	running, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	for i := range writers {
		conn, err := connect(ctx, url, "writer")
		if err != nil {
			cancel()
			return nil, err
		}
		w := &writer{n: i, of: writers, rows: rows, conn: conn, random: rand.New(rand.NewPCG(1, uint64(i))), emails: map[int64]string{}} //nolint:gosec // repeatable
		l.writers = append(l.writers, w)
	}
	for i, w := range l.writers {
		l.group.Go(func() { w.run(running, time.Now().Add(pace*time.Duration(i)/time.Duration(writers))) })
	}
	return l, nil
}

// run works to a timetable: an operation that is late makes the next one late.
func (w *writer) run(ctx context.Context, due time.Time) {
	for ; ; due = due.Add(pace) {
		if sleep(ctx, time.Until(due)) != nil {
			return
		}
		began := time.Now()
		if err := w.do(context.WithoutCancel(ctx)); err != nil {
			w.failed++
			if w.err == nil {
				w.err = err
			}
		}
		now := time.Now()
		w.samples = append(w.samples, sample{due, now.Sub(due), now.Sub(began)})
	}
}

// do is a fifth updates of the column that is replaced, three tenths of others, a fifth inserts
// and the rest reads.
func (w *writer) do(ctx context.Context) error {
	id := int64(w.random.IntN(max(w.rows/w.of, 1))*w.of + w.n + 1)
	if len(w.mine) > 0 && w.random.IntN(8) == 0 {
		id = w.mine[w.random.IntN(len(w.mine))]
	}
	email := fmt.Sprintf("w%d-%d@example.org", w.n, w.random.Uint64())
	switch k := w.random.IntN(10); {
	case k < 2:
		done, err := w.conn.Exec(ctx, "UPDATE users SET email = $1, updated = now() WHERE id = $2", email, id)
		if err == nil && done.RowsAffected() == 1 {
			w.emails[id] = email
		}
		return err
	case k < 5:
		_, err := w.conn.Exec(ctx, "UPDATE users SET status = status + 1, updated = now() WHERE id = $1", id)
		return err
	case k < 7:
		err := w.conn.QueryRow(ctx, "INSERT INTO users (email, name, note) VALUES ($1, 'new', repeat('y', 90)) RETURNING id", email).Scan(&id)
		if err == nil {
			w.emails[id] = email
			w.mine = append(w.mine, id)
		}
		return err
	}
	var found string
	return w.conn.QueryRow(ctx, "SELECT email FROM users WHERE id = $1", id).Scan(&found)
}

func (l *load) stop() {
	l.cancel()
	l.group.Wait()
	for _, w := range l.writers {
		_ = w.conn.Close(context.Background())
	}
}

// p99 is the latency, from when an operation was due, while the backfill worked and while it
// did not.
func (l *load) p99(spans []span) (on, off time.Duration) {
	var all [2][]time.Duration
	for _, w := range l.writers {
		for _, s := range w.samples {
			for _, p := range spans {
				if !s.due.Before(p.from) && s.due.Before(p.to) {
					k := 0
					if p.on {
						k = 1
					}
					all[k] = append(all[k], s.late)
				}
			}
		}
	}
	return quantile(all[1], 0.99), quantile(all[0], 0.99)
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

// longest is the longest that one operation stood still since then.
func (l *load) longest(since time.Time) (longest time.Duration) {
	for _, w := range l.writers {
		for _, s := range w.samples {
			if s.due.Add(s.late).After(since) {
				longest = max(longest, s.own)
			}
		}
	}
	return longest
}

func (l *load) counts() (all, failed int64, first error) {
	for _, w := range l.writers {
		all, failed = all+int64(len(w.samples)), failed+w.failed
		if first == nil {
			first = w.err
		}
	}
	return all, failed, first
}

// check counts acknowledged writes that are not there, and rows whose sides differ.
func (l *load) check(ctx context.Context, c *pgx.Conn) (lost, diverged int64, err error) {
	var ids []int64
	var emails []string
	for _, w := range l.writers {
		for id, email := range w.emails {
			ids, emails = append(ids, id), append(emails, email)
		}
	}
	err = c.QueryRow(ctx, `SELECT count(*) FROM unnest($1::bigint[], $2::text[]) AS a (id, email)
		WHERE NOT EXISTS (SELECT FROM users AS u WHERE u.id = a.id AND u.email = a.email)`, ids, emails).Scan(&lost)
	if err != nil {
		return 0, 0, err
	}
	err = c.QueryRow(ctx, "SELECT count(*) FROM users WHERE new_email IS DISTINCT FROM email").Scan(&diverged)
	return lost, diverged, err
}
