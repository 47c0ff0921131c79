// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// TestWhatTheServerSaysIsClassified has statements fail with the codes of all that befalls a
// connection, and of some faults that are the statement's own.
func TestWhatTheServerSaysIsClassified(t *testing.T) {
	t.Parallel()
	db := open(t, pool(t, database(t)))
	if err := db.Create(t.Context(), migrate.Record{ID: "c", Kind: migrate.Coupled}); err != nil {
		t.Fatal(err)
	}
	s, err := db.Lock(t.Context(), "change:c", "ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	meanings := []error{migrate.ErrLost, migrate.ErrRetry, migrate.ErrLockTimeout}
	for code, want := range map[string]error{
		"08006": migrate.ErrLost, "25006": migrate.ErrLost, "25P03": migrate.ErrLost, "53300": migrate.ErrLost,
		"57P01": migrate.ErrLost, "57P02": migrate.ErrLost, "57P03": migrate.ErrLost, "57P05": migrate.ErrLost,
		"40001": migrate.ErrRetry, "40P01": migrate.ErrRetry, "55P03": migrate.ErrLockTimeout,
		"57014": nil, // of a step: somebody has stopped it, or its own timeout
		"23505": nil, "42703": nil, "53100": nil,
	} {
		statement := fmt.Sprintf("DO $$ BEGIN RAISE EXCEPTION 'so be it' USING ERRCODE = '%s'; END $$", code)
		err := s.Do(t.Context(), "c", migrate.Work{Statements: []string{statement}}, next(migrate.State{}, migrate.Expanding))
		if err == nil {
			t.Fatalf("%s: no error", code)
		}
		for _, meaning := range meanings {
			if errors.Is(err, meaning) != errors.Is(want, meaning) {
				t.Errorf("%s: is %v that it is %v: %v", code, errors.Is(err, meaning), meaning, err)
			}
		}
	}
}

func TestABatchThatTakesTooLongIsTriedAgainSmaller(t *testing.T) {
	t.Parallel()
	g := newGround(t, fmt.Sprintf(users, 1000)+`
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.003); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION slow()`)
	w := fill()
	w.Method = "keyset"
	if _, err := g.s.Batch(t.Context(), migrate.BatchOrder{ID: "walk", Step: 1, Walk: w, Size: 1000}); !errors.Is(err, migrate.ErrRetry) {
		t.Errorf("a batch of three seconds: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := g.s.Batch(ctx, migrate.BatchOrder{ID: "walk", Step: 1, Walk: w, Size: 1000}); errors.Is(err, migrate.ErrRetry) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a batch whose caller has had enough: %v", err)
	}
	g.is("SELECT count(*) FROM users WHERE hits > 0", 0)
	g.walk(w, 100)
	g.is("SELECT count(*) FROM users WHERE hits <> 1", 0)
}

// TestAWalkOutlivesItsConnections has an administrator end every connection, again and again.
func TestAWalkOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	url := database(t)
	p, admin := pool(t, url), pool(t, url)
	if _, err := p.Exec(t.Context(), crashSchema); err != nil {
		t.Fatal(err)
	}
	ended, lost := 0, 0
	m, err := migrate.New(open(t, p), migrate.Options{
		Owner: "ann", Poll: 5 * time.Millisecond, Throttle: migrate.Throttle{Batch: 3 * time.Millisecond, Duty: 0.5},
		Observe: func(ctx context.Context, e migrate.Event) {
			if e.Kind == migrate.Retried {
				lost++
			}
			if e.Kind != migrate.Advanced || ended > 40 {
				return
			}
			const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
			n := 0
			if err := admin.QueryRow(ctx, end).Scan(&n); err != nil {
				t.Error(err)
			}
			ended += n
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	change := migrate.Change{ID: "c", Unguarded: "a test", Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: "c0", New: "c1"}}}
	if err := m.Reach(t.Context(), change, migrate.Ready); err != nil {
		t.Error(err)
	}
	var wrong int
	if err := p.QueryRow(t.Context(), "SELECT count(*) FROM users WHERE c1 IS DISTINCT FROM c0 OR hits <> 1").Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d rows were not filled once: %v", wrong, err)
	}
	t.Logf("%d connections were ended, and the walk was begun again %d times", ended, lost)
	if lost == 0 {
		t.Error("nothing was lost")
	}
}
