// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

// compiled is a plan for split, and a request as browsers send them.
func compiled(tb testing.TB, s traffic.Split) (*Proxy, *plan, *http.Request) {
	tb.Helper()
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	p, err := New(map[string][]*url.URL{"v1": {u}, "v2": {u}}, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Apply(tb.Context(), 1, traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: s}); err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Cookie", "session=0123456789abcdef; theme=dark; side=fedcba9876543210")
	r.Header.Set("X-User", "fedcba9876543210")
	return p, p.plan.Load(), r
}

func BenchmarkPick(b *testing.B) {
	for _, bb := range []struct {
		name  string
		split traffic.Split
	}{
		{"random", traffic.Split{Candidate: 250_000}},
		{"cookie", traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Cookie: "side"}}},
		{"header", traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Header: "X-User"}}},
		{"match", traffic.Split{Match: []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Cookie: "side", Value: "fedcba9876543210"}}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			_, p, r := compiled(b, bb.split)
			b.ReportAllocs()
			for b.Loop() {
				p.pick(r)
			}
		})
	}
}

// BenchmarkHandler compares with a reverse proxy as carefully tuned, which
// neither picks nor counts. The backend is in process: what is measured is the proxies.
func BenchmarkHandler(b *testing.B) {
	answer := transportFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader("hello")), ContentLength: 5,
		}, nil
	})
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	p, err := New(map[string][]*url.URL{"v1": {u}, "v2": {u}}, Options{Transport: answer})
	if err != nil {
		b.Fatal(err)
	}
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: 250_000, Sticky: traffic.Sticky{Cookie: "side"}}}
	if err := p.Apply(b.Context(), 1, route); err != nil {
		b.Fatal(err)
	}
	plain := &httputil.ReverseProxy{Transport: answer, BufferPool: &bufferPool{}, Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(u)
		pr.Out.Host = pr.In.Host
		pr.SetXForwarded()
	}}
	for name, h := range map[string]http.Handler{"proxy": p, "plain": plain} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Cookie", "side=fedcba9876543210")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}
