// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// site is one database during one measurement.
type site struct {
	url    string
	pool   *pgxpool.Pool
	eye    *pgx.Conn // of the observer; one goroutine at a time
	eyes   sync.Mutex
	gate   gate
	after  []func() error // once there are no writers
	load   *load
	plan   Plan
	hold   bool
	stop   context.CancelFunc // of the swing
	swung  chan struct{}
	m      Measured
	from   time.Time
	cpu    map[int]ticks
	waited time.Duration
	lsn    string
}

type ticks struct{ first, last int64 }

// Measured is what came of one case.
type Measured struct {
	Rows float64
	// Took is the backfill, and Worked the part of it that was not rest.
	Took, Worked   time.Duration
	CPU            time.Duration // of the server, for the migration
	WAL            int64
	Before, After  int64 // bytes of table and indexes
	HOT            float64
	On, Off        time.Duration // p99
	Wait, Stall    time.Duration
	Diverged, Lost int64
	Failed, Writes int64
	Total          time.Duration
	firstErr       error
}

// measure has a method do its work on a copy of the database.
func (b *bench) measure(ctx context.Context, m method, writers int) (Measured, error) {
	name, err := b.fresh(ctx)
	if err != nil {
		return Measured{}, err
	}
	s := &site{url: b.server.URL(name), plan: b.Plan, hold: m.hold && writers > 0, cpu: map[int]ticks{}}
	s.m.Rows = float64(b.Rows)
	err = s.measure(ctx, m, writers)
	if err == nil {
		b.say("%s, %d writers: %.0f rows/s, p99 %v on and %v off, stall %v", m.name, writers, s.m.rate(), s.m.On, s.m.Off, s.m.Stall)
		if s.m.firstErr != nil {
			b.say("a write that failed: %v", s.m.firstErr)
		}
		err = b.sql(ctx, "postgres", "DROP DATABASE "+name+" (FORCE)")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", m.name, err)
	}
	return s.m, err
}

func (s *site) measure(ctx context.Context, m method, writers int) (err error) {
	c, err := pgxpool.ParseConfig(s.url)
	if err != nil {
		return err
	}
	c.ConnConfig.RuntimeParams["application_name"] = "migration"
	if s.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return err
	}
	defer s.pool.Close()
	if s.eye, err = connect(ctx, s.url, "observer"); err != nil {
		return err
	}
	defer s.eye.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is done
	if s.m.Before, err = s.size(ctx); err != nil {
		return err
	}
	if s.load, err = newLoad(ctx, s.url, writers, s.plan.Rows); err != nil {
		return err
	}
	if writers > 0 {
		began := time.Now()
		if err := sleep(ctx, s.plan.Before); err != nil {
			return err
		}
		if !s.hold {
			s.gate.add(began, false)
		}
	}
	began := time.Now()
	watching, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { s.watch(watching) })
	err = m.run(ctx, s)
	stop()
	group.Wait()
	s.m.Total = time.Since(began)
	if writers > 0 {
		err = errors.Join(err, sleep(ctx, s.plan.Off/2))
	}
	s.load.stop()
	for _, f := range s.after {
		err = errors.Join(err, f())
	}
	if err != nil {
		return err
	}
	return s.sum(ctx, began)
}

// sum reads what is left and what the writers felt.
func (s *site) sum(ctx context.Context, began time.Time) (err error) {
	if s.m.After, err = s.size(ctx); err != nil {
		return err
	}
	s.m.On, s.m.Off = s.load.p99(s.gate.spans)
	s.m.Stall, s.m.Wait = s.load.longest(began), s.waited
	s.m.Writes, s.m.Failed, s.m.firstErr = s.load.counts()
	if s.m.Lost, s.m.Diverged, err = s.load.check(ctx, s.eye); err != nil {
		return err
	}
	s.m.HOT, err = s.hot(ctx)
	return err
}

// hot is the share of the updates that were made in place. A session tells the server of its
// counts when it ends, or up to ten seconds after its last command.
func (s *site) hot(ctx context.Context) (float64, error) {
	s.pool.Close()
	for begin := time.Now(); ; {
		var hot, all float64
		err := s.eye.QueryRow(ctx, "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'users'").Scan(&hot, &all)
		switch {
		case err != nil:
			return 0, err
		case all >= s.m.Rows:
			return hot / all, nil
		case time.Since(begin) > 30*time.Second:
			return 0, fmt.Errorf("the server counts %.0f updates of %.0f rows", all, s.m.Rows)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// rate is rows a second while it works.
func (m Measured) rate() float64 { return m.Rows / max(m.Worked.Seconds(), 1e-9) }

func connect(ctx context.Context, url, name string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.RuntimeParams["application_name"] = name
	return pgx.ConnectConfig(ctx, c)
}

func (s *site) sql(ctx context.Context, text string) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	_, err = c.Conn().PgConn().Exec(ctx, text).ReadAll()
	return err
}

func (s *site) size(ctx context.Context) (n int64, err error) {
	err = s.eye.QueryRow(ctx, "SELECT pg_total_relation_size('users')").Scan(&n)
	return n, err
}

// backfill is the part whose rate counts.
func (s *site) backfill(ctx context.Context, f func() error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return s.end(ctx)
}

func (s *site) begin(ctx context.Context) error {
	s.eyes.Lock()
	defer s.eyes.Unlock()
	s.from = time.Now()
	if s.hold {
		swing, stop := context.WithCancel(ctx)
		s.stop, s.swung = stop, make(chan struct{})
		go func() { defer close(s.swung); s.gate.swing(swing, s.plan.On, s.plan.Off) }()
	}
	clear(s.cpu)
	if err := s.clock(ctx, true); err != nil {
		return err
	}
	return s.eye.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&s.lsn)
}

func (s *site) end(ctx context.Context) error {
	s.eyes.Lock()
	defer s.eyes.Unlock()
	s.m.Took = time.Since(s.from)
	if s.stop != nil {
		s.stop()
		<-s.swung
	} else {
		s.gate.add(s.from, true)
	}
	for _, p := range s.gate.spans {
		if p.on {
			s.m.Worked += p.to.Sub(p.from)
		}
	}
	if err := s.clock(ctx, false); err != nil {
		return err
	}
	for _, t := range s.cpu {
		s.m.CPU += time.Duration(t.last-t.first) * (time.Second / 100)
	}
	s.cpu = nil
	return s.eye.QueryRow(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint", s.lsn).Scan(&s.m.WAL)
}

// clock reads the CPU time of every backend that is not the writers' nor the observer's. One that
// comes later begins at 0.
func (s *site) clock(ctx context.Context, first bool) error {
	rows, err := s.eye.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
		AND application_name NOT IN ('observer', 'writer')`)
	if err != nil {
		return err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended meanwhile, or this is no Linux
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		t := s.cpu[pid]
		if first {
			t.first = user + system
		}
		t.last = user + system
		s.cpu[pid] = t
	}
	return err
}

// watch looks at the CPU time and at who waits for a lock, until ctx ends.
func (s *site) watch(ctx context.Context) {
	for n := 0; sleep(ctx, 20*time.Millisecond) == nil; n++ {
		s.eyes.Lock()
		var waited float64
		err := s.eye.QueryRow(context.WithoutCancel(ctx), `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8
			FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted AND a.application_name = 'writer'`).Scan(&waited)
		if err == nil {
			s.waited = max(s.waited, time.Duration(waited*float64(time.Second)))
		}
		if n%10 == 0 && s.cpu != nil {
			_ = s.clock(context.WithoutCancel(ctx), false) // the last look tells
		}
		s.eyes.Unlock()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
