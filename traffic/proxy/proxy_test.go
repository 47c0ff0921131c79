// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func TestWhatNewCannotUseIsNamed(t *testing.T) {
	t.Parallel()
	v1 := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	for name, tt := range map[string]struct {
		backends map[string][]*url.URL
		options  proxy.Options
		says     string
	}{
		"no name":             {map[string][]*url.URL{"": {v1}}, proxy.Options{}, "give it a name"},
		"no URL":              {map[string][]*url.URL{"v1": {nil}}, proxy.Options{}, `arm "v1": backend 0: give it a URL`},
		"no scheme":           {map[string][]*url.URL{"v1": {{Host: "localhost:80"}}}, proxy.Options{}, "want http, https or h2c"},
		"another scheme":      {map[string][]*url.URL{"v1": {{Scheme: "ftp", Host: "a"}}}, proxy.Options{}, "want http, https or h2c"},
		"no host":             {map[string][]*url.URL{"v1": {{Scheme: "http", Path: "/a"}}}, proxy.Options{}, "names no host"},
		"an unknown default":  {map[string][]*url.URL{"v1": {v1}, "v2": {v1}}, proxy.Options{Default: "v3"}, `no arm "v3": known are v1, v2`},
		"a default of none":   {nil, proxy.Options{Default: "v3"}, `no arm "v3": there are none`},
		"a folder not there":  {nil, proxy.Options{File: "testdata/missing/route.json"}, "its folder must exist"},
		"a file that is none": {nil, proxy.Options{File: "."}, "Options.File"},
	} {
		if _, err := proxy.New(tt.backends, tt.options); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.says)
		}
	}
}

func TestWhatApplyCannotCarryOutIsNamed(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pair(t), proxy.Options{})
	for name, tt := range map[string]struct {
		edit func(*traffic.Route)
		says string
	}{
		"unknown stable":    {func(r *traffic.Route) { r.Arms.Stable = "v0" }, `arms.stable: no arm "v0": known are candidate, stable`},
		"unknown candidate": {func(r *traffic.Route) { r.Arms.Candidate = "v9" }, `arms.candidate: no arm "v9"`},
		"a cookie's name":   {func(r *traffic.Route) { r.Split.Sticky.Cookie = "my side" }, "sticky: "},
		"a header's name":   {func(r *traffic.Route) { r.Split.Sticky.Header = "X:User" }, "sticky: "},
		"a match's name":    {func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Cookie: "ok"}, {Cookie: "a=b"}} }, "match[1]: "},
	} {
		r := split(traffic.Full)
		tt.edit(&r)
		if err := p.Apply(t.Context(), 1, r); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.says)
		}
	}
	if seen, err := p.Observe(t.Context()); err != nil || !seen.Route.IsZero() || seen.Room.Known {
		t.Errorf("observed %+v, %v, want no route and no room", seen, err)
	}
}

func TestBeforeAnyRouteTheDefaultServes(t *testing.T) {
	t.Parallel()
	v1, v2 := backend(t, "v1"), backend(t, "v2")
	serves := func(p *proxy.Proxy) string {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		if w.Code != http.StatusOK {
			return http.StatusText(w.Code)
		}
		return w.Body.String()
	}
	p := newProxy(t, map[string][]*url.URL{"v1": {v1}}, proxy.Options{})
	if got := serves(p); got != "v1" {
		t.Errorf("with one backend: %s, want it", got)
	}
	if err := p.SetArm("v2", v2); err != nil {
		t.Fatal(err)
	}
	if got := serves(p); got != "Service Unavailable" {
		t.Errorf("with two backends and no default: %s, want Service Unavailable", got)
	}
	if _, err := p.RoundTripper().RoundTrip(httptest.NewRequest(http.MethodGet, "http://x/", strings.NewReader("body"))); !errors.Is(err, proxy.ErrNoRoute) { //nolint:bodyclose // there is none
		t.Errorf("the round tripper: %v, want %v", err, proxy.ErrNoRoute)
	}
	if got := serves(newProxy(t, map[string][]*url.URL{"v1": {v1}, "v2": {v2}}, proxy.Options{Default: "v2"})); got != "v2" {
		t.Errorf("with a default: %s, want v2", got)
	}
}

