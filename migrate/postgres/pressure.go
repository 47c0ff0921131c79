// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// DefaultThrottle is what zeros of a migrate.Throttle are here. A batch of some hundred rows, of a
// few milliseconds, costs no more for each row than a large one. It keeps rows to itself for less
// long, and what it has written of the log, which the next commit of anybody has to wait for, is
// less than a megabyte. So batches are short and many; the time between them is the writers'.
func (d *Database) DefaultThrottle() migrate.Throttle {
	return migrate.Throttle{Batch: 10 * time.Millisecond, Duty: 0.8}
}

// gauge is what a session has felt of the load, most of it while a batch ran. It is safe for
// concurrent use.
type gauge struct {
	mu sync.Mutex
	// looked and probed are when the batches last asked who waits for them, and what a commit
	// takes beside them.
	looked, probed time.Time
	waiting        int
	// commit is smoothed: a single one may fall upon anything.
	commit time.Duration
	// oldest is the oldest snapshot, and since when it is that.
	oldest string
	since  time.Time
	sees   *sight
}

// gaugeEvery is how often a batch asks. It costs a commit and a look into the lock table.
const gaugeEvery = 200 * time.Millisecond

// blockedText is how many wait for a lock of this transaction, as SQL at its end; or null.
func (g *gauge) blockedText() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.looked) < gaugeEvery {
		return "NULL"
	}
	g.looked = time.Now()
	return "(SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
}

func (g *gauge) block(text []byte) {
	if n, err := strconv.Atoi(string(text)); err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting = max(g.waiting, n)
	}
}

// commitText is a commit that waits for what the commits of others wait for, and leaves nothing in
// any table.
const commitText = "SELECT pg_catalog.pg_logical_emit_message(true, 'rheostat', '')"

// probe begins a commit beside a batch, if it is time for one, and returns what waits for its end.
func (g *gauge) probe(ctx context.Context, d *Database) (wait func()) {
	g.mu.Lock()
	due := g.sees != nil && g.sees.message && time.Since(g.probed) >= gaugeEvery
	if due {
		g.probed = time.Now()
	}
	g.mu.Unlock()
	if !due || d.pool.Stat().MaxConns() < 2 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if took, err := d.commit(ctx); err == nil {
			g.felt(took)
		}
	}()
	return func() { <-done }
}

// felt takes a commit into account.
func (g *gauge) felt(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.commit == 0 {
		g.commit = took
	}
	g.commit += (took - g.commit) / 5
}

// commit is the time that a small commit takes.
func (d *Database) commit(ctx context.Context) (time.Duration, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return 0, wrap(err)
	}
	defer conn.Release()
	began := time.Now()
	_, err = runOn(ctx, conn.Conn().PgConn(), commitText)
	return time.Since(began), err
}

// sight is what a role may see.
type sight struct {
	message, checkpoint, replicas bool
}

func (d *Database) sight(ctx context.Context) (*sight, error) {
	row, err := d.one(ctx, `SELECT has_function_privilege('pg_catalog.pg_logical_emit_message(boolean, text, text)', 'EXECUTE'),
	has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AND NOT pg_is_in_recovery(),
	pg_has_role('pg_read_all_stats', 'USAGE') OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication)`)
	if err != nil {
		return nil, err
	}
	is := func(i int) bool { return string(row[i]) == "t" }
	return &sight{message: is(0), checkpoint: is(1), replicas: is(2)}, nil
}

// blind says what a walk will not see with this role.
func (d *Database) blind(ctx context.Context) ([]migrate.Note, error) {
	sees, err := d.sight(ctx)
	if err != nil || sees.replicas {
		return nil, err
	}
	return []migrate.Note{{
		Op: -1, Why: "the role cannot see how far replicas are behind, so the walk does not wait for them", Fix: "grant it pg_monitor",
	}}, nil
}

// pressureText reads the lag of replicas in microseconds, the oldest snapshot that keeps dead rows of
// this database, with its age where that may be seen, and how much of the log up to the next
// checkpoint is used. Processes without a role are autovacuum's, which keep nothing.
const pressureText = `
WITH held AS (
	SELECT x.xmin, xact_start AS since FROM pg_catalog.pg_stat_activity, unnest(ARRAY[backend_xmin, backend_xid]) AS x (xmin)
	WHERE pid <> pg_backend_pid() AND usesysid IS NOT NULL AND (datname IS NULL OR datname = current_database())
	UNION ALL SELECT transaction, prepared FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
	UNION ALL SELECT xmin, NULL FROM pg_catalog.pg_replication_slots
), oldest AS (
	SELECT * FROM held WHERE xmin IS NOT NULL ORDER BY age(xmin) DESC, since LIMIT 1
)
SELECT coalesce((SELECT (extract(epoch FROM max(replay_lag)) * 1000000)::bigint FROM pg_catalog.pg_stat_replication), 0),
	coalesce((SELECT xmin::text FROM oldest), ''),
	coalesce((SELECT (extract(epoch FROM clock_timestamp() - since) * 1000000)::bigint FROM oldest), 0),
	`

const logText = `(SELECT least(1, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn) * (1 + current_setting('checkpoint_completion_target')::numeric)
		/ pg_size_bytes(current_setting('max_wal_size'))) FROM pg_catalog.pg_control_checkpoint())`

// Pressure says how the database bears it. Who waited is felt during batches, and told once.
func (s *session) Pressure(ctx context.Context) (migrate.Pressure, error) {
	g := &s.gauge
	if g.sees == nil {
		sees, err := s.d.sight(ctx)
		if err != nil {
			return migrate.Pressure{}, err
		}
		g.mu.Lock()
		g.sees = sees
		g.mu.Unlock()
	}
	text := "0"
	if g.sees.checkpoint {
		text = logText
	}
	row, err := s.d.one(ctx, s.call("look")+pressureText+text)
	if err != nil {
		return migrate.Pressure{}, err
	}
	var n [3]float64
	for i, column := range []int{0, 2, 3} {
		if n[i], err = strconv.ParseFloat(strings.TrimSpace(string(row[column])), 64); err != nil {
			return migrate.Pressure{}, err
		}
	}
	p := migrate.Pressure{Lag: time.Duration(n[0]) * time.Microsecond, Log: n[2]}
	p.Snapshot = g.snapshot(string(row[1]), time.Duration(n[1])*time.Microsecond, time.Now())
	if g.sees.message && g.idle() {
		// What is usual is measured before the first batch. The first commit opens a connection.
		for range 4 {
			took, err := s.d.commit(ctx)
			if err != nil {
				return p, err
			}
			g.felt(took)
		}
	}
	p.Blocked, p.Commit = g.take()
	return p, nil
}

// snapshot is how old the oldest snapshot is, or at least how long it has been the oldest: the times
// of others cannot be seen by every role.
func (g *gauge) snapshot(oldest string, age time.Duration, now time.Time) time.Duration {
	if oldest == "" {
		age = 0
	}
	if oldest == "" || oldest != g.oldest {
		g.oldest, g.since = oldest, now
	}
	if oldest == "" {
		return 0
	}
	return max(age, now.Sub(g.since))
}

// idle says that nothing has been felt yet.
func (g *gauge) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.commit == 0
}

// take is how many waited since the last time, and what a commit takes.
func (g *gauge) take() (waiting int, commit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting, g.waiting = g.waiting, 0
	return waiting, g.commit
}
