// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rheostat-go/rheostat/migrate"
)

func migrator(t *testing.T, p *pgxpool.Pool, owner string) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(open(t, p), migrate.Options{Owner: owner, Lease: 5 * time.Second, Poll: 10 * time.Millisecond, Throttle: migrate.Throttle{Duty: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func build(id string) migrate.Change {
	return migrate.Change{ID: id, Ops: []migrate.Op{migrate.AddIndex{Table: "orders", Name: "orders_total", Columns: []string{"total", "lower(\"The \"\"Note\")"}}}}
}

// indexes counts those of that name, valid and not.
func indexes(t *testing.T, p *pgxpool.Pool) (valid, invalid int) {
	t.Helper()
	err := p.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE indisvalid), count(*) FILTER (WHERE NOT indisvalid)
		FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relname LIKE 'orders_total%'`).Scan(&valid, &invalid)
	if err != nil {
		t.Fatal(err)
	}
	return valid, invalid
}

// waiting is the backend that builds an index and waits for a transaction to end.
func waiting(t *testing.T, p *pgxpool.Pool) (pid int) {
	t.Helper()
	eventually(t, "an index is being built", func() bool {
		err := p.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'`).Scan(&pid)
		return err == nil
	})
	return pid
}

// reader is a transaction that has read a table and does not end.
func reader(t *testing.T, p *pgxpool.Pool, table string) pgx.Tx {
	t.Helper()
	tx, err := p.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM "+table); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestAnIndexWhoseBuildWasKilledIsBuiltAnew(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	m := migrator(t, p, "ann")
	if _, err := p.Exec(t.Context(), shopSchema); err != nil {
		t.Fatal(err)
	}
	tx := reader(t, p, "orders")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Reach(ctx, build("killed"), migrate.Ready) }()
	pid := waiting(t, p)
	if valid, invalid := indexes(t, p); valid != 0 || invalid != 1 {
		t.Fatalf("%d indexes are valid and %d not, while it is built", valid, invalid)
	}
	cancel()
	if _, err := p.Exec(t.Context(), "SELECT pg_terminate_backend($1)", pid); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Fatal("whoever was killed says that it is done")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the invalid index is left", func() bool { _, invalid := indexes(t, p); return invalid == 1 })
	if err := migrator(t, p, "ann").Reach(t.Context(), build("killed"), migrate.Ready); err != nil {
		t.Fatal(err)
	}
	if valid, invalid := indexes(t, p); valid != 1 || invalid != 0 {
		t.Errorf("%d indexes are valid and %d not", valid, invalid)
	}
	if err := m.Rollback(t.Context(), "killed", "to see it go"); err != nil {
		t.Fatal(err)
	}
	if valid, invalid := indexes(t, p); valid+invalid != 0 {
		t.Errorf("after the rollback %d indexes are valid and %d not", valid, invalid)
	}
}

func TestAnIndexIsBuiltBesideATransactionAndASecondRunner(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	first, second := migrator(t, p, "ann"), migrator(t, p, "bob")
	if _, err := p.Exec(t.Context(), shopSchema); err != nil {
		t.Fatal(err)
	}
	tx := reader(t, p, "orders")
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i, m := range []*migrate.Migrator{first, second} {
		group.Go(func() { errs[i] = m.Reach(t.Context(), build("beside"), migrate.Ready) })
	}
	waiting(t, p)
	if _, err := p.Exec(t.Context(), "UPDATE orders SET total = total + 1"); err != nil {
		t.Errorf("a writer beside it: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	var deadlocks int
	if err := p.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks); err != nil || deadlocks != 0 {
		t.Errorf("%d deadlocks (%v)", deadlocks, err)
	}
	if valid, invalid := indexes(t, p); valid != 1 || invalid != 0 {
		t.Errorf("%d indexes are valid and %d not", valid, invalid)
	}
}

// TestALongReaderAheadOfAChangeStopsWritersForALockTimeoutAtMost has a report that reads for five
// seconds, a change of the table behind it, and a writer behind that.
func TestALongReaderAheadOfAChangeStopsWritersForALockTimeoutAtMost(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	m := migrator(t, p, "ann")
	if _, err := p.Exec(t.Context(), shopSchema); err != nil {
		t.Fatal(err)
	}
	const reads = 5 * time.Second
	tx := reader(t, p, "users")
	began, done := time.Now(), make(chan error, 1)
	go func() {
		c := migrate.Change{ID: "behind", Ops: []migrate.Op{migrate.AddColumn{Table: "users", Column: "more", Type: "int"}}}
		done <- m.Reach(t.Context(), c, migrate.Ready)
	}()
	var longest time.Duration
	writes := 0
	for ended := false; !ended; writes++ {
		if time.Since(began) > reads && tx != nil {
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			tx = nil
		}
		asked := time.Now()
		if _, err := p.Exec(t.Context(), "UPDATE users SET age = age + 1 WHERE id = $1", writes%100+1); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(asked))
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
	}
	t.Logf("the longest of %d writes took %v, with a lock timeout of 75 ms", writes, longest)
	if longest > reads/2 {
		t.Errorf("a write took %v: it waited for the reader", longest)
	}
	if time.Since(began) < reads {
		t.Error("the table was changed beneath the reader")
	}
}
