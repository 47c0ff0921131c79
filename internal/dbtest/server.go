// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a private server of one test.
type Server struct {
	tb   testing.TB
	dir  string
	port int
	// start makes the command that runs the server in the foreground.
	command func(s *Server) *exec.Cmd
	// ready says whether it takes connections.
	ready func(s *Server) error
	url   func(s *Server, database string) string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// Options of a server. The zero Options are a small durable one.
type Options struct {
	// Settings are the server's own, such as "shared_buffers": "1GB".
	Settings map[string]string
	// Fast gives up durability: what a crash of the machine would lose is not synced.
	Fast bool
}

const (
	patience = 60 * time.Second
	// memory is a file system in memory, where there is one.
	memory = "/dev/shm"
)

// URL is how a client reaches a database of the server: a postgres:// URL, or for MariaDB
// the DSN of go-sql-driver/mysql.
func (s *Server) URL(database string) string { return s.url(s, database) }

// Port is the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Dir holds the data.
func (s *Server) Dir() string { return filepath.Join(s.dir, "data") }

// PID is the process, 0 while it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Start starts the server again, after Kill or Stop, and waits until it takes connections.
func (s *Server) Start() {
	s.tb.Helper()
	if err := s.begin(); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *Server) begin() error {
	s.mu.Lock()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	cmd := s.command(s)
	cmd.Stdout, cmd.Stderr = log, log
	own(cmd)
	if err = errors.Join(cmd.Start(), log.Close()); err != nil {
		s.mu.Unlock()
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	deadline := time.Now().Add(patience)
	for {
		if err = s.ready(s); err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s ended: %w\n%s", filepath.Base(cmd.Path), err, s.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w\n%s", filepath.Base(cmd.Path), err, s.tail())
		}
	}
}

// Kill ends the server and the processes it has started at once, as a crash does.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends it in order, without waiting for its clients.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	family := children(pid)
	_ = s.cmd.Process.Signal(sig)
	if sig == syscall.SIGKILL {
		for _, child := range family {
			_ = syscall.Kill(child, sig)
		}
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	for _, child := range family { // nobody writes to the data any more
		for deadline := time.Now().Add(patience); alive(child) && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.cmd = nil
}

// Pause stops the server's processes without ending them, until Continue.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Continue takes Pause back.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	if pid := s.PID(); pid != 0 {
		for _, p := range append(children(pid), pid) {
			_ = syscall.Kill(p, sig)
		}
	}
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// children are the processes that pid has started. Where there is no /proc there are none.
func children(pid int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if parent, child := parentOf(path); parent == pid {
			found = append(found, child)
		}
	}
	return found
}

func parentOf(stat string) (parent, pid int) {
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0, 0
	}
	head, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 || fields[0] == "Z" {
		return 0, 0
	}
	parent, _ = strconv.Atoi(fields[1])
	pid, _ = strconv.Atoi(strings.Fields(head)[0])
	return parent, pid
}

func alive(pid int) bool {
	parent, _ := parentOf(fmt.Sprintf("/proc/%d/stat", pid))
	return parent != 0
}

// need finds a program in the folders or in PATH, or ends the test.
func need(tb testing.TB, program, pkg string, folders ...string) string {
	tb.Helper()
	for _, pattern := range folders { // Debian's programs in PATH may be wrappers around these
		if found, _ := filepath.Glob(filepath.Join(pattern, program)); len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1]
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	text := fmt.Sprintf("%s is not installed (Debian's package %s)", program, pkg)
	if os.Getenv("RHEOSTAT_REAL") == "1" {
		tb.Fatal(text + ", and RHEOSTAT_REAL wants it")
	}
	tb.Skip(text)
	return ""
}

// as makes cmd run as a user whom the server accepts, where root is not.
func as(cmd *exec.Cmd, name string) {
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup(name)
	if err != nil {
		return
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// folder makes a folder for a server. It is not tb.TempDir, whose parents are closed to
// other users.
// A server that may lose its data in a crash of the machine has it in memory.
func folder(tb testing.TB, o Options) string {
	tb.Helper()
	parent := ""
	if info, err := os.Stat(memory); o.Fast && err == nil && info.IsDir() {
		parent = memory
	}
	dir, err := os.MkdirTemp(parent, "rheostat-db-") //nolint:usetesting // the parents of TempDir are closed to other users
	if err == nil {
		err = os.Chmod(dir, 0o777) //nolint:gosec // the server runs as another user
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			tb.Error(err)
		}
	})
	return dir
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	_, text, _ := net.SplitHostPort(address)
	port, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

// launch starts a server on a free port; when another process is faster, on the next.
func launch(tb testing.TB, s *Server) *Server {
	tb.Helper()
	s.tb = tb
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("the server's log ends:\n%s", s.tail())
		}
	})
	var err error
	for range 3 {
		s.port = freePort(tb)
		if err = s.begin(); err == nil {
			return s
		}
		s.Kill()
	}
	tb.Fatal(err)
	return nil
}

// template is a folder that is made once for each process and copied for each server.
type template struct {
	once sync.Once
	dir  string
	err  error
}

// copyTo copies the template, which fill makes, to a folder of a server.
func (t *template) copyTo(tb testing.TB, to, owner string, fill func(dir string) *exec.Cmd) {
	tb.Helper()
	t.once.Do(func() {
		if t.dir, t.err = os.MkdirTemp("", "rheostat-template-"); t.err != nil { //nolint:usetesting // it outlives this test
			return
		}
		leaveNothing(t.dir)
		if t.err = os.Chmod(t.dir, 0o777); t.err == nil { //nolint:gosec // the server runs as another user
			t.err = run(fill(filepath.Join(t.dir, "data")), owner)
		}
	})
	err := t.err
	if err == nil {
		err = run(exec.Command("cp", "-a", filepath.Join(t.dir, "data"), to), "")
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func run(cmd *exec.Cmd, owner string) error {
	if owner != "" {
		as(cmd, owner)
	}
	own(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}

// leaveNothing removes the folder when this process is gone, however it went: a shell
// waits for the end of its input.
func leaveNothing(dir string) {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	cmd := exec.Command("sh", "-c", `cat >/dev/null; rm -rf "$0"`, dir)
	cmd.Stdin = r
	if err := cmd.Start(); err == nil {
		go func() { _ = cmd.Wait() }()
	}
	_ = r.Close()
	held.Store(dir, w)
}

// held are the ends of pipes that close with this process, by folder.
var held sync.Map

// dial waits for a server that takes TCP connections.
func dial(ctx context.Context, port int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		err = c.Close()
	}
	return err
}
