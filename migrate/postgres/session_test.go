// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
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
	// late is the batch to keep, if any is to be, and delays says that one was.
	late   atomic.Pointer[late]
	delays atomic.Bool
}

// late is the next batch of a walk, kept until it is delivered. Its client is sent away.
type late struct{ deliver, done chan struct{} }

// delay keeps the next batch, and returns what delivers it and waits until the server has done
// with it.
func (p *proxy) delay(t *testing.T) (deliver func()) {
	t.Helper()
	l := &late{make(chan struct{}), make(chan struct{})}
	p.late.Store(l)
	p.delays.Store(true)
	release := sync.OnceFunc(func() { close(l.deliver) })
	t.Cleanup(release)
	return func() {
		release()
		select {
		case <-l.done:
		case <-t.Context().Done():
		}
	}
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
		ended := make(chan struct{})
		go p.forward(client, server, ended)
		go p.answer(client, server, ended)
	}
}

// cancelRequest is the code of the message that asks a server to break off what it does for
// another connection.
const cancelRequest = 80877102

// forward reads messages: four bytes of length, after a byte of type in all but the first.
func (p *proxy) forward(client, server net.Conn, ended <-chan struct{}) {
	defer server.Close()
	for head := 4; ; head = 5 {
		b := make([]byte, head)
		if _, err := io.ReadFull(client, b); err != nil {
			return
		}
		b = append(b, make([]byte, max(0, int(binary.BigEndian.Uint32(b[head-4:]))-4))...)
		if _, err := io.ReadFull(client, b[head:]); err != nil {
			return
		}
		if head == 5 && strings.ContainsRune("QPBE", rune(b[0])) {
			p.queries.Add(1)
		}
		if p.delays.Load() && head == 4 && len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) == cancelRequest {
			return // nor does a network that delays bring this in time
		}
		if l := p.late.Load(); l != nil && head == 5 && bytes.Contains(b, []byte("rh_at")) && p.late.CompareAndSwap(l, nil) {
			p.hold(l, client, server, b, ended)
			return
		}
		if _, err := server.Write(b); err != nil {
			return
		}
	}
}

// hold keeps a message until it is to be delivered, after its client has gone.
func (p *proxy) hold(l *late, client, server net.Conn, message []byte, ended <-chan struct{}) {
	defer close(l.done)
	_ = client.Close()
	<-l.deliver
	if _, err := server.Write(message); err != nil {
		return
	}
	if c, ok := server.(*net.TCPConn); ok {
		_ = c.CloseWrite() // it ends the connection when it has done what was asked
	}
	<-ended
}

func (p *proxy) answer(client, server net.Conn, ended chan<- struct{}) {
	defer close(ended)
	defer client.Close()
	b := make([]byte, 1<<16)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		if !p.silent.Load() {
			_, _ = client.Write(b[:n])
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
