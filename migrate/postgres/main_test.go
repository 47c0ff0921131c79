// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/migratetest"
	"github.com/rheostat-go/rheostat/migrate/postgres"
)

// shared is the server of the tests that do not kill it. Each takes a database of its own.
var shared struct {
	sync.Mutex
	server *dbtest.Server
	stop   func()
	names  atomic.Int64
}

func TestMain(m *testing.M) {
	childMain()
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

// lasting is a testing.TB that ends with the process.
type lasting struct {
	testing.TB
	mu      sync.Mutex
	cleanup []func()
}

func (l *lasting) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanup = append(l.cleanup, f)
}

func (l *lasting) Logf(string, ...any) {}

func (l *lasting) Failed() bool { return false }

func (l *lasting) Context() context.Context { return context.Background() }

func (l *lasting) end() {
	for _, f := range slices.Backward(l.cleanup) {
		f()
	}
}

// database is an empty database on the shared server.
func database(tb testing.TB) (url string) {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		l := &lasting{TB: tb}
		// With a database for each test, one autovacuum or another would be at work all the time.
		shared.server = dbtest.Postgres(l, dbtest.Options{Fast: true, Settings: map[string]string{"max_connections": "400", "autovacuum": "off"}})
		shared.stop = l.end
	}
	return databaseOn(tb, shared.server)
}

func databaseOn(tb testing.TB, s *dbtest.Server) string {
	tb.Helper()
	name := fmt.Sprintf("test%d", shared.names.Add(1))
	conn, err := pgx.Connect(tb.Context(), s.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(tb.Context()))
	if _, err := conn.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return s.URL(name)
}

// pool is one to a database.
func pool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	p, err := pgxpool.NewWithConfig(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func open(tb testing.TB, p *pgxpool.Pool) *postgres.Database {
	tb.Helper()
	db, err := postgres.New(p, postgres.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := db.Setup(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return db
}

// subject is what the conformance suite tries.
func subject(t *testing.T, url string) migratetest.Subject {
	t.Helper()
	p := pool(t, url)
	db := sql.OpenDB(stdlib.GetPoolConnector(p))
	t.Cleanup(func() { _ = db.Close() })
	first, second := pool(t, url), pool(t, url)
	made := 0
	another := func() migrate.Database {
		made++
		p := second
		if made == 1 {
			p = first
		}
		d, err := postgres.New(p, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return migratetest.Subject{
		Database: another(), Another: another, DB: db,
		Placeholder: func(n int) string { return fmt.Sprintf("$%d", n) },
		Transient:   func(err error) bool { return strings.Contains(err.Error(), "40P01") },
		Catalog:     func(ctx context.Context) (string, error) { return catalogText(ctx, p) },
		Rows:        100, Races: 200, Stride: 12,
	}
}

// catalogText is all that the schema public holds, sorted.
func catalogText(ctx context.Context, p *pgxpool.Pool) (string, error) {
	var text string
	err := p.QueryRow(ctx, `
SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM (
	SELECT format('%s %s', relkind, relname) AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		a.attidentity, pg_get_expr(d.adbin, d.adrelid))
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT format('constraint %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated) FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace
	UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
	UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
		WHERE c.relnamespace = 'public'::regnamespace AND NOT tgisinternal
	UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS lines`).Scan(&text)
	return text, err
}

// eventually waits for something to be so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if so() {
			return
		}
	}
	tb.Fatal("it never came about that " + what)
}
