// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/postgres"
)

// TestAnEarlierLayoutIsBroughtUp has a schema whose functions are of an earlier version, with a
// record in its tables: what is there stays, and what it lacks is made.
func TestAnEarlierLayoutIsBroughtUp(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	r := migrate.Record{ID: "c", Kind: migrate.Coupled, Order: migrate.Order{Want: migrate.RolledBack}}
	if err := db.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	const earlier = `
CREATE OR REPLACE FUNCTION rheostat.save(record_id text, next_rev bigint, next_phase text, next_state json) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'of an earlier version'; END $$;
DROP INDEX rheostat.record_app;
UPDATE rheostat.layout SET version = 1`
	if _, err := p.Exec(t.Context(), earlier); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for range 4 { // processes of a fleet
		go func() {
			again, err := postgres.New(p, postgres.Options{})
			failed <- errors.Join(err, again.Setup(t.Context()))
		}()
	}
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	s, err := db.Lock(t.Context(), "change:c", "ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	state := next(migrate.State{}, migrate.Soaking)
	if err := s.Do(t.Context(), "c", migrate.Work{}, state); err != nil {
		t.Error(err)
	}
	if err := s.Do(t.Context(), "c", migrate.Work{}, next(state, migrate.Contracting)); !errors.Is(err, migrate.ErrRetry) {
		t.Errorf("it contracts over an order to go back: %v", err)
	}
}

func TestALaterLayoutIsRefused(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	if _, err := p.Exec(t.Context(), "UPDATE rheostat.layout SET version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Setup(t.Context()); err == nil || !strings.Contains(err.Error(), "layout 99") {
		t.Errorf("Setup says %v", err)
	}
}
