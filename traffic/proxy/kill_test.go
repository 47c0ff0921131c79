// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// victim is a server that dies as a process does: nothing listens any more, and
// every connection is reset.
type victim struct {
	t      *testing.T
	addr   string
	served atomic.Int64

	mu     sync.Mutex
	server *http.Server
	conns  map[net.Conn]bool
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, addr: "127.0.0.1:0"}
	v.start()
	t.Cleanup(v.kill)
	return v
}

func (v *victim) url() *url.URL { return &url.URL{Scheme: "http", Host: v.addr} }

// start listens on the address that it had before.
func (v *victim) start() {
	v.t.Helper()
	var l net.Listener
	eventually(v.t, "the address is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", v.addr)
		return err == nil
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.addr, v.conns = l.Addr().String(), map[net.Conn]bool{}
	v.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.served.Add(1)
			_, _ = io.Copy(w, r.Body)
		}),
		ConnState: func(c net.Conn, s http.ConnState) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if s == http.StateClosed || s == http.StateHijacked {
				delete(v.conns, c)
			} else {
				v.conns[c] = true
			}
		},
	}
	go func(s *http.Server) { _ = s.Serve(l) }(v.server)
}

func (v *victim) kill() {
	v.mu.Lock()
	for c := range v.conns {
		_ = c.(*net.TCPConn).SetLinger(0) //nolint:errcheck // a listener of TCP makes no other
	}
	server := v.server
	v.mu.Unlock()
	_ = server.Close()
}

// dials is a transport that counts how often each address was asked for a connection.
type dials struct {
	*http.Transport
	mu sync.Mutex
	to map[string]int
}

func newDials(t *testing.T) *dials {
	t.Helper()
	d := &dials{to: map[string]int{}}
	d.Transport = &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.mu.Lock()
		d.to[addr]++
		d.mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	t.Cleanup(d.CloseIdleConnections)
	return d
}

func (d *dials) count(addr string) int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.to[addr]
}

// eventually waits until what is true, for half a minute.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// posts sends POSTs, which nobody sends twice, from many clients until stopped.
type posts struct {
	sent, failed atomic.Int64
	stop         func()
}

const posters = 16

func startPosts(t *testing.T, to string) *posts {
	t.Helper()
	c, l := client(t), &posts{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			for ctx.Err() == nil {
				body := fmt.Sprintf("order %d", l.sent.Add(1))
				res, err := c.Post(to, "text/plain", io.MultiReader(strings.NewReader(body)))
				if err != nil {
					t.Errorf("the proxy itself failed: %v", err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || string(got) != body {
					l.failed.Add(1)
				}
			}
		})
	}
	l.stop = func() { cancel(); wg.Wait() }
	return l
}

// more waits until so many more were sent and answered.
func (l *posts) more(t *testing.T, n int64) {
	t.Helper()
	n += l.sent.Load() + posters
	eventually(t, "the load goes on", func() bool { return l.sent.Load() >= n })
}

func TestABackendIsKilledAndRestartedUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("the proxy's transport", func(t *testing.T) {
		t.Parallel()
		killAndRestart(t, nil)
	})
	t.Run("a transport that counts", func(t *testing.T) {
		t.Parallel()
		killAndRestart(t, newDials(t))
	})
}

// killAndRestart does so to one backend of three. With d, it counts the connections
// that the dead one was asked for.
func killAndRestart(t *testing.T, d *dials) {
	t.Helper()
	victims := []*victim{newVictim(t), newVictim(t), newVictim(t)}
	dead := victims[1]
	const base = 200 * time.Millisecond
	o := proxy.Options{Ejection: proxy.Ejection{Base: base, Max: 2 * base}}
	if d != nil {
		o.Transport = d
	}
	p := newProxy(t, map[string][]*url.URL{"stable": {victims[0].url(), dead.url(), victims[2].url()}}, o)
	state := func() proxy.BackendState { return p.Backends("stable")[1].State }
	load := startPosts(t, front(t, p))
	defer load.stop()
	load.more(t, 500)
	for round := range 3 {
		if n := load.failed.Load(); n > 0 {
			t.Fatalf("round %d: %d requests failed while all backends were there", round, n)
		}
		killed := time.Now()
		dead.kill()
		eventually(t, "the dead backend is ejected", func() bool { return state() == proxy.BackendEjected })
		load.more(t, 10*posters) // those that were under way have ended, too
		lost, asked := load.failed.Load(), d.count(dead.addr)
		if lost > posters {
			t.Errorf("round %d: %d requests failed, more than were under way", round, lost)
		}
		load.more(t, 500)
		trials := d.count(dead.addr) - asked
		if most := int(time.Since(killed)/base) + 1; trials > most {
			t.Errorf("round %d: %d requests were sent to the dead backend after its ejection, want at most %d trials", round, trials, most)
		}
		if n := load.failed.Load() - lost; n > 0 {
			t.Errorf("round %d: %d requests failed after the ejection", round, n)
		}
		served := dead.served.Load()
		dead.start()
		restarted := time.Now()
		eventually(t, "the restarted backend gets requests", func() bool { return dead.served.Load() > served+100 })
		t.Logf("round %d: %d lost, %d trials, back after %v", round, lost, trials, time.Since(restarted))
		if state() != proxy.BackendWell {
			t.Errorf("round %d: it gets requests and is %v", round, state())
		}
		if n := load.failed.Load() - lost; n > 0 {
			t.Errorf("round %d: %d requests failed by the restart", round, n)
		}
		load.failed.Store(0)
	}
}

func TestADeadArmAnswersAtOnceAndComesBack(t *testing.T) {
	t.Parallel()
	victims, d := []*victim{newVictim(t), newVictim(t)}, newDials(t)
	p := newProxy(t, map[string][]*url.URL{"stable": {victims[0].url(), victims[1].url()}}, proxy.Options{Transport: d})
	c, to := client(t), front(t, p)
	for _, v := range victims {
		v.kill()
	}
	unavailable := 0
	begun := time.Now()
	for range 500 {
		if status, body, _ := get(t, c, to); status == http.StatusServiceUnavailable && strings.Contains(body, "no backend takes connections") {
			unavailable++
		}
	}
	asked := d.count(victims[0].addr) + d.count(victims[1].addr)
	if most := 2 * (int(time.Since(begun)/(100*time.Millisecond)) + 2); asked > most || unavailable < 500-most {
		t.Errorf("500 requests asked the dead backends %d times and %d got 503, want at most %d trials", asked, unavailable, most)
	}
	victims[1].start()
	eventually(t, "the arm is back", func() bool {
		status, _, _ := get(t, c, to)
		return status == http.StatusOK
	})
	for range 100 {
		if status, _, _ := get(t, c, to); status != http.StatusOK {
			t.Errorf("%d after the arm came back", status)
		}
	}
}