func TestBackendsChangeWhileTheProxyRuns(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pair(t), proxy.Options{})
	apply(t, p, 1, split(traffic.Full))
	c, to := client(t), front(t, p)
	if err := p.SetArm("candidate", backend(t, "the next version")); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := get(t, c, to); got != "the next version" {
		t.Errorf("answered by %q after the address had changed", got)
	}
	if err := p.SetArm("third", backend(t, "third")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Arms(), " "); got != "candidate stable third" {
		t.Errorf("arms are %q", got)
	}
	if err := p.RemoveArm("stable"); err == nil {
		t.Error("an arm of the route in force was removed")
	}
	if err := p.RemoveArm("fourth"); err == nil {
		t.Error("an unknown arm was removed")
	}
	next := split(traffic.Full)
	next.Arms = traffic.Arms{Stable: "candidate", Candidate: "third"}
	apply(t, p, 2, next)
	if err := p.RemoveArm("stable"); err != nil {
		t.Error(err)
	}
	if _, got, _ := get(t, c, to); got != "third" {
		t.Errorf("answered by %q, want third", got)
	}
}

func TestRoomIsWhetherABackendIsThere(t *testing.T) {
	t.Parallel()
	sick := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/app/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	sick.Path = "/app"
	up := traffic.Room{Known: true, Stable: traffic.Full}
	told := traffic.Room{Known: true, Stable: 7, Candidate: 8}
	for name, tt := range map[string]struct {
		candidate *url.URL
		options   proxy.Options
		want      traffic.Room
	}{
		"both there":          {backend(t, "candidate"), proxy.Options{}, traffic.Plenty},
		"candidate gone":      {nobody(t), proxy.Options{}, up},
		"candidate gone, GET": {nobody(t), proxy.Options{Health: "/healthz"}, up},
		"candidate sick":      {sick, proxy.Options{Health: "/healthz"}, up},
		"sick but listening":  {sick, proxy.Options{}, traffic.Plenty},
		"told":                {nobody(t), proxy.Options{Room: func(context.Context) (traffic.Room, error) { return told, nil }}, told},
		"not told":            {nobody(t), proxy.Options{Room: func(context.Context) (traffic.Room, error) { return told, errors.New("no") }}, traffic.Room{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, map[string][]*url.URL{"stable": {backend(t, "stable")}, "candidate": {tt.candidate}}, tt.options)
			apply(t, p, 1, split(0))
			seen, err := p.Observe(t.Context())
			if err != nil || seen.Room != tt.want {
				t.Errorf("room %+v, %v, want %+v", seen.Room, err, tt.want)
			}
			for _, arm := range p.Arms() {
				if n, _, _, _, _ := p.Totals(arm); n != 0 {
					t.Errorf("checking counted %d requests for %s", n, arm)
				}
			}
		})
	}
}

func TestDrainedWaitsForTheLastRequest(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	backends := pair(t)
	backends["stable"] = []*url.URL{serve(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-finish })}
	p := newProxy(t, backends, proxy.Options{})
	apply(t, p, 1, split(0))
	c, to := client(t), front(t, p)
	go func() {
		if res, err := c.Get(to); err == nil {
			res.Body.Close()
		}
	}()
	<-arrived
	apply(t, p, 2, split(traffic.Full))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Drained(ended, "stable"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 requests are under way") {
		t.Errorf("while a request is under way: %v", err)
	}
	drained := make(chan error)
	go func() { drained <- p.Drained(t.Context(), "stable") }()
	select {
	case err := <-drained:
		t.Errorf("drained, %v, while a request is under way", err)
	default:
	}
	close(finish)
	if err := <-drained; err != nil || p.InFlight("stable") != 0 {
		t.Errorf("%v and %d requests under way, want none", err, p.InFlight("stable"))
	}
	if err := p.Drained(t.Context(), "nobody"); err == nil {
		t.Error("an unknown arm drained")
	}
}

func TestAClientIsGivenACookieOnce(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pair(t), proxy.Options{})
	r := split(500_000)
	r.Split.Sticky.Cookie = "side"
	apply(t, p, 1, r)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []*http.Client{client(t), {Transport: p.RoundTripper()}} {
		c.Jar = jar
		to := "http://service.example/"
		if i == 0 {
			to = front(t, p)
		}
		_, first, h := get(t, c, to)
		for _, want := range []string{"side=", "Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"} {
			if !strings.Contains(h.Get("Set-Cookie"), want) {
				t.Errorf("Set-Cookie %q, want %s in it", h.Get("Set-Cookie"), want)
			}
		}
		for range 20 {
			_, again, h := get(t, c, to)
			if again != first || h.Get("Set-Cookie") != "" {
				t.Errorf("answered by %q with %q, want %q and no cookie again", again, h.Get("Set-Cookie"), first)
			}
		}
	}
}
