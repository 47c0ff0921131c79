// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// nobody is an address where nothing listens, nor will: a connection has it.
func nobody(t *testing.T) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return parse(t, "http://"+conn.LocalAddr().String())
}

// totals waits until the arm has so many requests and errors, for a handler may
// return to its client before it has counted.
func totals(t *testing.T, p *proxy.Proxy, requests, failures, canceled uint64) {
	t.Helper()
	const arm = "stable"
	var r, e, c uint64
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r, e, _, _, _ = p.Totals(arm)
		if c = p.Canceled(arm); r == requests && e == failures && c == canceled && p.InFlight(arm) == 0 {
			return
		}
	}
	t.Errorf("%s: %d requests, %d errors, %d canceled, %d under way, want %d, %d, %d, 0", arm, r, e, c, p.InFlight(arm), requests, failures, canceled)
}

func TestABackendThatIsGoneIsABadGateway(t *testing.T) {
	t.Parallel()
	p := newProxy(t, map[string][]*url.URL{"stable": {nobody(t)}}, proxy.Options{})
	status, body, _ := get(t, client(t), front(t, p))
	if status != http.StatusBadGateway || !strings.HasPrefix(body, "bad gateway: ") {
		t.Errorf("%d %q, want a 502 that says so", status, body)
	}
	totals(t, p, 1, 1, 0)
}

func TestABackendThatIsSlowIsAGatewayTimeout(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-stop })
	defer close(stop)
	p := newProxy(t, map[string][]*url.URL{"stable": {slow}}, proxy.Options{Timeout: 20 * time.Millisecond})
	status, body, _ := get(t, client(t), front(t, p))
	if status != http.StatusGatewayTimeout || !strings.HasPrefix(body, "gateway timeout: ") {
		t.Errorf("%d %q, want a 504 that says so", status, body)
	}
	totals(t, p, 1, 1, 0)
}

func TestADeadlineThatPassesIsTheArmsError(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-stop })
	defer close(stop)
	p := newProxy(t, map[string][]*url.URL{"stable": {slow}}, proxy.Options{})
	c := &http.Client{Transport: p.RoundTripper(), Timeout: 20 * time.Millisecond}
	if res, err := c.Get("http://service.example"); err == nil {
		res.Body.Close()
		t.Error("a client with a deadline got an answer")
	}
	totals(t, p, 1, 1, 0)
}

func TestAClientThatGivesUpIsNoErrorOfTheArm(t *testing.T) {
	t.Parallel()
	arrived, stop := make(chan struct{}, 1), make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-stop })
	defer close(stop)
	p := newProxy(t, map[string][]*url.URL{"stable": {slow}}, proxy.Options{})
	for i, c := range []*http.Client{client(t), {Transport: p.RoundTripper()}} {
		ctx, cancel := context.WithCancel(t.Context())
		to := "http://service.example"
		if i == 0 {
			to = front(t, p)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		go func() { <-arrived; cancel() }()
		res, err := c.Do(req)
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want it canceled", err)
		}
	}
	totals(t, p, 0, 0, 2)
}

func TestAClientThatBreaksOffItsUploadIsNoErrorOfTheArm(t *testing.T) {
	t.Parallel()
	reading := make(chan struct{}, 1)
	p := newProxy(t, map[string][]*url.URL{"stable": {serve(t, func(_ http.ResponseWriter, r *http.Request) {
		reading <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
	})}}, proxy.Options{})
	to := parse(t, front(t, p))
	conn, err := net.Dial("tcp", to.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nonly this"); err != nil {
		t.Fatal(err)
	}
	<-reading
	conn.Close()
	totals(t, p, 0, 0, 1)

	// A client that is still there, and cannot read what it wants to send.
	broken := errors.New("disk failure")
	c := &http.Client{Transport: p.RoundTripper()}
	res, err := c.Post("http://service.example", "text/plain", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)))
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	totals(t, p, 0, 0, 2)
}

func TestAnArmThatBreaksOffInTheMiddleIsAnError(t *testing.T) {
	t.Parallel()
	half := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {half}}, proxy.Options{})
	for i, c := range []*http.Client{client(t), {Transport: p.RoundTripper()}} {
		to := "http://service.example"
		if i == 0 {
			to = front(t, p)
		}
		res, err := c.Get(to)
		if err != nil {
			continue // it broke off before the header had been sent on
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("half an answer was taken for a whole one")
		}
		res.Body.Close()
	}
	totals(t, p, 2, 2, 0)
}

// TestWhatIsNotIdempotentIsNeverSentTwice has a backend that answers once on
// each connection and breaks off the next request after having read it.
func TestWhatIsNotIdempotentIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var posts atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if req.Method == http.MethodPost {
						posts.Add(1)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	p := newProxy(t, map[string][]*url.URL{"stable": {parse(t, "http://"+l.Addr().String())}}, proxy.Options{})
	c, to := client(t), front(t, p)
	get(t, c, to) // opens the connection that the POST will find
	res, err := c.Post(to, "text/plain", strings.NewReader("charge the card"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if n := posts.Load(); res.StatusCode != http.StatusBadGateway || n != 1 {
		t.Errorf("%s, and the backend read the POST %d times, want 502 and once", res.Status, n)
	}
	totals(t, p, 2, 1, 0)
}
