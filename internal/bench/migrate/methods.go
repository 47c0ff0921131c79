// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	core "github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/postgres"
)

// method is one way to add new_email to users and fill it.
type method struct {
	name string
	// hold says that it works and rests in turn.
	hold bool
	run  func(ctx context.Context, s *site) error
}

// single is what is done where nobody thinks about it.
var single = method{name: "single UPDATE, no sync", run: func(ctx context.Context, s *site) error {
	if err := s.sql(ctx, "ALTER TABLE users ADD COLUMN new_email text"); err != nil {
		return err
	}
	if err := s.backfill(ctx, func() error { return s.sql(ctx, "UPDATE users SET new_email = email") }); err != nil {
		return err
	}
	_ = s.sql(ctx, "SET lock_timeout = '100ms'; ALTER TABLE users ALTER COLUMN new_email SET NOT NULL") // refused while rows are missing
	return nil
}}

// free is a walk that nothing holds back.
var free = core.Throttle{Batch: 50 * time.Millisecond, Duty: 1, Blocked: 1 << 30, Log: 2, Lag: time.Hour, Snapshot: time.Hour}

var (
	keyset = method{name: "keyset, unthrottled", hold: true, run: product(free, "keyset")}
	hot    = method{name: "hot walk, unthrottled", hold: true, run: product(free, "hot")}
	gentle = method{name: "hot walk, default throttle", hold: true, run: product(core.Throttle{}, "hot")}
)

// product replaces the column with this project's Migrator, up to the phase in which the new
// version may have traffic.
func product(t core.Throttle, walk string) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error {
		db, err := postgres.New(s.pool, postgres.Options{})
		if err != nil {
			return err
		}
		if err := db.Setup(ctx); err != nil {
			return err
		}
		d := &observed{Database: db, site: s, walk: walk, free: t.Duty == 1}
		m, err := core.New(d, core.Options{Throttle: t, Observe: func(ctx context.Context, e core.Event) {
			if e.Kind == core.PhaseEntered && e.Phase == core.Backfilling {
				d.fail(s.begin(ctx))
			}
			if e.Kind == core.PhaseEntered && e.Phase == core.Verifying {
				d.fail(s.end(ctx))
			}
		}})
		if err != nil {
			return err
		}
		err = m.Reach(ctx, core.Change{ID: "bench", Unguarded: "a bench", Ops: []core.Op{
			core.ReplaceColumn{Table: "users", Old: "email", New: "new_email", Type: "text", NotNull: true},
		}}, core.Ready)
		if err == nil {
			err = d.err
		}
		return err
	}
}

// observed is a Database that walks as it is told, and rests when it is told.
type observed struct {
	core.Database
	site *site
	walk string
	free bool
	err  error
}

func (d *observed) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// DefaultThrottle is that of the Database within.
func (d *observed) DefaultThrottle() core.Throttle {
	if own, ok := d.Database.(interface{ DefaultThrottle() core.Throttle }); ok {
		return own.DefaultThrottle()
	}
	return core.Throttle{}
}

func (d *observed) Compile(ctx context.Context, c core.Change) (core.Script, error) {
	script, err := d.Database.Compile(ctx, c)
	for i := range script.Steps {
		if w := script.Steps[i].Walk; w != nil {
			w.Method = d.walk
		}
	}
	return script, err
}

func (d *observed) Lock(ctx context.Context, name, owner string, lease time.Duration) (core.Session, error) {
	s, err := d.Database.Lock(ctx, name, owner, lease)
	if err != nil {
		return nil, err
	}
	return &observedSession{Session: s, d: d}, nil
}

type observedSession struct {
	core.Session
	d *observed
}

func (s *observedSession) Batch(ctx context.Context, b core.BatchOrder) (core.Batch, error) {
	s.d.site.gate.RLock()
	defer s.d.site.gate.RUnlock()
	return s.Session.Batch(ctx, b)
}

func (s *observedSession) Pressure(ctx context.Context) (core.Pressure, error) {
	if s.d.free {
		return core.Pressure{}, nil
	}
	return s.Session.Pressure(ctx)
}

// pgroll has its binary do the part that is done while old clients write, and the rest when
// there are none.
func pgroll(path string) method {
	return method{name: "pgroll, batches of 1,000", run: func(ctx context.Context, s *site) error {
		dir, err := os.MkdirTemp("", "pgroll-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for what may be lost
		file := filepath.Join(dir, "01_new_email.json")
		text := `{"operations":[{"add_column":{"table":"users","up":"email","column":{"name":"new_email","type":"text","nullable":false}}}]}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		run := func(args ...string) error {
			out, err := exec.CommandContext(ctx, path, append(args, "--postgres-url", s.url)...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("pgroll %s: %w\n%s", args[0], err, out)
			}
			return err
		}
		// Without a baseline, start says that it wants one, does nothing and ends well.
		for _, args := range [][]string{{"init"}, {"baseline", "00_baseline", dir, "--yes"}} {
			if err := run(args...); err != nil {
				return err
			}
		}
		if err := s.backfill(ctx, func() error { return run("start", file) }); err != nil {
			return err
		}
		s.after = append(s.after, func() error { return run("complete") })
		return nil
	}}
}

// gate lets batches through, or holds them.
type gate struct {
	sync.RWMutex
	mu    sync.Mutex
	spans []span
}

// span is when a backfill worked (on), or rested.
type span struct {
	from, to time.Time
	on       bool
}

func (g *gate) add(from time.Time, on bool) time.Time {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spans = append(g.spans, span{from, now, on})
	return now
}

// swing opens and closes the gate until ctx ends.
func (g *gate) swing(ctx context.Context, on, off time.Duration) {
	from := time.Now()
	for {
		select {
		case <-ctx.Done():
			g.add(from, true)
			return
		case <-time.After(on):
		}
		g.Lock()
		from = g.add(from, true)
		select {
		case <-ctx.Done():
		case <-time.After(off):
			from = g.add(from, false)
		}
		g.Unlock()
	}
}
