// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
)

// TestAReaderAheadOfAChangeStallsNobodyForLong has a transaction that has read the table stay
// open for five seconds. A change of the table waits for it, and writers queue behind the
// change: for as long as one statement may wait, and not for as long as the reader stays.
func TestAReaderAheadOfAChangeStallsNobodyForLong(t *testing.T) {
	t.Parallel()
	again := open(t, dbtest.MariaDB(t, dbtest.Options{Fast: true}))
	db := again()
	for _, text := range []string{"CREATE TABLE users (id int PRIMARY KEY, name varchar(20))", "INSERT INTO users VALUES (1, 'ann')"} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	const stays = 5 * time.Second
	reader := reads(t, again(), stays)
	const lock = 75 * time.Millisecond
	var retried atomic.Int64
	m, err := migrate.New(database(t, db), migrate.Options{Owner: "ann", LockTimeout: lock, Observe: func(_ context.Context, e migrate.Event) {
		if e.Kind == migrate.Retried {
			retried.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Database().Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	longest := make(chan time.Duration)
	go func() { longest <- writes(ctx, t, again()) }()
	change := migrate.Change{ID: "c", Ops: []migrate.Op{migrate.AddColumn{Table: "users", Column: "mail", Type: "varchar(200)"}}}
	if err := m.Reach(t.Context(), change, migrate.Done); err != nil {
		t.Error(err)
	}
	select {
	case <-reader:
	default:
		t.Error("the column was added beside a transaction that reads")
	}
	cancel()
	worst := <-longest
	t.Logf("a writer waited for %v at most; %d statements were given up", worst, retried.Load())
	if retried.Load() == 0 {
		t.Error("nothing had to wait")
	}
	if worst > stays/2 {
		t.Errorf("a writer waited for %v, and a statement may wait for %v", worst, lock)
	}
}

// reads opens a transaction that reads users and stays for a while; the channel says when it ends.
func reads(t *testing.T, db *sql.DB, stays time.Duration) <-chan struct{} {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM users").Scan(&n); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	time.AfterFunc(stays, func() {
		close(ended)
		_ = tx.Rollback()
	})
	return ended
}

// writes writes until ctx ends, and returns how long a write took at most.
func writes(ctx context.Context, t *testing.T, db *sql.DB) (worst time.Duration) {
	t.Helper()
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if _, err := db.ExecContext(context.WithoutCancel(ctx), "UPDATE users SET name = ? WHERE id = 1", i); err != nil {
			t.Error(err)
		}
		worst = max(worst, time.Since(began))
		time.Sleep(time.Millisecond)
	}
	return worst
}
