// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package postgres_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/postgres"
)

// childVariable makes the test's binary a process that carries a change out.
const childVariable = "RHEOSTAT_POSTGRES_CHILD"

// child is what the parent wants of the process.
type child struct {
	URL, Owner, ID string
	Lease          time.Duration
	// Die is the number of the event at which it kills itself, within Within; 0 is never.
	Die    int
	Within time.Duration
	// Poll is how often it looks at orders; 0 is 5 ms.
	Poll time.Duration
}

func (c child) serve(ctx context.Context) error {
	p, err := pgxpool.New(ctx, c.URL)
	if err != nil {
		return err
	}
	db, err := postgres.New(p, postgres.Options{})
	if err != nil {
		return err
	}
	events := 0
	m, err := migrate.New(telling{db}, migrate.Options{
		Owner: c.Owner, Poll: cmp.Or(c.Poll, 5*time.Millisecond), Lease: c.Lease, Throttle: migrate.Throttle{Batch: 3 * time.Millisecond, Duty: 0.8},
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
	return m.Run(ctx, c.ID)
}

// telling is a Database that tells when its session is fenced, after which a Migrator sees what the
// other does.
type telling struct{ *postgres.Database }

func (d telling) Lock(ctx context.Context, name, owner string, lease time.Duration) (migrate.Session, error) {
	s, err := d.Database.Lock(ctx, name, owner, lease)
	return tellingSession{s}, err
}

type tellingSession struct{ migrate.Session }

func tell(err error) error {
	if errors.Is(err, migrate.ErrFenced) {
		fmt.Println("fenced")
	}
	return err
}

func (s tellingSession) Batch(ctx context.Context, o migrate.BatchOrder) (migrate.Batch, error) {
	b, err := s.Session.Batch(ctx, o)
	return b, tell(err)
}

func (s tellingSession) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Session.Now(ctx)
	return now, tell(err)
}

func (s tellingSession) Renew(ctx context.Context) error { return tell(s.Session.Renew(ctx)) }

// childMain is the process; it does not return if it is one.
func childMain() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
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
	os.Exit(0)
}

// start begins a process, whose lines are told.
func (c child) start(t *testing.T) (*exec.Cmd, <-chan string) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // it is this test
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1<<16)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	return cmd, lines
}

