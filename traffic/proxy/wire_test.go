// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// wire is a backend that speaks bytes: talk has a connection to itself.
func wire(t *testing.T, talk func(conn net.Conn, in *bufio.Reader)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				talk(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return parse(t, "http://"+l.Addr().String())
}

// always answers each request, whose body it has read, with these bytes.
func always(answer string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// dial is a client that speaks bytes.
func dial(t *testing.T, to string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", parse(t, to).Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// reply is an answer whose body is closed at the test's end.
type reply struct {
	StatusCode int
	Status     string
	Body       io.ReadCloser
}

func answer(t *testing.T, in *bufio.Reader) (*reply, error) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { res.Body.Close() })
	return &reply{res.StatusCode, res.Status, res.Body}, nil
}

// TestBothBodiesStreamAtOnce has neither side go on before it heard the other, which
// HTTP/1.1 allows, too.
func TestBothBodiesStreamAtOnce(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		_ = c.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = c.Flush()
		}
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	conn, in := dial(t, front(t, p))
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := answer(t, in)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 5 {
		word := fmt.Sprintf("word %d\n", i)
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(word), word)
		if got, err := lines.ReadString('\n'); err != nil || got != "got "+word {
			t.Fatalf("%q, %v, want the echo of %q", got, err, word)
		}
	}
	fmt.Fprint(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}

// TestAnEarlyAnswerDoesNotWaitForTheBody has the backend answer when it has seen the head.
func TestAnEarlyAnswerDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, in) // and it does not hang up
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to := front(t, p)
	for name, head := range map[string]string{
		"chunks":   "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"length":   "Content-Length: 1000000\r\n\r\nhalf",
		"expected": "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
		"short":    "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
	} {
		conn, in := dial(t, to)
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+head)
		res, err := answer(t, in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusForbidden || err != nil || string(body) != "no" {
			t.Errorf("%s: %s %q, %v, want the 403", name, res.Status, body, err)
		}
		conn.Close()
	}
	totals(t, p, 4, 0, 0)
}

// TestTheRestOfABodyIsNoRequest sends, behind an answer that came early, a body that
// looks like a request.
func TestTheRestOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		asked.Add(1)
		fmt.Fprint(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, in)
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to := front(t, p)
	evil := "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
	for i, head := range []string{
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "Content-Length: 100000\r\n\r\nhalf",
		"Content-Length: 20000\r\nExpect: 100-continue\r\n\r\n",
	} {
		conn, in := dial(t, to)
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+head)
		res, err := answer(t, in)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		_, _ = io.WriteString(conn, strings.Repeat(evil, 100)) // it may be closed by now
		if next, err := answer(t, in); err == nil {
			next.Body.Close()
			t.Errorf("%q: then answered %s", head, next.Status)
		}
		if n := asked.Load(); n != int64(i+1) {
			t.Errorf("%q: the backend was asked %d times, want %d", head, n, i+1)
		}
	}
}

func TestAClientThatExpectsToBeToldGoesOnWhenItIs(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]*url.URL{
		"told":     serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }),
		"not told": wire(t, always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")),
	} {
		p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
		conn, in := dial(t, front(t, p))
		for range 2 {
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			res, err := answer(t, in)
			if err != nil || res.StatusCode != http.StatusContinue {
				t.Fatalf("%s: %v, %v, want 100", name, res, err)
			}
			fmt.Fprint(conn, "hello")
			if res, err = answer(t, in); err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || err != nil || string(body) != "hello" {
				t.Errorf("%s: %s %q, %v", name, res.Status, body, err)
			}
		}
	}
}

// TestAnAnswerThatIsLateIsNotAskedForAgain has a backend that is quick once and then
// hangs: what has reached it must not reach it again.
func TestAnAnswerThatIsLateIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	stop := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			<-stop
		}
		fmt.Fprint(w, "ok")
	})
	defer close(stop)
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{Timeout: 100 * time.Millisecond})
	c, to := client(t), front(t, p)
	get(t, c, to)
	if status, _, _ := get(t, c, to); status != http.StatusGatewayTimeout || asked.Load() != 2 {
		t.Errorf("%d after the backend was asked %d times, want 504 after 2", status, asked.Load())
	}
}

