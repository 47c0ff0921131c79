// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/dbtest"
)

// busy is a statement that no backend leaves by itself.
const busy = "do $$ begin loop end loop; end $$"

// within waits until ok, and fails the test when that takes too long.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// keepBusy gives the server a backend that is at work, and returns its process.
func keepBusy(t *testing.T, s *dbtest.Server) (pid string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "psql", "-XAtq", s.URL("postgres"), "-c", busy)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	within(t, "no backend is busy", func() bool {
		pid = query(t, "psql", "-XAtq", s.URL("postgres"), "-c", "select min(pid) from pg_stat_activity where query like 'do %' and state = 'active'")
		return pid != ""
	})
	return pid
}

// worksIn reports whether the process runs in the folder; its number may be another's by
// now.
func worksIn(pid, dir string) bool {
	cwd, err := os.Readlink("/proc/" + pid + "/cwd")
	return err == nil && strings.HasPrefix(cwd, dir)
}

func TestNothingIsLeftOfAKilledTest(t *testing.T) {
	if os.Getenv("DBTEST_CHILD") == "guard" {
		for _, o := range []dbtest.Options{{}, {Fast: true}} {
			s := dbtest.Postgres(t, o)
			fmt.Println("started", keepBusy(t, s), filepath.Dir(s.Dir()))
		}
		fmt.Println("ready")
		select {}
	}
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("without /proc nobody finds the backends")
	}
	t.Parallel()
	dbtest.Postgres(t, dbtest.Options{Fast: true}) // or the child's skip would be taken for a failure
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "DBTEST_CHILD=guard")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	started := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		var pid, dir string
		if n, _ := fmt.Sscanf(lines.Text(), "started %s %s", &pid, &dir); n == 2 {
			started[pid] = dir
		}
	}
	if len(started) != 2 {
		t.Fatalf("the child has started %v", started)
	}
	for pid, dir := range started {
		if !worksIn(pid, dir) {
			t.Errorf("process %s does not work in %s", pid, dir)
		}
	}
	if err := errors.Join(cmd.Process.Kill(), ignore(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	for pid, dir := range started {
		within(t, "process "+pid+" runs on", func() bool { return !worksIn(pid, dir) })
		within(t, dir+" is still there", func() bool {
			_, err := os.Stat(filepath.Dir(dir))
			return errors.Is(err, fs.ErrNotExist)
		})
	}
}

// ignore drops the error of a process that was killed on purpose.
func ignore(err error) error {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil
	}
	return err
}
