// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sqlite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/sqlite"
)

// childVariable makes the test's binary a process that works on a file.
const childVariable = "RHEOSTAT_SQLITE_CHILD"

// child is what the parent wants of the process.
type child struct {
	Path, Owner string
	// Die is the number of the event at which it kills itself, within Within; 0 is never.
	Die    int
	Within time.Duration
	Lease  time.Duration
	// Run is the change to run; empty is Work on all.
	Run string
	// Write inserts rows with these statements instead, and says so of each.
	Write []string
}

func TestMain(m *testing.M) {
	text := os.Getenv(childVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var c child
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.serve(context.Background())
	}
	fmt.Println("ended:", err)
	if err != nil {
		os.Exit(1)
	}
}

func (c child) serve(ctx context.Context) error {
	db, err := sqlite.Open(c.Path, sqlite.Options{})
	if err != nil {
		return err
	}
	fmt.Println("began")
	if len(c.Write) > 0 {
		return c.write(ctx, db)
	}
	events := 0
	m, err := migrate.New(telling{db}, migrate.Options{
		Owner: c.Owner, Poll: 5 * time.Millisecond, Lease: c.Lease, LockTimeout: 500 * time.Millisecond,
		Throttle: migrate.Throttle{Batch: 10 * time.Millisecond, Duty: 0.7},
		Observe: func(_ context.Context, e migrate.Event) {
			if e.Kind == migrate.Waiting {
				return
			}
			fmt.Println(e.Kind, e.Phase, e.Err)
			if events++; events == c.Die {
				go func() {
					time.Sleep(rand.N(c.Within + 1)) // anywhere within what comes now
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}()
			}
		},
	})
	if err != nil {
		return err
	}
	if c.Run != "" {
		return m.Run(ctx, c.Run)
	}
	return m.Work(ctx)
}

// telling is a Database that tells when its session is fenced, after which a Migrator just
// goes on watching.
type telling struct{ *sqlite.Database }

func (d telling) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.Database.Lock(ctx, name, owner, lease)
	return tellingSession{s}, err
}

type tellingSession struct{ migrate.Session }

func (s tellingSession) Batch(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	b, err := s.Session.Batch(ctx, o)
	if errors.Is(err, migrate.ErrFenced) {
		fmt.Println("fenced")
	}
	return b, err
}

func (s tellingSession) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Session.Now(ctx)
	if errors.Is(err, migrate.ErrFenced) {
		fmt.Println("fenced")
	}
	return now, err
}

func (s tellingSession) Renew(ctx context.Context) error {
	err := s.Session.Renew(ctx)
	if errors.Is(err, migrate.ErrFenced) {
		fmt.Println("fenced")
	}
	return err
}

// write is a client in a process of its own, until it is killed.
func (c child) write(ctx context.Context, db *sqlite.Database) error {
	pace := time.Tick(10 * time.Millisecond)
	for i := 0; ; i++ {
		for _, statement := range c.Write {
			if _, err := db.DB().ExecContext(ctx, statement, fmt.Sprintf("%s %d", c.Owner, i)); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		fmt.Println("wrote", i)
		<-pace
	}
}

// process is a child that runs.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
	wrote int
}

func start(t *testing.T, c child) *process {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.Env = append(os.Environ(), childVariable+"="+string(text))
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	t.Cleanup(p.kill)
	return p
}

// until reads what the process says up to a line that begins so, and returns it.
func (p *process) until(prefix string) (string, error) {
	for p.lines.Scan() {
		line := p.lines.Text()
		if _, err := fmt.Sscanf(line, "wrote %d", &p.wrote); err == nil {
			p.wrote++
		}
		if strings.HasPrefix(line, prefix) {
			return line, nil
		}
	}
	return "", errors.Join(p.lines.Err(), io.ErrUnexpectedEOF)
}

// kill kills the process and reads what it has still said.
func (p *process) kill() {
	if p.ProcessState != nil {
		return
	}
	_ = p.Process.Kill()
	_, _ = p.until("nothing says this")
	_ = p.Wait()
}

// wait waits for the process to die by itself.
func (p *process) wait() {
	_, _ = p.until("nothing says this")
	_ = p.Wait()
}

// base is how many rows there are that no client writes.
const base = 3000

// crashing is a file, whose processes are killed.
type crashing struct {
	*testing.T
	db      *sqlite.Database
	m       *migrate.Migrator
	path    string
	kills   map[migrate.Phase]int
	total   int
	round   int
	clients []*process
	// acked is how many rows each client process has been told are written.
	acked map[string]int
}