// TestAConnectionThatDiesIdleCostsAGetNothing has a backend that hangs up on the
// second request of each connection without a word.
func TestAConnectionThatDiesIdleCostsAGetNothing(t *testing.T) {
	t.Parallel()
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_, _ = http.ReadRequest(in)
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	c, to := client(t), front(t, p)
	for range 10 {
		if status, body, _ := get(t, c, to); status != http.StatusOK || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
	}
	totals(t, p, 10, 0, 0)
}

// TestWhatNobodyAskedForIsNobodysAnswer has a backend that sends a second answer
// behind each, which the next client must not get.
func TestWhatNobodyAskedForIsNobodysAnswer(t *testing.T) {
	t.Parallel()
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
	sent := make(chan struct{}, 10)
	late := wire(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
			time.Sleep(time.Millisecond) // so that it is another packet
			fmt.Fprint(conn, stray)
			sent <- struct{}{}
		}
	})
	atOnce := wire(t, always("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"+stray))
	for name, u := range map[string]*url.URL{"late": late, "at once": atOnce} {
		p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
		c, to := client(t), front(t, p)
		for range 10 {
			if _, body, _ := get(t, c, to); body != "mine" {
				t.Fatalf("%s: the client got %q", name, body)
			}
			if name == "late" {
				<-sent // before, nobody could know of it
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
}

func TestWhatABackendMayNotAnswerIsABadGateway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"two lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
		"endless head":    "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
		"endless interim": strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 1000)+"\r\n\r\n", 1200),
		"no status":       "HTTP/1.1 099 What\r\n\r\n",
		"odd coding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"a switch":        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\n",
		"nothing":         "\r\n",
	} {
		p := newProxy(t, map[string][]*url.URL{"stable": {wire(t, always(answer))}}, proxy.Options{Timeout: 10 * time.Second})
		res, err := (&http.Transport{MaxResponseHeaderBytes: 8 << 20, DisableKeepAlives: true}).RoundTrip(
			httptest.NewRequestWithContext(t.Context(), http.MethodPost, front(t, p), http.NoBody))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if res.Body.Close(); res.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %s, want 502", name, res.Status)
		}
	}
}

