// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
)

// query runs a client with a statement.
func query(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestAKilledPostgresHasWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s, other := dbtest.Postgres(t, dbtest.Options{}), dbtest.Postgres(t, dbtest.Options{Fast: true})
	psql := func(url, text string) string { return query(t, "psql", "-XAtq", url, "-c", text) }
	psql(s.URL("postgres"), "create table t as select generate_series(1, 1000) n")
	psql(other.URL("postgres"), "create table t (n int)")
	pid, backend := s.PID(), keepBusy(t, s)
	s.Kill()
	if worksIn(backend, s.Dir()) {
		t.Error("a backend has outlived its server")
	}
	if out, err := exec.Command("psql", "-XAtq", s.URL("postgres"), "-c", "select 1").CombinedOutput(); err == nil {
		t.Errorf("a killed server answers %s", out)
	}
	s.Start()
	if got := psql(s.URL("postgres"), "select count(*) from t"); got != "1000" || s.PID() == pid {
		t.Errorf("%s rows, process %d", got, s.PID())
	}
	if got := psql(other.URL("postgres"), "select count(*) from t"); got != "0" {
		t.Errorf("the other has %s rows", got)
	}
	pool := dbtest.PgBouncer(t, s, "transaction")
	if got := psql(pool.URL("postgres"), "select count(*) from t"); got != "1000" {
		t.Errorf("%s rows through pgbouncer", got)
	}
	pool.Stop()
	pool.Start()
	keepBusy(t, s)
	s.Stop()
	s.Start()
	if got := psql(pool.URL("postgres"), "select count(*) from t"); got != "1000" {
		t.Errorf("%s rows after a stop", got)
	}
}

func TestAPausedPostgresAnswersLater(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t, dbtest.Options{Fast: true})
	s.Pause()
	answer := make(chan error, 1)
	go func() {
		answer <- exec.CommandContext(t.Context(), "psql", "-XAtq", s.URL("postgres"), "-c", "select 1").Run()
	}()
	select {
	case err := <-answer:
		t.Errorf("it answers: %v", err)
	case <-time.After(200 * time.Millisecond): // however slow the machine, it cannot fail
	}
	s.Continue()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	s.Pause()
	s.Stop() // or the test does not end in time
}

func TestAKilledMariaDBHasWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := dbtest.MariaDB(t, dbtest.Options{})
	ask := func(text string) string {
		return query(t, "mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", fmt.Sprint(s.Port()), "-u", "root", "--protocol=tcp", "-N", "-e", text, "test")
	}
	ask("create table t (n int); insert into t values (1), (2)")
	s.Kill()
	s.Start()
	if got := ask("select count(*) from t"); got != "2" {
		t.Errorf("%s rows", got)
	}
	s.Stop()
	s.Start()
	if got := ask("select count(*) from t"); got != "2" {
		t.Errorf("%s rows after a stop", got)
	}
}
