// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package haproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// names is what the routes of the suite look at.
var names = haproxy.Config{
	Headers: []string{"X-Preview", "X-Tester", "X-User"},
	Cookies: []string{"side", "ring", "beta", "tester"},
	Queries: []string{"preview", "tester"},
}

// server is a private HAProxy, with its arms.
type server struct {
	t      *testing.T
	config haproxy.Config
	dir    string
	socket string // of the runtime API
	front  string // host:port of the data plane
	arms   map[string]*routertest.Arm
	more   string // of configuration
	master bool   // runs as master and worker, and can be reloaded
	cmd    *exec.Cmd
	log    *strings.Builder
}

// newServer prepares one with two arms, and starts it.
func newServer(t *testing.T, edit func(*server)) *server {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("RHEOSTAT_REAL") == "1" {
			t.Fatal("haproxy is not installed, and RHEOSTAT_REAL wants it")
		}
		t.Skip("haproxy is not installed")
	}
	s := &server{t: t, config: names, dir: t.TempDir(), front: routertest.FreeAddress(t), arms: map[string]*routertest.Arm{}}
	s.socket = filepath.Join(s.dir, "s")
	s.config.Map = filepath.Join(s.dir, "route.map")
	for _, name := range []string{"stable", "candidate"} {
		s.arms[name] = routertest.NewArm(t, name)
	}
	if edit != nil {
		edit(s)
	}
	s.write("route.map", "")
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("haproxy said:\n%s", s.log)
		}
	})
	return s
}

func (s *server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start() {
	s.t.Helper()
	addresses := map[string][]string{}
	for name, a := range s.arms {
		addresses[name] = []string{a.Address}
	}
	text, err := s.config.Sample(s.socket, s.front, addresses)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("haproxy.cfg", text+s.more)
	args := []string{"-db", "-f", filepath.Join(s.dir, "haproxy.cfg")}
	if s.master {
		args[0] = "-W"
	}
	s.log = &strings.Builder{}
	s.cmd = exec.Command("haproxy", args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	routertest.Eventually(s.t, "haproxy to start", func() error {
		conn, err := net.Dial("tcp", s.front)
		if err != nil {
			return err
		}
		conn.Close()
		_, err = s.ask("show info")
		return err
	})
}

// kill ends HAProxy the hard way, its workers too.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// worker is the process that answers at the stats socket.
func (s *server) worker() string {
	text, err := s.ask("show info")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(text, "\nPid: ")
	pid, _, _ := strings.Cut(rest, "\n")
	return pid
}

// reload begins a new worker, and returns when the old one does not answer any more.
func (s *server) reload(t *testing.T, old string) {
	t.Helper()
	var asked time.Time
	routertest.Eventually(t, "a new worker", func() error {
		// A master that is still busy with the last reload misses a signal.
		if time.Since(asked) > time.Second {
			asked = time.Now()
			if err := s.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
				return err
			}
		}
		if now := s.worker(); now == "" || now == old {
			return fmt.Errorf("the worker is %q", now)
		}
		return nil
	})
}

// ask is the runtime API by hand.
func (s *server) ask(command string) (string, error) {
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

func (s *server) must(command string) string {
	s.t.Helper()
	text, err := s.ask(command)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *server) router(o haproxy.Options) *haproxy.Router {
	s.t.Helper()
	r, err := haproxy.New("unix", s.socket, s.config, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// file are Options that keep the map.
func (s *server) file() haproxy.Options { return haproxy.Options{File: s.config.Map} }

// pool sends over connections that are kept, and opens more when all are busy.
type pool struct {
	front string
	mu    sync.Mutex
	idle  []*routertest.Client
}

func (p *pool) send(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
	p.mu.Lock()
	var c *routertest.Client
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if c == nil {
		var err error
		if c, err = routertest.Dial(ctx, p.front); err != nil {
			return traffictest.Answer{}, err
		}
	}
	answer, err := c.Send(ctx, q)
	if err != nil {
		c.Close()
		return answer, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
	return answer, nil
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// relay stands between a router and the stats socket, and fails on demand.
type relay struct {
	t      *testing.T
	path   string
	to     string
	fault  atomic.Int32 // a traffictest.Fault, or passing
	asked  atomic.Int32
	deaf   atomic.Int32 // the question that loses its answer
	hold   atomic.Int32 // the question that waits
	held   chan struct{}
	resume chan struct{}
	l      atomic.Pointer[net.Listener]
}

const passing = -1

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{t: t, path: filepath.Join(t.TempDir(), "r"), to: to}
	r.fault.Store(passing)
	r.listen()
	t.Cleanup(r.down)
	return r
}

func (r *relay) listen() {
	l, err := net.Listen("unix", r.path)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.l.Store(&l)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
}

func (r *relay) down() { (*r.l.Load()).Close() }

func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	n := r.asked.Add(1)
	if n == r.hold.Load() {
		close(r.held)
		<-r.resume
	}
	switch fault := r.fault.Load(); fault {
	case int32(traffictest.Hanging):
		_, _ = io.Copy(io.Discard, conn)
		return
	case int32(traffictest.Garbage):
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\nno\n")
		return
	default:
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return
		}
		up, err := net.Dial("unix", r.to)
		if err != nil {
			return
		}
		defer up.Close()
		io.WriteString(up, line)
		answer, err := io.ReadAll(up)
		if err == nil && fault == passing && n != r.deaf.Load() {
			_, _ = conn.Write(answer)
		}
	}
}

func (r *relay) breaks(f traffictest.Fault) (mend func()) {
	if f == traffictest.Down {
		r.down()
		return sync.OnceFunc(r.listen)
	}
	r.fault.Store(int32(f))
	return func() { r.fault.Store(passing) }
}

// loseAnswer loses the answer to the nth question from now on.
func (r *relay) loseAnswer(n int) { r.deaf.Store(r.asked.Load() + int32(n)) }

// holdAt keeps the nth question from now on waiting until resume is called.
func (r *relay) holdAt(n int) (resume func()) {
	r.held, r.resume = make(chan struct{}), make(chan struct{})
	r.hold.Store(r.asked.Load() + int32(n))
	return sync.OnceFunc(func() { close(r.resume) })
}

func (r *relay) isHeld() error {
	select {
	case <-r.held:
		return nil
	default:
		return errors.New("not yet")
	}
}

// split is a route between the two arms.
func split(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "stable", Candidate: "candidate"}, Split: traffic.Split{Candidate: w}}
}

func apply(t *testing.T, r traffic.Router, fence uint64, route traffic.Route) {
	t.Helper()
	if err := r.Apply(t.Context(), fence, route); err != nil {
		t.Fatal(err)
	}
}

func observe(t *testing.T, r traffic.Router) traffic.Seen {
	t.Helper()
	seen, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// request is one with a header.
func request(name, value string) traffictest.Request {
	return traffictest.Request{Header: map[string]string{name: value}}
}
