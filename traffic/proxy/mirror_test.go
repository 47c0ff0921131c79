// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// mirroring is a route that copies share of stable's requests.
func mirroring(share traffic.Weight) traffic.Route {
	r := split(0)
	r.Split.Mirror = share
	return r
}

// within asks until it holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came about: %s", what)
		}
	}
}

// mirrorTo is a proxy whose stable reads all and answers "stable", and whose
// candidate is h.
func mirrorTo(t *testing.T, h http.HandlerFunc, o proxy.Options) *proxy.Proxy {
	t.Helper()
	stable := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			_, _ = io.WriteString(w, "stable")
		}
	})
	return newProxy(t, map[string][]*url.URL{"stable": {stable}, "candidate": {serve(t, h)}}, o)
}

// reach is both ways to send a request, through the handler and without it.
func reach(t *testing.T, p *proxy.Proxy) map[string]http.RoundTripper {
	t.Helper()
	to := parse(t, front(t, p))
	c := client(t)
	return map[string]http.RoundTripper{
		"handler":       transport(func(r *http.Request) (*http.Response, error) { r.URL.Host = to.Host; return c.Do(r) }),
		"round tripper": p.RoundTripper(),
	}
}

// ask sends a request of the test's own and wants stable's answer.
func ask(t *testing.T, send http.RoundTripper, method string, body io.Reader, edit func(*http.Request)) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example/a%2Fb/?q=1&x=%zz", body)
	if err != nil {
		t.Error(err)
		return
	}
	if edit != nil {
		edit(req)
	}
	res, err := send.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "stable" {
		t.Errorf("answered %s %q, %v, want it from stable", res.Status, text, err)
	}
}

func TestACopyIsTheRequestWithAMark(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	p := mirrorTo(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got <- fmt.Sprintf("%s %s %s|%s|%s %v|%s|%s|%s|%s|%v|%s", r.Method, r.Host, r.URL, r.Header.Get(proxy.MirrorHeader), body, err,
			r.Header.Get("Cookie"), r.Header.Get("X-Gone"), r.Header.Get("Te"), r.Header.Get("Expect"), r.ContentLength, r.Trailer.Get("X-Sum"))
		w.WriteHeader(http.StatusTeapot) // nobody hears
	}, proxy.Options{})
	apply(t, p, 1, mirroring(traffic.Full))
	edit := func(r *http.Request) {
		r.Header = http.Header{"Cookie": {"a=b"}, "Connection": {"X-Gone"}, "X-Gone": {"hop by hop"}, "Te": {"trailers"}}
		r.Host = "shop.example"
	}
	trailer := func(r *http.Request) {
		edit(r)
		r.Trailer = http.Header{"X-Sum": {"7"}}
		r.ContentLength = -1
	}
	expect := func(r *http.Request) { edit(r); r.Header.Set("Expect", "100-continue") }
	for way, send := range reach(t, p) {
		for name, tt := range map[string]struct {
			method string
			body   io.Reader
			edit   func(*http.Request)
			want   string
		}{
			"a GET":            {http.MethodGet, nil, edit, "1| <nil>|a=b||trailers||0|"},
			"a POST":           {http.MethodPost, strings.NewReader("pay 5"), edit, "1|pay 5 <nil>|a=b||trailers||5|"},
			"an empty POST":    {http.MethodPost, strings.NewReader(""), edit, "1| <nil>|a=b||trailers||0|"},
			"chunks":           {http.MethodPut, io.MultiReader(strings.NewReader("in "), strings.NewReader("pieces")), edit, "1|in pieces <nil>|a=b||trailers||9|"},
			"no chunk":         {http.MethodPut, io.MultiReader(), edit, "1| <nil>|a=b||trailers||0|"},
			"trailers":         {http.MethodPost, strings.NewReader("sum"), trailer, "1|sum <nil>|a=b||trailers||-1|7"},
			"expects continue": {http.MethodPost, strings.NewReader("sum"), expect, "1|sum <nil>|a=b||trailers||3|"},
		} {
			want := tt.method + " shop.example /a%2Fb/?q=1&x=%zz|" + tt.want
			ask(t, send, tt.method, tt.body, tt.edit)
			if copied := <-got; copied != want {
				t.Errorf("%s, %s: the copy was\n%s, want\n%s", way, name, copied, want)
			}
		}
	}
	within(t, "every copy counted", func() bool { return p.Copies("candidate").Requests == 14 && p.InFlight("candidate") == 0 })
	if requests, _, _, _, _ := p.Totals("candidate"); requests != 0 {
		t.Errorf("%d copies are among the candidate's requests", requests)
	}
}

