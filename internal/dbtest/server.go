// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
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
	// stop ends the server in order.
	stop syscall.Signal

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	from int64 // where the log of the last start begins
}

// Options of a server. The zero Options are a small durable one.
type Options struct {
	// Settings are the server's own, such as "shared_buffers": "1GB".
	Settings map[string]string
	// Fast gives up durability: what a crash of the machine would lose is not synced.
	Fast bool
}

const patience = 60 * time.Second

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
	cmd, done, err := s.run()
	if err != nil {
		return err
	}
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

func (s *Server) run() (*exec.Cmd, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		select {
		case <-s.done: // it has ended by itself
		default:
			return nil, nil, fmt.Errorf("%s runs already", filepath.Base(s.cmd.Path))
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	if info, err := log.Stat(); err == nil {
		s.from = info.Size()
	}
	cmd := s.command(s)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.dir
	own(cmd)
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	s.cmd, s.done = cmd, done
	return cmd, done, nil
}

// Kill ends the server and the processes it has started at once, as a crash does.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	family := s.kill()
	s.await(family)
}

// Stop ends it in order, without waiting for its clients.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	family := children(pid)
	send(pid, s.stop)
	for _, p := range append(family, pid) {
		send(p, carryOn) // a paused one would never hear of it
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.tb.Errorf("%s does not stop:\n%s", filepath.Base(s.cmd.Path), s.tail())
		family = append(family, s.kill()...)
	}
	s.await(family)
}

// kill ends the server and its children, which it returns. The server is halted first,
// or it could start another child meanwhile.
func (s *Server) kill() (family []int) {
	pid := s.cmd.Process.Pid
	send(pid, halt)
	for deadline := time.Now().Add(time.Second); state(pid) == "running" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	family = children(pid)
	_ = s.cmd.Process.Kill()
	for _, child := range family {
		send(child, syscall.SIGKILL)
	}
	return family
}

// await waits until nobody writes to the data any more.
func (s *Server) await(family []int) {
	<-s.done
	for _, child := range family {
		for deadline := time.Now().Add(patience); state(child) != "" && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.cmd = nil
}

// Pause stops the server's processes without ending them, until Continue. Elsewhere than
// on Linux it stops only the first.
func (s *Server) Pause() {
	if pid := s.PID(); pid != 0 {
		send(pid, halt) // first, so that it starts no other
		for _, child := range children(pid) {
			send(child, halt)
		}
	}
}

// Continue takes Pause back.
func (s *Server) Continue() {
	if pid := s.PID(); pid != 0 {
		for _, p := range append(children(pid), pid) {
			send(p, carryOn)
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

// logged reports whether the server has said so since its last start.
func (s *Server) logged(what string) bool {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(text[min(s.from, int64(len(text))):], []byte(what))
}

// children are the processes that pid has started. Where there is no /proc there are none.
func children(pid int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if parent, what := stat(path); parent == pid && what != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, child)
		}
	}
	return found
}

// state of a process is "running", "halted", or "" when it is no more.
func state(pid int) string {
	switch _, what := stat(fmt.Sprintf("/proc/%d/stat", pid)); what {
	case "", "Z", "X":
		return ""
	case "T", "t":
		return "halted"
	default:
		return "running"
	}
}

func stat(path string) (parent int, what string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, ""
	}
	// The name is in brackets, and may have some of its own.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0, ""
	}
	parent, _ = strconv.Atoi(fields[1])
	return parent, fields[0]
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

// freePort is one that nobody listens on, below those that the system gives to clients:
// a client's connection could take the port of a server that is down for a while, or a
// client that keeps trying to reach it could meet itself.
func freePort(tb testing.TB) int {
	tb.Helper()
	var err error
	for range 100 {
		port := 10000 + rand.IntN(22000) //nolint:gosec // it only has to be free
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.WithoutCancel(tb.Context()), "tcp", address(port)); err != nil {
			continue
		}
		if err = l.Close(); err == nil {
			return port
		}
	}
	tb.Fatal(err)
	return 0
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

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

// dial connects to a port once.
func dial(ctx context.Context, port int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address(port))
	if err == nil {
		err = c.Close()
	}
	return err
}
