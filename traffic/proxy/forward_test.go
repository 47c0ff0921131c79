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
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// serveH2C serves h over HTTP/2 without TLS, and HTTP/1.1.
func serveH2C(t *testing.T, h http.Handler) *url.URL {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config = proxy.NewServer(h)
	s.Start()
	t.Cleanup(s.Close)
	return parse(t, s.URL)
}

// h2cClient speaks nothing but HTTP/2 without TLS.
func h2cClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestGRPCComesThrough speaks as gRPC does: both bodies stream at once, the status
// is in a trailer, and of an error there is nothing but that.
func TestGRPCComesThrough(t *testing.T) {
	t.Parallel()
	u := serveH2C(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("%s with te %q, want HTTP/2 with trailers", r.Proto, r.Header.Get("Te"))
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path == "/fails" {
			w.Header().Set("Grpc-Status", "5") // a head that is the end
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_ = http.NewResponseController(w).Flush() // the client does not speak before
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	u.Scheme = "h2c"
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{})
	to, c := serveH2C(t, p).String(), h2cClient(t)
	body, talk := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Te", "trailers")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		// Each word is answered before the next is said.
		fmt.Fprintf(talk, "word %d\n", i)
		if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("got word %d\n", i) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	talk.Close()
	if _, err := io.ReadAll(lines); err != nil || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailers %v, %v, want status 0", res.Trailer, err)
	}
	if req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, to+"/fails", http.NoBody); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Te", "trailers")
	failed, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	failed.Body.Close()
	if got := failed.Header.Get("Grpc-Status"); got != "5" {
		t.Errorf("status %q, want 5", got)
	}
}

func TestInterimAnswersComeFirst(t *testing.T) {
	t.Parallel()
	p := newProxy(t, map[string][]*url.URL{"stable": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		fmt.Fprint(w, "done")
	})}}, proxy.Options{})
	var early []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		early = append(early, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, front(t, p), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if len(early) != 1 || early[0] != "103</style.css>; rel=preload" || res.Header.Get("Link") != "" || res.StatusCode != http.StatusOK {
		t.Errorf("first %q, then %s with link %q", early, res.Status, res.Header.Get("Link"))
	}
}

func TestLimitsAnswerForThemselves(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}, 1), make(chan struct{})
	var log atomic.Pointer[proxy.Access]
	p := newProxy(t, map[string][]*url.URL{"stable": {serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			arrived <- struct{}{}
			<-finish
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})}}, proxy.Options{MaxBody: 10, MaxInFlight: 1, Access: func(a proxy.Access) { log.Store(&a) }})
	c, to := client(t), front(t, p)
	post := func(body io.Reader) int {
		res, err := c.Post(to, "text/plain", body)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if got := post(strings.NewReader("0123456789")); got != http.StatusOK {
		t.Errorf("ten bytes: %d", got)
	}
	if got := post(strings.NewReader("01234567890")); got != http.StatusRequestEntityTooLarge {
		t.Errorf("eleven bytes: %d, want 413", got)
	}
	if got := post(io.MultiReader(strings.NewReader("01234567890"))); got != http.StatusRequestEntityTooLarge {
		t.Errorf("eleven bytes in chunks: %d, want 413", got)
	}
	go func() {
		if res, err := c.Get(to + "/hold"); err == nil {
			res.Body.Close()
		}
	}()
	<-arrived
	status, body, header := get(t, c, to)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(body, "1 requests are under way already") {
		t.Errorf("%d %q %v, want a 503 that says when to come again", status, body, header)
	}
	if a := log.Load(); a == nil || a.Status != http.StatusServiceUnavailable || a.Arm != "" || a.Err == nil {
		t.Errorf("the log has %+v", a)
	}
	close(finish)
}