// TestKilledProcessesLoseNothing kills the process that carries changes out again and
// again, at random moments of every phase, while processes of the old and of the new
// version write, forwards, back, and forwards to the end.
func TestKilledProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	path := file(t)
	c := &crashing{T: t, db: open(t, path), path: path, kills: map[migrate.Phase]int{}, acked: map[string]int{}}
	var err error
	if c.m, err = migrate.New(c.db, migrate.Options{Owner: "parent"}); err != nil {
		t.Fatal(err)
	}
	if err := c.db.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.exec("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, c0 TEXT NOT NULL, hits INTEGER DEFAULT 0, filler TEXT)")
	c.exec(fmt.Sprintf("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < %d) INSERT INTO t (c0, filler) SELECT 'row ' || i, hex(zeroblob(100)) FROM r", base))
	kills := 40
	if testing.Short() {
		kills = 15
	}
	for (c.total < kills || c.round < 2) && !t.Failed() {
		c.live()
		c.round++
	}
	c.acknowledged(fmt.Sprint("c", c.round))
	t.Logf("%d kills in %d rounds, by phase: %v; rows acknowledged by clients: %v", c.total, c.round, c.kills, c.acked)
}

func (c *crashing) exec(query string) {
	c.Helper()
	if _, err := c.db.DB().ExecContext(c.Context(), query); err != nil {
		c.Fatalf("%s: %v", query, err)
	}
}

// zero wants a count of zero.
func (c *crashing) zero(what, query string) {
	c.Helper()
	var n int
	if err := c.db.DB().QueryRowContext(c.Context(), query).Scan(&n); err != nil {
		c.Fatalf("%s: %v", query, err)
	}
	if n != 0 {
		c.Errorf("round %d: %d rows: %s", c.round, n, what)
	}
}

func (c *crashing) change() migrate.Change {
	return migrate.Change{
		ID: fmt.Sprint("change", c.round), Unguarded: "the test knows its clients", Soak: time.Millisecond,
		Ops: []migrate.Op{
			migrate.ReplaceColumn{Table: "t", Old: fmt.Sprint("c", c.round), New: fmt.Sprint("c", c.round+1), Type: "TEXT", NotNull: true},
			// A value that is not the same when it is computed twice.
			migrate.Backfill{Table: "t", Column: "hits", Value: "hits + 1", Where: fmt.Sprintf("id <= %d", base)},
		},
	}
}

// live is one change, taken back once and then carried through.
func (c *crashing) live() {
	before, after := fmt.Sprint("c", c.round), fmt.Sprint("c", c.round+1)
	c.client("old", before)
	c.reach(migrate.Ready)
	c.client("new", after)
	c.same(before, after)
	if c.round%2 == 0 {
		c.leave("new")
		c.reach(migrate.RolledBack)
		c.acknowledged(before)
		c.exec("UPDATE t SET hits = 0")
		c.reach(migrate.Ready)
		c.client("new", after)
		c.same(before, after)
	}
	c.leave("old")
	c.reach(migrate.Done)
	c.leave("new")
	c.zero("null after NOT NULL", "SELECT count(*) FROM t WHERE "+after+" IS NULL")
	c.acknowledged(after)
	c.exec("UPDATE t SET hits = 0")
}

// same checks that both sides are the same, and each row was written once.
func (c *crashing) same(before, after string) {
	c.Helper()
	c.zero("diverged", "SELECT count(*) FROM t WHERE "+before+" IS NOT "+after)
	c.zero("done twice, or not at all", fmt.Sprintf("SELECT count(*) FROM t WHERE id <= %d AND hits <> 1", base))
}

// client begins a process that writes a column.
func (c *crashing) client(version, column string) {
	c.Helper()
	owner := fmt.Sprintf("%s-%d-%d", version, c.round, len(c.acked))
	p := start(c.T, child{Path: c.path, Owner: owner, Write: []string{
		"INSERT INTO t (" + column + ") VALUES (?)",
	}})
	if _, err := p.until("wrote"); err != nil {
		c.Fatalf("%s: %v", owner, err)
	}
	p.Args = append(p.Args, owner)
	c.clients = append(c.clients, p)
}

// leave kills the clients of a version, and remembers what they were told.
func (c *crashing) leave(version string) {
	c.Helper()
	var left []*process
	for _, p := range c.clients {
		owner := p.Args[len(p.Args)-1]
		if !strings.HasPrefix(owner, version) {
			left = append(left, p)
			continue
		}
		_ = p.Process.Kill()
		if line, err := p.until("ended"); err == nil {
			c.Errorf("round %d: client %s: %s", c.round, owner, line)
		}
		_ = p.Wait()
		c.acked[owner] = p.wrote
	}
	c.clients = left
}

