// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package mysql_test

import (
	"bufio"
	"context"
	"database/sql"
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

	driver "github.com/go-sql-driver/mysql"

	"github.com/rheostat-go/rheostat/internal/dbtest"
	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/mysql"
)

// childVariable makes the test's binary a process that carries a change out.
const childVariable = "RHEOSTAT_MYSQL_CHILD"

// child is what the parent wants of the process.
type child struct {
	DSN, ID string
	// Die is the number of the event at which it kills itself, within Within.
	Die    int
	Within time.Duration
}

func TestMain(m *testing.M) {
	text := os.Getenv(childVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	_ = driver.SetLogger(quiet{})
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

// quiet is a driver's logger that says nothing of connections that were lost.
type quiet struct{}

func (quiet) Print(...any) {}

func (c child) serve(ctx context.Context) error {
	db, err := sql.Open("mysql", c.DSN)
	if err != nil {
		return err
	}
	d, err := mysql.New(db, mysql.Options{})
	if err != nil {
		return err
	}
	events := 0
	m, err := migrate.New(d, migrate.Options{
		Owner: "runner", Poll: 5 * time.Millisecond, Lease: 2 * time.Second, Throttle: migrate.Throttle{Batch: 3 * time.Millisecond, Duty: 0.8},
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

// crashes is a database through which changes go, whose processes and server die.
type crashes struct {
	t       *testing.T
	server  *dbtest.Server
	dsn     string
	db      *sql.DB
	m       *migrate.Migrator
	kills   int
	reboots int
	in      map[string]int // kills by phase

	mu   sync.Mutex
	may  map[int][]string // values that a row may have: the last acknowledged first
	acks int
	// refused are writes between the rename of a column and its triggers: the process had died.
	refused int
}

// write lets clients write the rows of ids into a column, each its own, until stop.
func (c *crashes) write(column string, ids []int) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	const clients = 2
	for k := range clients {
		wg.Go(func() {
			for i := k; ctx.Err() == nil; i += clients {
				id, value := ids[i%len(ids)], fmt.Sprintf("%s-%d", column, rand.Uint64())
				c.mu.Lock()
				c.may[id] = append(c.may[id], value)
				c.mu.Unlock()
				_, err := c.db.ExecContext(ctx, "UPDATE users SET "+column+" = ? WHERE id = ?", value, id)
				c.mu.Lock()
				var told *driver.MySQLError
				switch {
				case err == nil:
					c.may[id] = []string{value}
					c.acks++
				case errors.As(err, &told) && told.Number == 1054 && strings.Contains(told.Message, "in 'NEW'"):
					c.refused++
				case ctx.Err() == nil && errors.As(err, &told) && told.Number != 1053 && !transient(err):
					c.t.Errorf("a client cannot write %s: %v", column, err)
				}
				c.mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// run has processes carry a change out, of which each dies after a few events, until one
// lives to its end. Now and then it is the server that dies.
func (c *crashes) run(id string) {
	t := c.t
	for life := 0; ; life++ {
		if life > 300 {
			t.Fatalf("%s does not come to its end", id)
		}
		cmd, lines := child{DSN: c.dsn, ID: id, Die: 1 + rand.IntN(16), Within: time.Duration(rand.IntN(30)) * time.Millisecond}.start(t)
		reboot := c.kills > 4*c.reboots
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
		if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
			t.Fatalf("a process ended by itself: %s", last)
		}
		c.kills++
		c.in[phase]++
	}
}

// order begins a change, or orders what is wanted of it, as soon as the server is there.
func (c *crashes) order(order func() error) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = order(); err == nil {
			return
		}
	}
	c.t.Fatal(err)
}

const crashRows = 2000

// TestNothingIsLostWhoeverDies renames a column again and again while clients of both versions
// write, and kills whoever carries it out, and the server, in every phase. Every second change
// is rolled back.
func TestNothingIsLostWhoeverDies(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t, dbtest.Options{})
	again := open(t, server)
	db := again()
	m, err := migrate.New(database(t, db), migrate.Options{Owner: "parent"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Database().Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"CREATE TABLE users (id int PRIMARY KEY, c0 varchar(200) NOT NULL, hits int NOT NULL DEFAULT 0)",
		fmt.Sprintf("INSERT INTO users (id, c0) SELECT seq, CONCAT('v', seq) FROM seq_1_to_%d", crashRows),
		"CREATE TRIGGER hits BEFORE UPDATE ON users FOR EACH ROW SET NEW.hits = OLD.hits + 1",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	c := &crashes{t: t, server: server, dsn: server.URL(name), db: db, m: m, in: map[string]int{}, may: map[int][]string{}}
	var theirs []int
	for id := crashRows - 400; id <= crashRows; id += 2 {
		theirs = append(theirs, id)
	}
	minimum := 25
	if testing.Short() {
		minimum = 10
	}
	at, round := 0, 0
	for ; (c.kills < minimum || c.reboots < minimum/5) && !t.Failed(); round++ {
		if c.round(round, at, theirs) {
			at = round + 1
		}
	}
	t.Logf("%d kills %v, %d of the server, %d writes acknowledged, %d refused, %d changes", c.kills, c.in, c.reboots, c.acks, c.refused, round)
	c.check(fmt.Sprint("c", at), round)
}

// round is one change, and says whether it was finished and not taken back.
func (c *crashes) round(round, at int, theirs []int) bool {
	id, old, by := fmt.Sprint("crash", round), fmt.Sprint("c", at), fmt.Sprint("c", round+1)
	change := migrate.Change{
		ID: id, Unguarded: "the test knows who lives", Soak: time.Millisecond,
		Ops: []migrate.Op{migrate.RenameColumn{Table: "users", Old: old, New: by}},
	}
	c.order(func() error { return c.m.Begin(c.t.Context(), change, migrate.Order{Want: migrate.Ready}) })
	stop := c.write(old, theirs)
	c.run(id)
	stop()
	stop = c.write(by, theirs)
	back := round%2 == 1
	want := migrate.Done
	if back {
		want = migrate.RolledBack
		stop()
		stop = c.write(old, theirs)
	}
	c.order(func() error {
		return c.m.Order(c.t.Context(), id, migrate.Order{Want: want, Force: true, By: "test"})
	})
	c.run(id)
	stop()
	return !back
}

// check looks at every row.
func (c *crashes) check(column string, changes int) {
	rows, err := c.db.QueryContext(c.t.Context(), "SELECT id, "+column+", hits FROM users")
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
		if may, theirs := c.may[id]; theirs {
			if !slices.Contains(may, value) {
				lost++
			}
			continue
		}
		if value != fmt.Sprint("v", id) || hits != changes {
			wrong++
		}
	}
	if n != crashRows || wrong > 0 || lost > 0 || rows.Err() != nil {
		c.t.Errorf("of %d rows %d were lost, and %d not filled once in each of %d changes (%v)", n, lost, wrong, changes, rows.Err())
	}
}
