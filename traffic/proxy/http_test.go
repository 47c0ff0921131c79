// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func one(t *testing.T, h http.HandlerFunc, o proxy.Options) *proxy.Proxy {
	t.Helper()
	return newProxy(t, map[string][]*url.URL{"stable": {serve(t, h)}}, o)
}

func TestRequestsArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s|%s|%s|%s|%s", r.Method, r.Host, r.URL, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Gone"), r.Header.Get("Te"))
	}, proxy.Options{})
	req := httptest.NewRequest(http.MethodGet, "http://shop.example/a%2Fb/?q=1;2&x=%zz", http.NoBody)
	req.Header.Set("Connection", "X-Gone")
	req.Header.Set("X-Gone", "hop by hop")
	req.Header.Set("Te", "trailers")
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, req)
	if got, want := w.Body.String(), "GET shop.example /a%2Fb/?q=1;2&x=%zz|192.0.2.1|http||trailers"; got != want {
		t.Errorf("the backend got %s, want %s", got, want)
	}
}

func TestForwardedHeadersAreTrustedOnRequest(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"))
	}, proxy.Options{TrustForwarded: true})
	req := httptest.NewRequest(http.MethodGet, "http://shop.example/", http.NoBody)
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	req.Header.Set("X-Forwarded-Proto", "https")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, req)
	if got, want := w.Body.String(), "6.6.6.6, 192.0.2.1|https|shop.example"; got != want {
		t.Errorf("the backend got %s, want %s", got, want)
	}
}

func TestTheRoundTripperLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL) }, proxy.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example/a?b", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.RoundTripper().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.InFlight("stable"); n != 1 {
		t.Errorf("%d requests under way before the body was read, want 1", n)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(body) != "shop.example/a?b" || req.URL.String() != "http://shop.example/a?b" || req.Host != "shop.example" || res.Request != req {
		t.Errorf("the backend got %s, and the request became %s %s", body, req.Host, req.URL)
	}
	if n := p.InFlight("stable"); n != 0 {
		t.Errorf("%d requests under way after the body was closed, want 0", n)
	}
}

func TestStreamsAreFlushedAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	p := one(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}, proxy.Options{})
	res, err := client(t).Get(front(t, p))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		// The backend goes on only after this line has come through.
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
		next <- struct{}{}
	}
}

func TestTrailersComeThrough(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "answer to "+r.Trailer.Get("X-Asked"))
	}, proxy.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front(t, p), io.MultiReader(strings.NewReader("in pieces")))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Asked": {"question"}}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	if got, want := res.Trailer.Get("X-Sum"), "answer to question"; got != want {
		t.Errorf("trailer %q, want %q", got, want)
	}
}

func TestAnUpgradedConnectionIsJoinedThroughAndUnderWay(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		if err := rw.Flush(); err != nil {
			t.Error(err)
		}
		line, _ := rw.ReadString('\n')
		fmt.Fprintf(rw, "echo %s", line)
		if err := rw.Flush(); err != nil {
			t.Error(err)
		}
	}, proxy.Options{})
	conn, err := net.Dial("tcp", parse(t, front(t, p)).Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v, want 101", res, err)
	}
	defer res.Body.Close()
	if n := p.InFlight("stable"); n != 1 {
		t.Errorf("%d requests under way, want the open connection", n)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q, %v, want the echo", line, err)
	}
	conn.Close()
	if err := p.Drained(t.Context(), "stable"); err != nil {
		t.Error(err)
	}
	totals(t, p, 1, 0, 0)
}

func TestABodyIsNotUnpacked(t *testing.T) {
	t.Parallel()
	p := one(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "packed for ", r.Header.Get("Accept-Encoding"))
	}, proxy.Options{})
	_, body, h := get(t, client(t), front(t, p), "Accept-Encoding", "gzip")
	if body != "packed for gzip" || h.Get("Content-Encoding") != "gzip" {
		t.Errorf("%q, %v, want it as it was sent", body, h)
	}
}