func TestTheAccessLogSaysHowEachRequestEnded(t *testing.T) {
	t.Parallel()
	logged := make(chan proxy.Access, 10) // a client may ask again
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/breaks" {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "short and stout")
	})
	p := newProxy(t, map[string][]*url.URL{"stable": {u}}, proxy.Options{Access: func(a proxy.Access) { logged <- a }})
	c, to := client(t), front(t, p)
	get(t, c, to+"/pot?token=secret")
	a := <-logged
	if a.Status != http.StatusTeapot || a.Bytes != 15 || a.Arm != "stable" || a.Backend != u.Host || a.Method != http.MethodGet || a.Path != "/pot" ||
		a.Err != nil || a.Total < a.Wait || a.Begun.IsZero() || a.Client == "" || strings.Contains(fmt.Sprint(a), "secret") {
		t.Errorf("%+v", a)
	}
	if res, err := c.Get(to + "/breaks"); err == nil {
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("half an answer looks whole")
		}
		res.Body.Close()
	}
	if a := <-logged; a.Err == nil {
		t.Errorf("an answer that broke off: %+v", a)
	}
}

func TestWhatHasNoEndIsCutAtTheDeadline(t *testing.T) {
	t.Parallel()
	p := newProxy(t, map[string][]*url.URL{"stable": {serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}}, proxy.Options{})
	c := client(t)
	res, err := c.Get(front(t, p))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	readings, err := p.Meter(t.Context())
	if want := (traffic.Reading{Requests: 1, Active: 1}); err != nil || readings["stable"] != want {
		t.Errorf("metered %+v, %v, want %+v", readings, err, want)
	}
	if n := p.Cut("stable"); n != 1 {
		t.Errorf("%d were cut, want the one stream", n)
	}
	if err := p.Drained(t.Context(), "stable"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a stream that was cut looks whole")
	}
	if p.Cut("nobody") != 0 {
		t.Error("an arm that does not exist was cut")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Meter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it canceled", err)
	}
}

// TestAnIdleConnectionThatWasClosedTakesNoRequest has the backend close connections
// as soon as they are idle, under POSTs, which may not be sent twice.
func TestAnIdleConnectionThatWasClosedTakesNoRequest(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(s.Close)
	p := newProxy(t, map[string][]*url.URL{"stable": {parse(t, s.URL)}}, proxy.Options{})
	c, to := client(t), front(t, p)
	for i := range 50 {
		res, err := c.Post(to, "text/plain", strings.NewReader(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || string(got) != fmt.Sprint(i) {
			t.Fatalf("request %d: %s %q, %v", i, res.Status, got, err)
		}
		s.CloseClientConnections()
	}
}

// FuzzABackendMayAnswerAnything has a backend answer with these bytes and close. The
// proxy neither panics, nor makes half an answer look whole, nor mixes up answers.
func FuzzABackendMayAnswerAnything(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 099 Odd\r\n\r\n", "garbage", "",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = conn.Write(answer)
				}
				conn.Close()
			}
		}()
		p, err := proxy.New(map[string][]*url.URL{"v": {parse(t, "http://"+l.Addr().String())}}, proxy.Options{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		broke := false
		func() {
			defer func() {
				if v := recover(); v != nil {
					if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
						t.Fatalf("%q: panic: %v", answer, v)
					}
					broke = true
				}
			}()
			p.ServeHTTP(final{w}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		}()
		// What net/http makes of the same bytes is the measure.
		want, err := readAnswer(answer)
		switch {
		case broke || w.Code >= http.StatusInternalServerError && err != nil:
		case err != nil && w.Code < http.StatusInternalServerError:
			t.Errorf("%q: %d %q was passed on, although %v", answer, w.Code, w.Body, err)
		case err == nil && !bytes.Equal(w.Body.Bytes(), want) && w.Code < http.StatusInternalServerError:
			t.Errorf("%q: body %q, want %q", answer, w.Body, want)
		}
	})
}

// final records what comes after interim answers.
type final struct{ *httptest.ResponseRecorder }

func (f final) WriteHeader(code int) {
	if code >= http.StatusOK || code == http.StatusSwitchingProtocols {
		f.ResponseRecorder.WriteHeader(code)
	}
}

// readAnswer is the body of the first final answer in text.
func readAnswer(text []byte) ([]byte, error) {
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		if res.StatusCode < http.StatusOK {
			continue
		}
		body, err := io.ReadAll(res.Body)
		return body, errors.Join(err, res.Body.Close())
	}
}