func TestCopiesAreTheShareOfStablesRequests(t *testing.T) {
	t.Parallel()
	const n = 4000
	var copies, own, plain atomic.Int64
	p := mirrorTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(proxy.MirrorHeader) == "1" {
			copies.Add(1)
		} else {
			own.Add(1)
		}
		_, _ = io.WriteString(w, "candidate")
	}, proxy.Options{Mirror: proxy.MirrorLimits{Copies: n}})
	route := split(250_000)
	route.Split.Mirror = 300_000
	route.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	apply(t, p, 1, route)
	c := &http.Client{Transport: p.RoundTripper()}
	for range n {
		_, by, _ := get(t, c, "http://shop.example/")
		if by == "stable" {
			plain.Add(1)
		}
	}
	for range 100 {
		get(t, c, "http://shop.example/", "X-Preview", "yes")
	}
	if err := p.Drained(t.Context(), "candidate"); err != nil {
		t.Fatal(err)
	}
	// Five standard deviations: one run in two million is beyond them by chance.
	want := 0.3 * float64(plain.Load())
	if got := float64(copies.Load()); math.Abs(got-want) > 5*math.Sqrt(want*0.7) {
		t.Errorf("%v copies of %d requests to stable, want about %v", got, plain.Load(), want)
	}
	if own.Load() != n-plain.Load()+100 {
		t.Errorf("the candidate got %d requests of its own, want %d", own.Load(), n-plain.Load()+100)
	}
	if c := p.Copies("candidate"); c.Requests != uint64(copies.Load()) || c.Busy+c.Late != 0 || p.Copies("stable").Requests != 0 {
		t.Errorf("counted %+v, want %d", c, copies.Load())
	}
}

func TestABodyIsCopiedByteForByteUpToTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 200_000
	got := make(chan [sha256.Size]byte, 1)
	p := mirrorTo(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- sha256.Sum256(body)
	}, proxy.Options{Mirror: proxy.MirrorLimits{Body: limit}})
	apply(t, p, 1, mirroring(traffic.Full))
	sizes := []int{1, 511, 512, 32 << 10, 32<<10 + 1, limit - 1, limit}
	for range 40 {
		sizes = append(sizes, 1+rand.IntN(limit))
	}
	large := uint64(0)
	for _, send := range reach(t, p) {
		for i, size := range sizes {
			body := make([]byte, size)
			for j := range body {
				body[j] = byte(rand.Uint32())
			}
			whole := func() io.Reader {
				if i%2 == 0 {
					return bytes.NewReader(body)
				}
				return io.MultiReader(bytes.NewReader(body)) // of no known length
			}
			ask(t, send, http.MethodPost, whole(), nil)
			if <-got != sha256.Sum256(body) {
				t.Errorf("the copy of %d bytes is not what was sent", size)
			}
		}
		for _, body := range []io.Reader{bytes.NewReader(make([]byte, limit+1)), io.MultiReader(bytes.NewReader(make([]byte, limit+1)))} {
			ask(t, send, http.MethodPost, body, nil)
			large++
			within(t, "a body above the limit counted", func() bool { return p.Copies("candidate").Large == large })
		}
	}
	if err := p.Drained(t.Context(), "candidate"); err != nil || len(got) > 0 {
		t.Errorf("%v, and %d copies of bodies above the limit", err, len(got))
	}
}

// TestACandidateThatHangsCostsOnlyCopies has stable answer hundreds of requests,
// bodies and all, while not one copy ever ends.
func TestACandidateThatHangsCostsOnlyCopies(t *testing.T) {
	t.Parallel()
	const limit, clients, each = 8, 8, 50
	stop := make(chan struct{})
	var hanging atomic.Int64
	p := mirrorTo(t, func(http.ResponseWriter, *http.Request) { hanging.Add(1); <-stop },
		proxy.Options{Mirror: proxy.MirrorLimits{Copies: limit, Timeout: time.Hour}})
	mend := sync.OnceFunc(func() { close(stop) })
	defer mend()
	apply(t, p, 1, mirroring(traffic.Full))
	send := reach(t, p)
	var wg sync.WaitGroup
	for i := range clients {
		way := send["handler"]
		if i%2 == 0 {
			way = send["round tripper"]
		}
		wg.Go(func() {
			for j := range each {
				ask(t, way, http.MethodPost, strings.NewReader(strings.Repeat("x", j*100)), nil)
			}
		})
	}
	wg.Wait()
	within(t, "as many copies hang as may", func() bool { return hanging.Load() == limit })
	if n := p.InFlight("candidate"); n != limit {
		t.Errorf("%d copies under way, want %d", n, limit)
	}
	if c := p.Copies("candidate"); c.Busy != clients*each-limit || c.Requests != 0 {
		t.Errorf("counted %+v, want %d busy", c, clients*each-limit)
	}
	apply(t, p, 2, mirroring(0))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Drained(ended, "candidate"); !errors.Is(err, context.Canceled) {
		t.Errorf("drained, %v, while copies are under way", err)
	}
	if err := p.RemoveArm("candidate"); err == nil {
		t.Error("an arm was removed under its copies")
	}
	mend()
	if err := p.Drained(t.Context(), "candidate"); err != nil {
		t.Error(err)
	}
	if n := p.KeptForCopies(); n != 0 {
		t.Errorf("%d bytes are still kept after all copies are over", n)
	}
}

