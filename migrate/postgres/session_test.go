// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// proxy stands between a pool and its server.
type proxy struct {
	net.Listener
	to string
	// queries counts messages that ask for something, and silent keeps the server's answers.
	queries atomic.Int64
	silent  atomic.Bool
}

// before puts a proxy before the server of a URL.
func before(t *testing.T, server string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{Listener: l, to: u.Host}
	go p.serve()
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to) //nolint:noctx // it ends with the listener's test
		if err != nil {
			_ = client.Close()
			continue
		}
		go p.forward(client, server)
		go p.answer(client, server)
	}
}

// forward reads messages: four bytes of length, after a byte of type in all but the first.
func (p *proxy) forward(client, server net.Conn) {
	defer server.Close()
	for head := 4; ; head = 5 {
		b := make([]byte, head)
		if _, err := io.ReadFull(client, b); err != nil {
			return
		}
		if head == 5 && strings.ContainsRune("QPBE", rune(b[0])) {
			p.queries.Add(1)
		}
		if _, err := server.Write(b); err != nil {
			return
		}
		if _, err := io.CopyN(server, client, int64(binary.BigEndian.Uint32(b[head-4:]))-4); err != nil {
			return
		}
	}
}

func (p *proxy) answer(client, server net.Conn) {
	defer client.Close()
	b := make([]byte, 1<<16)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		if p.silent.Load() {
			continue
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}

func next(s migrate.State, p migrate.Phase) migrate.State {
	s.Rev++
	s.Phase, s.Version = p, migrate.StateVersion
	return s
}

// TestNoLockOutlivesTheRoundTrip has a client that never hears the answer, as one that was stopped,
// or whose network is gone: its transaction is over for everybody else all the same.
func TestNoLockOutlivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	direct := database(t)
	p := pool(t, direct)
	watch := open(t, p)
	if _, err := p.Exec(t.Context(), "CREATE TABLE t (id int)"); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{"done": "ALTER TABLE t ADD COLUMN more int", "failed": "ALTER TABLE t ADD COLUMN id int"} {
		wire, through := before(t, direct)
		db := open(t, pool(t, through))
		if err := db.Create(t.Context(), migrate.Record{ID: name, Kind: migrate.Coupled}); err != nil {
			t.Fatal(err)
		}
		s, err := db.Lock(t.Context(), "change:"+name, "ann", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		wire.silent.Store(true)
		sent := wire.queries.Load()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			w := migrate.Work{Statements: []string{statement}, LockTimeout: time.Second}
			failed <- s.Do(ctx, name, w, next(migrate.State{}, migrate.Expanding))
		}()
		eventually(t, name+": the transaction is sent", func() bool { return wire.queries.Load() > sent })
		eventually(t, name+": nothing is locked", func() bool {
			var locks int
			err := p.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND l.locktype IN ('relation', 'transactionid', 'tuple')`).Scan(&locks)
			if err != nil {
				t.Fatal(err)
			}
			r, err := watch.Load(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return locks == 0 && (r.State.Rev == 1) == (name == "done")
		})
		select {
		case err := <-failed:
			t.Errorf("%s: Do ended without an answer: %v", name, err)
		default:
		}
		if n := wire.queries.Load() - sent; n != 1 {
			t.Errorf("%s: the transaction is %d messages, want 1", name, n)
		}
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Do says %v", name, err)
		}
	}
}

func TestErrorsHaveTheirMeaningAndNoSecrets(t *testing.T) {
	t.Parallel()
	p := pool(t, database(t))
	db := open(t, p)
	if _, err := p.Exec(t.Context(), "CREATE TABLE t (id int PRIMARY KEY, secret text)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Create(t.Context(), migrate.Record{ID: "errors", Kind: migrate.Coupled}); err != nil {
		t.Fatal(err)
	}
	s, err := db.Lock(t.Context(), "change:errors", "ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	holder, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "LOCK TABLE t IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	do := func(statements ...string) error {
		return s.Do(t.Context(), "errors", migrate.Work{Statements: statements, LockTimeout: 20 * time.Millisecond}, next(migrate.State{}, migrate.Expanding))
	}
	if err := do("SELECT 1", "ALTER TABLE t ADD COLUMN a int"); !errors.Is(err, migrate.ErrLockTimeout) || !strings.Contains(err.Error(), "statement 2") || !strings.Contains(err.Error(), "ALTER TABLE t ADD COLUMN a int") {
		t.Errorf("a statement that waits for a lock: %v", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := do("DO $$ BEGIN RAISE EXCEPTION 'no luck' USING ERRCODE = 'deadlock_detected'; END $$"); !errors.Is(err, migrate.ErrRetry) {
		t.Errorf("a deadlock: %v", err)
	}
	err = do("INSERT INTO t VALUES (1, 'hunter2')", "INSERT INTO t VALUES (1, 'hunter2')")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a duplicate: %v", err)
	}
	if r, err := db.Load(t.Context(), "errors"); err != nil || r.State.Rev != 0 {
		t.Errorf("after errors only, the record is at %d (%v)", r.State.Rev, err)
	}
}
