// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

// server is a private redis-server.
type server struct {
	t       testing.TB
	dir     string
	address string
	args    []string
	cmd     *exec.Cmd
}

func startServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("RHEOSTAT_REAL") == "1" {
			tb.Fatal("redis-server is not installed, and RHEOSTAT_REAL wants it")
		}
		tb.Skip("redis-server is not installed")
	}
	s := &server{t: tb, dir: tb.TempDir(), args: args}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.address = listener.Addr().String()
	listener.Close()
	s.start()
	tb.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	s.cmd = exec.Command("redis-server", slices.Concat([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes", "--loglevel", "warning",
		"--logfile", filepath.Join(s.dir, "log"), "--enable-debug-command", "yes",
	}, s.args)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server to listen", func() error {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			err = errors.Join(c.SetDeadline(time.Now().Add(time.Second)), ping(c), c.Close())
		}
		return err
	})
}

// ping asks for any answer but that it is still loading.
func ping(c net.Conn) error {
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err == nil && string(answer[:min(n, 8)]) == "-LOADING" {
		err = errors.New("it is loading")
	}
	return err
}

// kill ends the server at once, with SIGKILL.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
	}
}

// forget has the next start find nothing.
func (s *server) forget() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
}

// proxy is the network between a client and the server.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	hangs bool // bytes are swallowed both ways
	conns map[net.Conn]struct{}
}

func startProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{Listener: listener, to: to, conns: make(map[net.Conn]struct{})}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() {
		listener.Close()
		p.drop()
		group.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	back, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer back.Close()
	p.mu.Lock()
	p.conns[c], p.conns[back] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		delete(p.conns, back)
		p.mu.Unlock()
	}()
	var group sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, back}, {back, c}} {
		group.Go(func() {
			defer way[0].Close()
			defer way[1].Close()
			_, _ = io.Copy(gate{p, way[1]}, way[0]) // it ends with the connection
		})
	}
	group.Wait()
}

// gate lets bytes through while the proxy does.
type gate struct {
	*proxy
	to net.Conn
}

func (g gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	hangs := g.hangs
	g.mu.Unlock()
	if hangs {
		return len(b), nil
	}
	return g.to.Write(b)
}

// hang swallows what is sent, or ends that. Connections that have lost bytes are cut then.
func (p *proxy) hang(on bool) {
	p.mu.Lock()
	p.hangs = on
	p.mu.Unlock()
	if !on {
		p.drop()
	}
}

// drop cuts all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func connect(tb testing.TB, address string) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: address, DialTimeout: time.Second, ReadTimeout: time.Second, MaxRetries: 1})
	tb.Cleanup(func() { _ = c.Close() }) // a test may have closed it
	return c
}

// mini is a fake Redis in this process.
func mini(tb testing.TB) (*miniredis.Miniredis, *redis.Client) {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return m, connect(tb, m.Addr())
}

func newStore(tb testing.TB, c redis.UniversalClient, o redisflags.Options) *redisflags.Store {
	tb.Helper()
	s, err := redisflags.New(c, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// run runs a client of the store until the test ends.
func run(tb testing.TB, s flags.Source) *flags.Client {
	tb.Helper()
	client, err := flags.New(s, flags.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx) // it ends with ctx
	}()
	tb.Cleanup(func() {
		stop()
		<-done
	})
	return client
}

func put(tb testing.TB, s *redisflags.Store, f *flags.Flag) int64 {
	tb.Helper()
	version, err := s.Put(tb.Context(), f)
	if err != nil {
		tb.Fatal(err)
	}
	return version
}

// percent is a flag for p thousandths of a percent.
func percent(key string, p int) *flags.Flag {
	return &flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage", Percentage: flags.Percent(p)}}
}

// shown is the percentage that the client has, or -1.
func shown(c *flags.Client, key string) int {
	if f, ok := c.Flag(key); ok && f.Rollout != nil {
		return int(f.Rollout.Percentage)
	}
	return -1
}

// eventually waits for what comes soon, or some time.
func eventually(tb testing.TB, what string, ask func() error) {
	tb.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	tb.Fatalf("waited for %s: %v", what, err)
}

var errNotYet = errors.New("not yet")

func until(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	eventually(tb, what, func() error {
		if is() {
			return nil
		}
		return errNotYet
	})
}

// set is what a program does that knows nothing of versions.
func set(tb testing.TB, c redis.Cmdable, key, text string) {
	tb.Helper()
	if err := c.Set(tb.Context(), key, text, 0).Err(); err != nil {
		tb.Fatal(err)
	}
}
