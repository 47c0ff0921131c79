// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/nginx"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("with a status", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		traffictest.Run(t, func(t *testing.T) traffictest.Subject { return subject(t, s) })
	})
	t.Run("without a status", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		traffictest.Run(t, func(t *testing.T) traffictest.Subject { return blindSubject(t, s) })
	})
}

// subject is the server, with no route, behind a relay for its status.
func subject(t *testing.T, s *server) traffictest.Subject {
	t.Helper()
	between := newRelay(t, s.socket+"r", s.socket) // the name of a socket must be short
	deaf := filepath.Join(s.dir, "deaf")
	subject := newSubject(t, s, nginx.Options{
		Status: "unix:" + between.path,
		Reload: []string{"sh", "-c", `"$@" && test ! -e ` + deaf, "reload", "nginx", "-p", s.dir, "-c", s.conf, "-e", s.log(), "-s", "reload"},
	})
	subject.Break = func(ctx context.Context, f traffictest.Fault) (func(), error) {
		switch f {
		case traffictest.Deaf:
			s.write(deaf, "")
			return func() { _ = os.Remove(deaf) }, nil
		case traffictest.Down, traffictest.Hanging, traffictest.Garbage:
			return between.breaks(f), nil
		}
		return s.arms["candidate"].Break(ctx, f)
	}
	return subject
}

// blindSubject knows its nginx by commands only. It sends nothing: nothing confirms
// that nginx has obeyed, and a busy machine keeps no time to wait for instead. What
// requests meet is the same as with a status.
func blindSubject(t *testing.T, s *server) traffictest.Subject {
	t.Helper()
	subject := newSubject(t, s, nginx.Options{PIDFile: s.pid()})
	subject.Send, subject.Connect = nil, nil
	return subject
}

func newSubject(t *testing.T, s *server, o nginx.Options) traffictest.Subject {
	t.Helper()
	s.begin()
	if err := s.reload(); err != nil {
		t.Fatal(err)
	}
	send, end := s.sender()
	t.Cleanup(end)
	instance := func(context.Context) (traffic.Router, error) { return s.router(o), nil }
	subject := traffictest.Subject{
		Router:   s.router(o),
		Requests: 1000,
		Send:     send,
		Connect:  routertest.Connect(s.front),
		Foreign:  func(_ context.Context, r traffic.Route, _ string) error { return s.foreign(r) },
		Another:  instance,
		Rest:     func(context.Context) (string, error) { return s.read(s.conf), nil },
	}
	subject.Restart = func(context.Context) (traffictest.Subject, error) {
		end()
		s.kill()
		s.start()
		next := subject
		next.Router = s.router(o)
		return next, nil
	}
	return subject
}

// relay stands between a router and the status of nginx, and breaks.
type relay struct {
	path, to string

	mu    sync.Mutex
	fault *traffictest.Fault
	hung  []net.Conn
}

func newRelay(t *testing.T, path, to string) *relay {
	t.Helper()
	r := &relay{path: path, to: to}
	l, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); r.release(); wg.Wait() })
	return r
}

func (r *relay) serve(conn net.Conn) {
	r.mu.Lock()
	fault := r.fault
	if fault != nil && *fault == traffictest.Hanging {
		r.hung = append(r.hung, conn)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	defer conn.Close()
	if fault != nil {
		if *fault == traffictest.Garbage {
			buffer := make([]byte, 1024)
			_, _ = conn.Read(buffer)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nwelcome to nginx!\n")
		}
		return
	}
	back, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	defer back.Close()
	go func() { _, _ = io.Copy(back, conn) }()
	_, _ = io.Copy(conn, back)
}

func (r *relay) breaks(f traffictest.Fault) (mend func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = &f
	return func() {
		r.mu.Lock()
		r.fault = nil
		r.mu.Unlock()
		r.release()
	}
}

func (r *relay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.hung {
		conn.Close()
	}
	r.hung = nil
}
