// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// backend is a server on loopback that answers with its name.
func backend(t *testing.T, name string) *url.URL {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
}

func serve(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return parse(t, s.URL)
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// pair is two backends called as the suite calls them.
func pair(t *testing.T) map[string][]*url.URL {
	t.Helper()
	return map[string][]*url.URL{"stable": {backend(t, "stable")}, "candidate": {backend(t, "candidate")}}
}

func newProxy(t *testing.T, backends map[string][]*url.URL, o proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(backends, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// client has connections of its own, which end with the test.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// front serves p on loopback.
func front(t *testing.T, p *proxy.Proxy) string {
	t.Helper()
	return serve(t, p.ServeHTTP).String()
}

func sender(c *http.Client, to string) func(context.Context, traffictest.Request) (traffictest.Answer, error) {
	return func(ctx context.Context, q traffictest.Request) (traffictest.Answer, error) {
		req, err := routertest.NewRequest(ctx, http.MethodGet, host(to), q)
		if err != nil {
			return traffictest.Answer{}, err
		}
		res, err := c.Do(req) //nolint:bodyclose // ReadAnswer closes it
		if err != nil {
			return traffictest.Answer{}, err
		}
		return routertest.ReadAnswer(res)
	}
}

// host is the host and port of a URL.
func host(to string) string {
	return strings.TrimSuffix(strings.TrimPrefix(to, "http://"), "/")
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("handler", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			o := proxy.Options{File: filepath.Join(t.TempDir(), "route.json")}
			return subject(t, o, func(p *proxy.Proxy) (*http.Client, string) { return client(t), front(t, p) })
		})
	})
	t.Run("round tripper", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			o := proxy.Options{File: filepath.Join(t.TempDir(), "route.json"), Health: "/healthz"}
			return subject(t, o, func(p *proxy.Proxy) (*http.Client, string) {
				return &http.Client{Transport: p.RoundTripper()}, "http://service.example/"
			})
		})
	})
	t.Run("three backends, one dead", func(t *testing.T) {
		t.Parallel()
		traffictest.Run(t, func(t *testing.T) traffictest.Subject {
			o := proxy.Options{File: filepath.Join(t.TempDir(), "route.json")}
			return subject(t, o, func(p *proxy.Proxy) (*http.Client, string) { return client(t), front(t, p) }, nobody(t))
		})
	})
}

// subject is a proxy as the suite takes it. With dead backends, each arm has those
// between two that live.
func subject(t *testing.T, o proxy.Options, reach func(*proxy.Proxy) (*http.Client, string), dead ...*url.URL) traffictest.Subject {
	t.Helper()
	backends, c := pair(t), &suspect{}
	backends["candidate"] = []*url.URL{serve(t, c.ServeHTTP)}
	if len(dead) > 0 {
		backends["stable"] = append(append(backends["stable"], dead...), backend(t, "stable"))
		backends["candidate"] = append(append(backends["candidate"], dead...), serve(t, c.ServeHTTP))
	}
	t.Cleanup(c.mend) // before the server waits for its requests
	var again func(context.Context) (traffictest.Subject, error)
	again = func(context.Context) (traffictest.Subject, error) {
		p, err := proxy.New(backends, o)
		if err != nil {
			return traffictest.Subject{}, err
		}
		client, to := reach(p)
		s := traffictest.Subject{Router: p, Send: sender(client, to), Restart: again, Copies: c.copies.Load, Break: c.breaks}
		if _, ok := client.Transport.(*http.Transport); ok { // a client's own, so there is a connection to the proxy
			s.Connect = routertest.Connect(host(to))
		}
		return s, nil
	}
	s, err := again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// suspect is a candidate that can be made to fail.
type suspect struct {
	copies  atomic.Uint64
	failing atomic.Bool
	hanging atomic.Pointer[chan struct{}]
}

func (s *suspect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(proxy.MirrorHeader) != "" {
		s.copies.Add(1)
	}
	if mended := s.hanging.Load(); mended != nil {
		<-*mended
	}
	if s.failing.Load() {
		w.WriteHeader(http.StatusInternalServerError)
	}
	fmt.Fprint(w, "candidate")
}

func (s *suspect) breaks(_ context.Context, f traffictest.Fault) (mend func(), err error) {
	switch f {
	case traffictest.CandidateHanging:
		mended := make(chan struct{})
		s.hanging.Store(&mended)
	case traffictest.CandidateFailing:
		s.failing.Store(true)
	default:
		return nil, fmt.Errorf("the proxy is its own control plane: %w", errors.ErrUnsupported)
	}
	return s.mend, nil
}

func (s *suspect) mend() {
	s.failing.Store(false)
	if mended := s.hanging.Swap(nil); mended != nil {
		close(*mended)
	}
}

// split is a route between the pair.
func split(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: traffic.Arms{Stable: "stable", Candidate: "candidate"}, Split: traffic.Split{Candidate: w}}
}

func apply(t *testing.T, p *proxy.Proxy, fence uint64, r traffic.Route) {
	t.Helper()
	if err := p.Apply(t.Context(), fence, r); err != nil {
		t.Fatal(err)
	}
}