// TestEachWayToEndAnAnswerIsUnderstood compares bodies, and asks twice to see that
// the connection has been left in order.
func TestEachWayToEndAnAnswerIsUnderstood(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ method, answer, body string }{
		"length":         {http.MethodGet, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"no body":        {http.MethodGet, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"head":           {http.MethodHead, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
		"no content":     {http.MethodGet, "HTTP/1.1 204 No Content\r\n\r\n", ""},
		"not modified":   {http.MethodGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""},
		"chunks":         {http.MethodGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"},
		"both":           {http.MethodGet, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"},
		"interim first":  {http.MethodGet, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"go on first":    {http.MethodGet, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"keep-alive 1.0": {http.MethodGet, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "hello"},
	} {
		p := newProxy(t, map[string][]*url.URL{"stable": {wire(t, always(tt.answer))}}, proxy.Options{})
		c, to := client(t), front(t, p)
		for range 3 {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, to, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != tt.body {
				t.Errorf("%s: %q, %v, want %q", name, body, err, tt.body)
			}
			res.Body.Close()
		}
	}
	closing := wire(t, func(conn net.Conn, in *bufio.Reader) {
		_, _ = http.ReadRequest(in)
		fmt.Fprint(conn, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {closing}}, proxy.Options{})
	c, to := client(t), front(t, p)
	for range 3 {
		if _, body, _ := get(t, c, to); body != "until the end" {
			t.Errorf("a body that ends with its connection: %q", body)
		}
	}
}

// TestOneWayToEndARequest sends what two servers could read differently, and looks
// at the bytes that reach the backend.
func TestOneWayToEndARequest(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			var head strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if head.WriteString(line); line == "\r\n" {
					break
				}
			}
			body := ""
			if strings.Contains(head.String(), "chunked") {
				for !strings.HasSuffix(body, "0\r\n\r\n") {
					b, err := in.ReadByte()
					if err != nil {
						return
					}
					body += string(b)
				}
			} else if _, rest, ok := strings.Cut(head.String(), "Content-Length: "); ok {
				text, _, _ := strings.Cut(rest, "\r\n")
				n, _ := strconv.Atoi(text)
				b := make([]byte, n)
				_, _ = io.ReadFull(in, b)
				body = string(b)
			}
			got <- head.String() + body
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to := front(t, p)
	for name, tt := range map[string]struct {
		sent, want string
		refused    bool
	}{
		"a length":        {sent: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", want: "Content-Length: 3\r\n"},
		"chunks":          {sent: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", want: "Transfer-Encoding: chunked\r\n"},
		"named as a hop":  {sent: "POST / HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc", want: "Content-Length: 3\r\n"},
		"both":            {sent: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", refused: true},
		"two lengths":     {sent: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", refused: true},
		"an odd coding":   {sent: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", refused: true},
		"a space":         {sent: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", refused: true},
		"a bare line end": {sent: "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n", refused: true},
		"two hosts":       {sent: "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", refused: true},
	} {
		conn, in := dial(t, to)
		fmt.Fprint(conn, tt.sent)
		res, err := answer(t, in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.Close()
		reached := ""
		if res.StatusCode == http.StatusOK {
			reached = <-got
		}
		// What net/http reads in spite of both is sent on with one.
		lengths := strings.Count(reached, "Content-Length:") + strings.Count(reached, "Transfer-Encoding:")
		if tt.refused && reached != "" && lengths > 1 || !tt.refused && (lengths != 1 || !strings.Contains(reached, tt.want)) {
			t.Errorf("%s: %s, and the backend read %q", name, res.Status, reached)
		}
	}
}

// TestAHeaderThatIsNoneIsRefused has the caller's own code make up what a server
// would not have let in.
func TestAHeaderThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	p := newProxy(t, map[string][]*url.URL{"stable": {serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })}}, proxy.Options{})
	for name, edit := range map[string]func(*http.Request){
		"a line end":    func(r *http.Request) { r.Header["X-A"] = []string{"b\r\nX-C: d"} },
		"a name":        func(r *http.Request) { r.Header["X A"] = []string{"b"} },
		"a method":      func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"a length only": func(r *http.Request) { r.ContentLength = 5 }, // there is no body
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Body = nil
		edit(req)
		if res, err := p.RoundTripper().RoundTrip(req); err == nil {
			res.Body.Close()
			t.Errorf("%s was sent", name)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests reached the backend", n)
	}
}

func TestAnUpgradedConnectionEndsByHalves(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
			heard, _ := io.ReadAll(rw) // until the client has no more to say
			fmt.Fprintf(conn, "heard %s", heard)
		})
		s, o := httptest.NewServer(h), proxy.Options{}
		if scheme == "https" {
			s = httptest.NewTLSServer(h)
			o.Transport = s.Client().Transport
		}
		t.Cleanup(s.Close)
		p := newProxy(t, map[string][]*url.URL{"stable": {parse(t, s.URL)}}, o)
		to := front(t, p)
		conn, in := dial(t, to)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if res, err := answer(t, in); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%s: %v, %v", scheme, res, err)
		}
		fmt.Fprint(conn, "all that I have")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:errcheck // it was dialled as TCP
			t.Fatal(err)
		}
		if all, err := io.ReadAll(in); err != nil || string(all) != "welcome\nheard all that I have" {
			t.Errorf("%s: %q, %v", scheme, all, err)
		}
		if err := p.Drained(t.Context(), "stable"); err != nil {
			t.Error(err)
		}

		// One that is not over is cut.
		conn, in = dial(t, to)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if _, err := answer(t, in); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if n := p.Cut("stable"); n != 1 {
			t.Errorf("%s: %d were cut, want 1", scheme, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := p.Drained(ctx, "stable"); err != nil {
			t.Errorf("%s: after the cut: %v", scheme, err)
		}
		cancel()
		totals(t, p, 2, 0, 0)
	}
}

func TestWhatWouldBypassTheRouteIsNotPassedOn(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, r.Header.Get("Upgrade"), r.Header.Get("Http2-Settings"))
	}, proxy.Options{})
	conn, in := dial(t, front(t, p))
	// With HTTP/2 behind it, the backend would answer whatever came next by itself.
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
	res, err := answer(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "GET" {
		t.Errorf("the backend got %q, want a plain GET", body)
	}
	fmt.Fprint(conn, "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
	if res, err = answer(t, in); err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusNotImplemented || !strings.Contains(string(body), "CONNECT") {
		t.Errorf("%s %q, want a 501 that says why", res.Status, body)
	}
}

func TestWhatMiddlewareHasSetStays(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "early")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Vary", "Accept")
		http.SetCookie(w, &http.Cookie{Name: "backend", Value: "b"})
	}, proxy.Options{})
	to := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		w.Header().Set("Link", "middleware")
		http.SetCookie(w, &http.Cookie{Name: "middleware", Value: "m"})
		p.ServeHTTP(w, r)
	})
	_, _, h := get(t, client(t), to.String())
	if got := fmt.Sprint(h["Vary"], h["Set-Cookie"], h["Link"]); got != "[Origin Accept] [middleware=m backend=b] [middleware]" {
		t.Errorf("the client got %s", got)
	}
}

// TestNobodyIsLeftBehind must not run beside others: it counts goroutines.
func TestNobodyIsLeftBehind(t *testing.T) { //nolint:paralleltest // it counts them all
	before := runtime.NumGoroutine()
	func() {
		u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/early":
				w.WriteHeader(http.StatusForbidden)
			case "/breaks":
				_, _ = io.CopyN(w, r.Body, 100)
				panic(http.ErrAbortHandler)
			default:
				_, _ = io.Copy(w, r.Body)
			}
		}))
		defer u.Close()
		p := newProxy(t, map[string][]*url.URL{"stable": {parse(t, u.URL)}}, proxy.Options{})
		s := httptest.NewServer(p)
		defer s.Close()
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		for i := range 60 {
			ctx, leave := context.WithCancel(t.Context())
			path := []string{"/", "/early", "/breaks", "/leaves"}[i%4]
			body := io.Reader(bytes.NewReader(make([]byte, 100_000)))
			if path == "/leaves" {
				r, w := io.Pipe()
				go func() { _, _ = w.Write(make([]byte, 1000)); leave(); w.Close() }()
				body = r
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			if res, err := transport.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			leave()
		}
		if err := p.Drained(t.Context(), "stable"); err != nil {
			t.Error(err)
		}
	}()
	var stacks []byte
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
		if time.Now().After(deadline) {
			stacks = make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestCodeCannotFrameARequestTwice has the caller's own headers say another length.
func TestCodeCannotFrameARequestTwice(t *testing.T) {
	t.Parallel()
	heads := make(chan string, 1)
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		var head strings.Builder
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
			head.WriteString(line)
		}
		heads <- strings.ToLower(head.String())
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	for _, name := range []string{"content-length", "Content-Length", "transfer-encoding", "TRANSFER-ENCODING"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example/", strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header[name] = []string{"chunked"}
		res, err := p.RoundTripper().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if head := <-heads; strings.Count(head, "content-length:") != 1 || strings.Contains(head, "transfer-encoding") {
			t.Errorf("%s: the backend read %q", name, head)
		}
	}
}