// writers are clients that write one column, and keep a ledger of what was acknowledged.
type writers struct {
	t    *testing.T
	p    *pgxpool.Pool
	mu   sync.Mutex
	may  map[int][]string // values that a row may have: the last acknowledged first
	acks int
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// write lets n clients write the rows of ids, each its own.
func (w *writers) write(column string, n int, ids []int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop = cancel
	for k := range n {
		w.wg.Go(func() {
			for i := k; ctx.Err() == nil; i += n {
				id, value := ids[i%len(ids)], fmt.Sprintf("%s-%d", column, rand.Uint64())
				w.mu.Lock()
				w.may[id] = append(w.may[id], value)
				w.mu.Unlock()
				_, err := w.p.Exec(ctx, "UPDATE users SET "+column+" = $1 WHERE id = $2", value, id)
				w.mu.Lock()
				if err == nil {
					w.may[id] = []string{value}
					w.acks++
				} else if told := err.Error(); ctx.Err() == nil && strings.Contains(told, "SQLSTATE") && !strings.Contains(told, "SQLSTATE 57P") {
					w.t.Errorf("a client cannot write %s: %v", column, err)
				}
				w.mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
}

func (w *writers) end() {
	w.stop()
	w.wg.Wait()
}

// crashes is a database through which changes go, whose processes and server die.
type crashes struct {
	t       *testing.T
	server  *dbtest.Server
	url     string
	p       *pgxpool.Pool
	m       *migrate.Migrator
	db      *postgres.Database
	kills   int
	reboots int
	in      map[string]int // kills by phase
}

// run orders a phase and has processes carry it out, of which each dies after a few events, until
// one lives to its end. Now and then it is the server that dies.
func (c *crashes) run(id string, want migrate.Phase) {
	t := c.t
	for life := 0; ; life++ {
		if life > 300 {
			t.Fatalf("%s does not come to %v", id, want)
		}
		cmd, lines := child{
			URL: c.url, Owner: "runner", ID: id, Lease: 2 * time.Second, Die: 1 + rand.IntN(5), Within: time.Duration(rand.IntN(8)) * time.Millisecond,
		}.start(t)
		reboot := c.reboots < 10 && c.kills > 3*c.reboots
		phase, last := "", ""
		for line := range lines {
			last = line
			if f := strings.Fields(line); len(f) > 1 {
				phase = f[1]
			}
			if reboot && rand.IntN(2) == 0 {
				reboot = false
				c.reboots++
				c.server.Kill()
				c.server.Start()
			}
		}
		err := cmd.Wait()
		if err == nil {
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			c.kills++
			c.in[phase]++
		} else if strings.Contains(last, "SQLSTATE") && !strings.Contains(last, "SQLSTATE 57P") {
			t.Fatalf("a process ended by itself: %s", last)
		}
	}
}

func (c *crashes) order(id string, want migrate.Phase) {
	c.t.Helper()
	eventually(c.t, "an order is taken", func() bool {
		err := c.m.Order(c.t.Context(), id, migrate.Order{Want: want, Force: true, By: "test"})
		return err == nil
	})
}

const crashSchema = `
CREATE TABLE users (id int PRIMARY KEY, c0 text NOT NULL, hits int NOT NULL DEFAULT 0);
INSERT INTO users SELECT i, 'v' || i FROM generate_series(1, 4000) AS i;
CREATE FUNCTION count_hits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_jsonb(new) <> to_jsonb(old) THEN new.hits := old.hits + 1; END IF;
	RETURN new;
END $$;
CREATE TRIGGER hits BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_hits();
ANALYZE users`

// TestNothingIsLostWhoeverDies renames a column again and again while clients of both versions write,
// and kills whoever carries it out, and the server, in every phase. Every second change is
// rolled back.
func TestNothingIsLostWhoeverDies(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t, dbtest.Options{})
	url := databaseOn(t, server)
	p := pool(t, url)
	c := &crashes{t: t, server: server, url: url, p: p, m: migrator(t, p, "parent"), db: open(t, p), in: map[string]int{}}
	if _, err := p.Exec(t.Context(), crashSchema); err != nil {
		t.Fatal(err)
	}
	w := &writers{t: t, p: p, may: map[int][]string{}}
	var theirs []int
	for id := 3001; id <= 4000; id += 5 {
		theirs = append(theirs, id)
	}
	minimum := 25
	if testing.Short() {
		minimum = 10
	}
	at, least, most := 0, 0, 0
	for round := 0; c.kills < minimum || c.reboots < minimum/5; round++ {
		id, old, by := fmt.Sprint("crash", round), fmt.Sprint("c", at), fmt.Sprint("c", round+1)
		change := migrate.Change{
			ID: id, Unguarded: "the test knows who lives", Soak: time.Millisecond,
			Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: old, New: by}},
		}
		eventually(t, "a change begins", func() bool { return c.m.Begin(t.Context(), change, migrate.Order{Want: migrate.Ready}) == nil })
		w.write(old, 2, theirs)
		c.run(id, migrate.Ready)
		w.end()
		w.write(by, 2, theirs)
		most++
		if round%2 == 1 {
			c.order(id, migrate.RolledBack)
			w.end()
			w.write(old, 1, theirs)
			c.run(id, migrate.RolledBack)
		} else {
			c.order(id, migrate.Done)
			c.run(id, migrate.Done)
			at = round + 1
		}
		least++
		w.end()
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills %v, %d of the server, %d writes acknowledged", c.kills, c.in, c.reboots, w.acks)
	c.check(fmt.Sprint("c", at), w, least, most)
}

// check looks at every row.
func (c *crashes) check(column string, w *writers, least, most int) {
	rows, err := c.p.Query(c.t.Context(), "SELECT id, "+column+", hits FROM users")
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	wrong, lost, n := 0, 0, 0
	for rows.Next() {
		var id, hits int
		var value string
		if err := rows.Scan(&id, &value, &hits); err != nil {
			c.t.Fatal(err)
		}
		n++
		if may, theirs := w.may[id]; theirs {
			if !slices.Contains(may, value) {
				lost++
			}
			continue
		}
		if value != fmt.Sprint("v", id) || hits < least || hits > most {
			wrong++
		}
	}
	if n != 4000 || wrong > 0 || lost > 0 || rows.Err() != nil {
		c.t.Errorf("of %d rows %d were lost, %d not filled once in each of %d changes (%v)", n, lost, wrong, least, rows.Err())
	}
}

// TestWhoeverWasPausedIsFenced stops a process within a backfill for longer than its lease. Another
// goes on; the first is refused when it wakes.
func TestWhoeverWasPausedIsFenced(t *testing.T) {
	t.Parallel()
	url := database(t)
	p := pool(t, url)
	m := migrator(t, p, "parent")
	if _, err := p.Exec(t.Context(), crashSchema); err != nil {
		t.Fatal(err)
	}
	change := migrate.Change{ID: "paused", Unguarded: "nobody lives", Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: "c0", New: "c1"}}}
	if err := m.Begin(t.Context(), change, migrate.Order{Want: migrate.Ready}); err != nil {
		t.Fatal(err)
	}
	const lease = 500 * time.Millisecond
	// It does not look up from its work, so that it is the next batch that tells.
	first, told := child{URL: url, Owner: "first", ID: "paused", Lease: lease, Poll: time.Hour}.start(t)
	for line := range told {
		if strings.HasPrefix(line, string(migrate.Advanced)) {
			break
		}
	}
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second, lines := child{URL: url, Owner: "second", ID: "paused", Lease: lease}.start(t)
	for line := range lines {
		t.Log("second:", line)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("the second: %v", err)
	}
	before, err := m.Record(t.Context(), "paused")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var woken []string
	for line := range told {
		if woken = append(woken, line); line == "fenced" {
			_ = first.Process.Kill() // it would wait until it is to look again
		}
	}
	_ = first.Wait()
	if !slices.Contains(woken, "fenced") {
		t.Errorf("the first says %q when it wakes, want that it is fenced", woken)
	}
	after, err := m.Record(t.Context(), "paused")
	if err != nil || after.State.Rev != before.State.Rev || after.State.Phase != migrate.Ready {
		t.Errorf("the record went from %d to %d, %v (%v)", before.State.Rev, after.State.Rev, after.State.Phase, err)
	}
	var twice int
	if err := p.QueryRow(t.Context(), "SELECT count(*) FROM users WHERE hits <> 1 OR c1 IS DISTINCT FROM c0").Scan(&twice); err != nil || twice != 0 {
		t.Errorf("%d rows were not filled once (%v)", twice, err)
	}
}