// noneOfItsOwn wants copies not to be among what the candidate was asked.
func noneOfItsOwn(t *testing.T, p *proxy.Proxy) {
	t.Helper()
	if requests, failed, _, _, _ := p.Totals("candidate"); requests+failed+p.Canceled("candidate") != 0 {
		t.Errorf("copies count as %d requests, %d errors and %d given up of the candidate", requests, failed, p.Canceled("candidate"))
	}
}

func TestACopyEndsByItsTimeLimit(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-stop },
		"half of one": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-stop
		},
	} {
		p := mirrorTo(t, h, proxy.Options{Mirror: proxy.MirrorLimits{Timeout: 20 * time.Millisecond}})
		apply(t, p, 1, mirroring(traffic.Full))
		ask(t, p.RoundTripper(), http.MethodGet, nil, nil)
		if err := p.Drained(t.Context(), "candidate"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c := p.Copies("candidate"); c.Requests != 1 {
			t.Errorf("%s: counted %+v, want one copy", name, c)
		}
		noneOfItsOwn(t, p)
	}
	close(stop)
}

func TestACandidateThatDiesCostsOnlyCopies(t *testing.T) {
	t.Parallel()
	var turn atomic.Int64
	p := mirrorTo(t, func(w http.ResponseWriter, _ *http.Request) {
		switch turn.Add(1) % 4 {
		case 0:
			panic(http.ErrAbortHandler) // before the answer
		case 1:
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // in the middle of it
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}, proxy.Options{})
	apply(t, p, 1, mirroring(traffic.Full))
	for range 40 {
		ask(t, p.RoundTripper(), http.MethodPost, strings.NewReader("body"), nil)
		if err := p.Drained(t.Context(), "candidate"); err != nil {
			t.Fatal(err)
		}
	}
	if c := p.Copies("candidate"); c.Requests != 40 || c.Errors != 30 {
		t.Errorf("counted %+v, want 40 with 30 errors", c)
	}
	noneOfItsOwn(t, p)
	if err := p.SetArm("candidate", nobody(t)); err != nil {
		t.Fatal(err)
	}
	ask(t, p.RoundTripper(), http.MethodPost, strings.NewReader("body"), nil)
	within(t, "a copy nobody takes is counted", func() bool { c := p.Copies("candidate"); return c.Requests == 41 && c.Errors == 31 })
}

func TestACopyDoesNotEndWithItsRequest(t *testing.T) {
	t.Parallel()
	arrived, stop := make(chan struct{}, 1), make(chan struct{})
	p := mirrorTo(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-stop:
		case <-r.Context().Done():
			t.Error("the copy was canceled")
		}
	}, proxy.Options{})
	apply(t, p, 1, mirroring(traffic.Full))
	ctx, leave := context.WithCancel(t.Context())
	ask(t, p.RoundTripper(), http.MethodGet, nil, func(r *http.Request) { *r = *r.WithContext(ctx) })
	<-arrived
	leave()
	close(stop)
	if err := p.Drained(t.Context(), "candidate"); err != nil {
		t.Fatal(err)
	}
	if c := p.Copies("candidate"); c.Requests != 1 || c.Errors != 0 {
		t.Errorf("counted %+v, want a copy without an error", c)
	}
}