// TestABodyThatCannotBeReadIsBrokenForTheBackend must not make half of it look whole.
func TestABodyThatCannotBeReadIsBrokenForTheBackend(t *testing.T) {
	t.Parallel()
	missed := make(chan error, 1)
	p := one(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		missed <- err
	}, proxy.Options{Timeout: time.Hour})
	broken := errors.New("disk failure")
	res, err := (&http.Client{Transport: p.RoundTripper()}).Post("http://shop.example", "text/plain", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	select {
	case err := <-missed:
		if err == nil {
			t.Error("the backend took half a body for a whole one")
		}
	case <-time.After(20 * time.Second):
		t.Error("the backend never heard of it")
	}
}

// TestWhatWasNotTakenGoesToAnother has a POST meet a backend that does not listen.
func TestWhatWasNotTakenGoesToAnother(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]proxy.Options{
		"own":         {Ejection: proxy.Ejection{Failures: -1}},
		"a transport": {Ejection: proxy.Ejection{Failures: -1}, Transport: &http.Transport{}},
	} {
		p := newProxy(t, map[string][]*url.URL{"stable": {nobody(t), serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}}, o)
		c, to := client(t), front(t, p)
		for i := range 20 {
			for kind, body := range map[string]io.Reader{"short": strings.NewReader("pay"), "long": io.MultiReader(strings.NewReader("pay"))} {
				res, err := c.Post(to, "text/plain", body)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != "pay" {
					t.Errorf("%s, %s, %d: %s %q, %v", name, kind, i, res.Status, got, err)
				}
				res.Body.Close()
			}
		}
	}
}