// acknowledged checks that every row that a client was told of is there.
func (c *crashing) acknowledged(column string) {
	c.Helper()
	for owner, n := range c.acked {
		query := fmt.Sprintf("SELECT %d - count(*) FROM t WHERE %s IN (SELECT '%s ' || value FROM json_each(?))", n, column, owner)
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		text, err := json.Marshal(all)
		if err != nil {
			c.Fatal(err)
		}
		var lost int
		if err := c.db.DB().QueryRowContext(c.Context(), query, string(text)).Scan(&lost); err != nil {
			c.Fatal(err)
		}
		if lost != 0 {
			c.Errorf("round %d: %d of %d acknowledged rows of %s are lost", c.round, lost, n, owner)
		}
	}
}

// reach orders a phase, and kills each process on the way to it, until one comes through.
func (c *crashing) reach(p migrate.Phase) {
	c.Helper()
	change, ctx := c.change(), c.Context()
	var err error
	if r, load := c.m.Record(ctx, change.ID); load == nil && r.State.Phase != migrate.RolledBack {
		err = c.m.Order(ctx, change.ID, migrate.Order{Want: p})
	} else {
		err = c.m.Begin(ctx, change, migrate.Order{Want: p})
	}
	if err != nil {
		c.Fatalf("round %d: order %v: %v", c.round, p, err)
	}
	for n := range 1000 {
		die := 1 + rand.IntN(5)
		if n > 25 {
			die = 0
		}
		w := start(c.T, child{Path: c.path, Owner: "worker", Run: change.ID, Die: die, Within: 3 * time.Millisecond})
		line, err := w.until("ended")
		w.wait()
		if err == nil && line != "ended: <nil>" {
			c.Fatalf("round %d: a worker on the way to %v: %s", c.round, p, line)
		}
		r, err := c.m.Record(ctx, change.ID)
		if err != nil {
			c.Fatal(err)
		}
		if line == "" {
			c.kills[r.State.Phase]++
			c.total++
		}
		if r.State.Phase == p {
			return
		}
	}
}

// TestAStoppedProcessIsFenced stops a process in the middle of a backfill for longer than
// its lease. Another takes over, and the first finds itself fenced when it goes on.
func TestAStoppedProcessIsFenced(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := open(t, path)
	c := &crashing{T: t, db: db, path: path}
	if err := db.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, c0 TEXT NOT NULL, hits INTEGER DEFAULT 0)")
	c.exec("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 30000) INSERT INTO t (c0) SELECT 'row ' || i FROM r")
	var err error
	if c.m, err = migrate.New(db, migrate.Options{Owner: "parent", Lease: time.Minute, Poll: 10 * time.Millisecond, LockTimeout: time.Second}); err != nil {
		t.Fatal(err)
	}
	change := c.change()
	if err := c.m.Begin(t.Context(), change, migrate.Order{Want: migrate.Ready}); err != nil {
		t.Fatal(err)
	}
	p := start(t, child{Path: path, Owner: "stopped", Run: change.ID, Lease: 300 * time.Millisecond})
	if _, err := p.until("advanced"); err != nil {
		t.Fatal(err)
	}
	c.stop(p)
	if r, err := c.m.Record(t.Context(), change.ID); err != nil || r.State.Phase != migrate.Backfilling || r.Owner != "stopped" {
		t.Fatalf("the process was stopped in %v as owner %q, %v", r.State.Phase, r.Owner, err)
	}
	if err := c.m.Run(t.Context(), change.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := p.until("fenced"); err != nil {
		t.Errorf("the process that was stopped does not say that it is fenced: %v", err)
	}
	if line, err := p.until("ended"); err != nil || line != "ended: <nil>" {
		t.Errorf("the process that was stopped says %q, %v; want that all is well", line, err)
	}
	c.same("c0", "c1")
}

// stop stops a process where it does not hold the file's lock: there nobody could take over.
func (c *crashing) stop(p *process) {
	c.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
			c.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(p.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			c.Fatalf("the process is not stopped but %v, %v", status, err)
		}
		ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
		_, err := c.db.DB().ExecContext(ctx, "UPDATE rheostat_layout SET version = version")
		cancel()
		if err == nil {
			return
		}
		if err := p.Process.Signal(syscall.SIGCONT); err != nil {
			c.Fatal(err)
		}
		time.Sleep(rand.N(5 * time.Millisecond))
	}
	c.Fatal("the process holds the lock all the time")
}
