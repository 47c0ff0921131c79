// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// BenchmarkBackfill replaces a column of 500,000 rows beside a writer that comes every
// 5 ms, and tells how the writer fared: by itself, while the change became ready, and while
// it was contracted. One UPDATE of all the rows is there for comparison.
func BenchmarkBackfill(b *testing.B) {
	for _, duty := range []float64{0, 1} {
		b.Run(fmt.Sprintf("duty=%v", duty), func(b *testing.B) {
			backfill(b, func(ctx context.Context, m *migrate.Migrator, _ *sqlite.Database, c migrate.Change) error {
				return m.Reach(ctx, c, migrate.Ready)
			}, migrate.Throttle{Duty: duty})
		})
	}
	b.Run("update", func(b *testing.B) {
		backfill(b, func(ctx context.Context, _ *migrate.Migrator, db *sqlite.Database, _ migrate.Change) error {
			_, err := db.DB().ExecContext(ctx, "ALTER TABLE users ADD COLUMN address TEXT")
			if err == nil {
				_, err = db.DB().ExecContext(ctx, "UPDATE users SET address = lower(email)")
			}
			return err
		}, migrate.Throttle{})
	})
}

const benchRows = 500_000

func backfill(b *testing.B, work func(context.Context, *migrate.Migrator, *sqlite.Database, migrate.Change) error, throttle migrate.Throttle) {
	b.Helper()
	for i := range b.N {
		b.StopTimer()
		db, err := sqlite.Open(filepath.Join(b.TempDir(), fmt.Sprint(i)), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		must := func(err error) {
			b.Helper()
			if err != nil {
				b.Fatal(err)
			}
		}
		must(db.Setup(b.Context()))
		for _, query := range []string{
			"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT NOT NULL, filler TEXT)",
			fmt.Sprintf("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < %d) INSERT INTO users SELECT i, 'name ' || i, 'User' || i || '@Example.com', hex(randomblob(65)) FROM r", benchRows),
			"CREATE INDEX users_email ON users (email)",
		} {
			_, err := db.DB().ExecContext(b.Context(), query)
			must(err)
		}
		m, err := migrate.New(db, migrate.Options{Throttle: throttle, LockTimeout: 500 * time.Millisecond})
		must(err)
		w := writing(b, db)
		time.Sleep(2 * time.Second)
		w.report("alone")
		b.StartTimer()
		began := time.Now()
		change := migrate.Change{
			ID: "bench", Unguarded: "the benchmark stops its writer", Soak: time.Nanosecond,
			Ops: []migrate.Op{migrate.ReplaceColumn{Table: "users", Old: "email", New: "address", Type: "TEXT", Up: "lower(email)", Down: "address", NotNull: true}},
		}
		must(work(b.Context(), m, db, change))
		b.ReportMetric(benchRows/time.Since(began).Seconds(), "rows/s")
		b.StopTimer()
		w.report("during")
		w.stop()
		must(db.Close())
	}
}

// writer updates a row every 5 ms, and takes its time.
type writer struct {
	b     *testing.B
	mu    sync.Mutex
	took  []time.Duration
	group sync.WaitGroup
	end   context.CancelFunc
}

func writing(b *testing.B, db *sqlite.Database) *writer {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	w := &writer{b: b, end: cancel}
	w.group.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-tick.C
			began := time.Now()
			if _, err := db.DB().ExecContext(ctx, "UPDATE users SET email = ? WHERE id = ?", fmt.Sprint("Writer", n), 1+n*7919%benchRows); err != nil && ctx.Err() == nil {
				b.Errorf("a writer failed: %v", err)
			}
			w.mu.Lock()
			w.took = append(w.took, time.Since(began))
			w.mu.Unlock()
		}
	})
	return w
}

func (w *writer) stop() { w.end(); w.group.Wait() }

// report reports what the writer took since the last report.
func (w *writer) report(when string) {
	w.mu.Lock()
	took := w.took
	w.took = nil
	w.mu.Unlock()
	slices.Sort(took)
	for name, at := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		d := took[min(int(at*float64(len(took))), len(took)-1)]
		w.b.ReportMetric(float64(d.Microseconds())/1000, when+"-"+name+"-ms")
	}
}