func TestWhatCannotBeCopiedIsCounted(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	p := mirrorTo(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a copy of %s %s came", r.Method, r.URL) },
		proxy.Options{Ejection: proxy.Ejection{Failures: 1}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	apply(t, p, 1, mirroring(traffic.Full))
	send := p.RoundTripper()
	ask(t, send, http.MethodGet, nil, func(r *http.Request) { r.Header.Set("Connection", "Upgrade"); r.Header.Set("Upgrade", "websocket") })

	// The client breaks off, for which nobody is ejected.
	conn, err := net.Dial("tcp", parse(t, front(t, p)).Host)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
	within(t, "what there is of the body is kept", func() bool { return p.KeptForCopies() > 0 })
	conn.Close()
	totals(t, p, 1, 0, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := send.RoundTrip(req); err == nil {
		res.Body.Close()
		t.Error("half a request was answered")
	}
	totals(t, p, 1, 0, 2)
	if text := log.String(); strings.Contains(text, "ejected") {
		t.Errorf("stable is blamed for its clients:\n%s", text)
	}
	ask(t, send, http.MethodConnect, nil, nil)
	// The route changes while the client sends.
	first, second := io.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		ask(t, send, http.MethodPost, first, nil)
	}()
	fmt.Fprint(second, "half ")
	apply(t, p, 2, mirroring(0))
	fmt.Fprint(second, "whole")
	second.Close()
	<-over
	totals(t, p, 3, 0, 2)
	want := proxy.Copies{Upgrades: 2, Cut: 2, Late: 1}
	got := func() proxy.Copies { c := p.Copies("candidate"); c.Latency = nil; return c }
	within(t, "all of it counted", func() bool { c := got(); return c.Upgrades+c.Cut+c.Late == 5 })
	if c := got(); fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("counted %+v, want %+v", c, want)
	}
	if p.KeptForCopies() != 0 || p.InFlight("candidate") != 0 {
		t.Errorf("%d bytes kept, %d copies under way, want none", p.KeptForCopies(), p.InFlight("candidate"))
	}
	if c := p.Copies("nobody"); c.Latency != nil {
		t.Errorf("an arm that does not exist has %+v", c)
	}
}

// lockedBuffer is text that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestMemoryKeptForCopiesIsBounded has many clients send half a body each.
func TestMemoryKeptForCopiesIsBounded(t *testing.T) {
	t.Parallel()
	const copies, body, clients = 4, 1000, 20
	var copied atomic.Int64
	p := mirrorTo(t, func(http.ResponseWriter, *http.Request) { copied.Add(1) }, proxy.Options{Mirror: proxy.MirrorLimits{Copies: copies, Body: body}})
	apply(t, p, 1, mirroring(traffic.Full))
	var wg sync.WaitGroup
	pipes := make([]*io.PipeWriter, clients)
	for i := range pipes {
		r, w := io.Pipe()
		pipes[i] = w
		wg.Go(func() { ask(t, p.RoundTripper(), http.MethodPost, r, nil) })
		if _, err := w.Write(make([]byte, body/2)); err != nil {
			t.Fatal(err)
		}
	}
	most := int64(copies * body)
	within(t, "as much is kept as may, and the rest dropped", func() bool {
		return p.KeptForCopies() == most && p.Copies("candidate").Busy == clients-2*copies
	})
	for _, w := range pipes {
		w.Close()
	}
	wg.Wait()
	within(t, "nothing is kept", func() bool { return p.KeptForCopies() == 0 })
	if err := p.Drained(t.Context(), "candidate"); err != nil {
		t.Fatal(err)
	}
	if c := p.Copies("candidate"); uint64(copied.Load()) != c.Requests || c.Requests+c.Busy != clients {
		t.Errorf("%d copies came, counted %+v", copied.Load(), c)
	}
}

func TestOnlyTheProxyMarksACopy(t *testing.T) {
	t.Parallel()
	for trust, want := range map[bool]string{false: "", true: "forged"} {
		p := one(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get(proxy.MirrorHeader)) }, proxy.Options{TrustForwarded: trust})
		if _, got, _ := get(t, client(t), front(t, p), proxy.MirrorHeader, "forged"); got != want {
			t.Errorf("with TrustForwarded %v the backend got the mark %q, want %q", trust, got, want)
		}
	}
}

func TestATransportThatPanicsOnACopyEndsNothing(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	p := newProxy(t, map[string][]*url.URL{"stable": {u}, "candidate": {u}}, proxy.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get(proxy.MirrorHeader) != "" {
			panic("no copies here")
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("stable")), Request: r}, nil
	})})
	apply(t, p, 1, mirroring(traffic.Full))
	ask(t, p.RoundTripper(), http.MethodGet, nil, nil)
	if err := p.Drained(t.Context(), "candidate"); err != nil {
		t.Fatal(err)
	}
	if c := p.Copies("candidate"); c.Requests != 1 || c.Errors != 1 {
		t.Errorf("counted %+v, want one with an error", c)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestMirrorLimitsBelowZeroAreRefused(t *testing.T) {
	t.Parallel()
	for field, limits := range map[string]proxy.MirrorLimits{"Copies": {Copies: -1}, "Body": {Body: -1}, "Timeout": {Timeout: -1}} {
		if _, err := proxy.New(nil, proxy.Options{Mirror: limits}); err == nil || !strings.Contains(err.Error(), "Options.Mirror."+field+": ") {
			t.Errorf("%v, want an error about %s", err, field)
		}
	}
}