// TestWhoLeavesIsMissedOnTheOtherSide has a client leave while it is answered and
// while it sends, and a backend that must hear of it soon.
func TestWhoLeavesIsMissedOnTheOtherSide(t *testing.T) {
	t.Parallel()
	there, missed := make(chan struct{}, 1), make(chan error, 1)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		there <- struct{}{}
		if r.Method == http.MethodPost {
			_, err := io.Copy(io.Discard, r.Body)
			missed <- err
			return
		}
		if r.URL.Path == "/streams" {
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		missed <- r.Context().Err()
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{Timeout: time.Hour})
	to := front(t, p)
	for name, sent := range map[string]string{
		"waits":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"listens":       "GET /streams HTTP/1.1\r\nHost: x\r\n\r\n",
		"sends chunks":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"sends a chunk": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
		"sends much":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf",
	} {
		conn, _ := dial(t, to)
		fmt.Fprint(conn, sent)
		<-there
		conn.Close()
		select {
		case err := <-missed:
			if err == nil {
				t.Errorf("a client that %s and leaves: the backend took half a body for a whole one", name)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("a client that %s and leaves: the backend never heard of it", name)
		}
	}
	within(t, "nothing is under way", func() bool { return p.InFlight("stable") == 0 })
	if _, failures, _, _, _ := p.Totals("stable"); failures != 0 {
		t.Errorf("%d errors of the arm, want none", failures)
	}
}

// TestNobodySwitchesInTheMiddleOfARequest has a backend switch protocols while the
// client still sends the body: whose the bytes that follow are, nobody could tell.
func TestNobodySwitchesInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
	got := make(chan string, 1)
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if req.URL.Path == "/whole" {
			body, _ := io.ReadAll(req.Body)
			got <- string(body)
		}
		fmt.Fprint(conn, switched)
		_, _ = io.Copy(conn, in)
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to := front(t, p)
	const head = " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
	for name, tt := range map[string]struct {
		sent string
		want int
	}{
		"half a chunk":  {"POST /" + head + "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", http.StatusBadGateway},
		"between two":   {"POST /" + head + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", http.StatusBadGateway},
		"half a length": {"POST /" + head + "Content-Length: 100000\r\n\r\nhalf", http.StatusBadGateway},
		"all chunks":    {"POST /whole" + head + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", http.StatusSwitchingProtocols},
		"a short body":  {"POST /whole" + head + "Content-Length: 4\r\n\r\nbody", http.StatusSwitchingProtocols},
	} {
		conn, in := dial(t, to)
		fmt.Fprint(conn, tt.sent)
		res, err := answer(t, in)
		if err != nil || res.StatusCode != tt.want {
			t.Fatalf("%s: %v, %v; want %d", name, res, err, tt.want)
		}
		if tt.want == http.StatusSwitchingProtocols {
			if body := <-got; body != "body" {
				t.Errorf("%s: the backend read %q", name, body)
			}
			fmt.Fprint(conn, "echo\n")
			if line, err := in.ReadString('\n'); err != nil || line != "echo\n" {
				t.Errorf("%s: %q, %v", name, line, err)
			}
		}
		conn.Close()
	}
	within(t, "nothing is under way", func() bool { return p.InFlight("stable") == 0 })
}

// TestAClientOfHTTP10GetsOneAnswer must not be told of interim ones (RFC 9110, 15.2):
// it would take one for the answer, and the answer for its body.
func TestAClientOfHTTP10GetsOneAnswer(t *testing.T) {
	t.Parallel()
	u := wire(t, always("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	conn, in := dial(t, front(t, p))
	fmt.Fprint(conn, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(in)
	if text := string(all); err != nil || !strings.HasPrefix(text, "HTTP/1.0 200 OK\r\n") || !strings.HasSuffix(text, "\r\n\r\nok") || strings.Contains(text, "103") {
		t.Errorf("the client got %q, %v", text, err)
	}
}

// TestATargetThatIsNoPathReachesNobody has clients name what a base path could not
// be put in front of.
func TestATargetThatIsNoPathReachesNobody(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	u := wire(t, func(conn net.Conn, in *bufio.Reader) {
		if line, err := in.ReadString('\n'); err == nil {
			reached.Add(1)
			t.Logf("the backend read %q", line)
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		}
	})
	u.Path = "/app"
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to := front(t, p)
	for _, target := range []string{"http:admin", "admin:admin", "x:../admin"} {
		conn, in := dial(t, to)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target)
		if res, err := answer(t, in); err != nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v, %v; want a 400", target, res, err)
		}
		conn.Close()
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests reached the backend", n)
	}
}

// TestABasePathIsOnlyPutInFront has clients ask for what would lead out of it if the
// proxy resolved it.
func TestABasePathIsOnlyPutInFront(t *testing.T) {
	t.Parallel()
	for base, front := range map[string]string{"/app": "/app", "/app/": "/app", "/a%2Fb": "/a%2Fb"} {
		u := wire(t, func(conn net.Conn, in *bufio.Reader) {
			line, _ := in.ReadString('\n')
			target := strings.Fields(line + " - -")[1]
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", target)
		})
		u = parse(t, u.String()+base)
		p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
		conn, in := dial(t, serve(t, p.ServeHTTP).String())
		for _, path := range []string{"/", "/x", "/../admin", "/%2e%2e/admin", "//host/x", "/a/./b/", "/a%2Fb?q=/../c", "/%E4%BD%A0"} {
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			res, err := answer(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != front+path {
				t.Errorf("%s in front of %s: the backend got %q, %v", base, path, got, err)
			}
		}
	}
}

// TestWhatReachedABackendIsSentOnce has a backend that answers once, and ends the
// second request on the same connection each in another way.
func TestWhatReachedABackendIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		begins string // of the answer, before the connection ends
		hangs  bool
		method string
	}{
		"a POST without an answer":  {method: http.MethodPost},
		"a GET with half a head":    {begins: "HTTP/1.1 200 OK\r\nContent-", method: http.MethodGet},
		"a GET with interim only":   {begins: "HTTP/1.1 103 Early Hints\r\n\r\n", method: http.MethodGet},
		"a GET with half a body":    {begins: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha", method: http.MethodGet},
		"a GET whose client leaves": {hangs: true, method: http.MethodGet},
	} {
		var asked atomic.Int64
		there := make(chan struct{}, 10)
		u := wire(t, func(conn net.Conn, in *bufio.Reader) {
			for {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				if asked.Add(1) == 1 {
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					continue
				}
				there <- struct{}{}
				if tt.hangs {
					_, _ = io.Copy(io.Discard, in) // until the proxy hangs up
					return
				}
				fmt.Fprint(conn, tt.begins)
				return
			}
		})
		p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{Ejection: proxy.Ejection{Failures: -1}})
		c := &http.Client{Transport: p.RoundTripper()}
		res, err := c.Get("http://shop.example/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-there
			if tt.hangs {
				leave()
			}
		}()
		req, err := http.NewRequestWithContext(ctx, tt.method, "http://shop.example/", strings.NewReader("pay"))
		if err != nil {
			t.Fatal(err)
		}
		if tt.method == http.MethodGet {
			req.Body, req.ContentLength = nil, 0
		}
		if res, err = c.Do(req); err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		leave()
		if err == nil || asked.Load() != 2 {
			t.Errorf("%s: %v, and the backend was asked %d times, want an error after 2", name, err, asked.Load())
		}
		within(t, "nothing is under way", func() bool { return p.InFlight("stable") == 0 })
	}
}
