// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// counted is a pair of backends that count what reaches them.
func counted(t *testing.T, o proxy.Options) (*proxy.Proxy, map[string]*atomic.Uint64) {
	t.Helper()
	seen := map[string]*atomic.Uint64{"stable": {}, "candidate": {}}
	backends := pair(t)
	for name, n := range seen {
		backends[name] = []*url.URL{serve(t, func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if r.URL.Path == "/fail" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			fmt.Fprintf(w, "%s got %s", name, body)
		})}
	}
	return newProxy(t, backends, o), seen
}

// TestMovingTheWeightLosesNoRequest moves it a thousand times under POSTs, which
// nobody sends twice, on connections that stay open.
func TestMovingTheWeightLosesNoRequest(t *testing.T) {
	t.Parallel()
	p, seen := counted(t, proxy.Options{})
	apply(t, p, 1, split(0))
	c, to := client(t), front(t, p)
	ctx, stop := context.WithCancel(t.Context())
	var sent atomic.Uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := sent.Add(1)
				want := fmt.Sprintf("got body %d", n)
				res, err := c.Post(to, "text/plain", strings.NewReader(want[4:]))
				if err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != http.StatusOK || !strings.HasSuffix(string(body), want) {
					t.Errorf("request %d: %s %q, %v, want 200 and %q", n, res.Status, body, err, want)
				}
				res.Body.Close()
			}
		})
	}
	ladder := []traffic.Weight{0, 10_000, 50_000, 100_000, 250_000, 500_000, traffic.Full}
	for fence := range uint64(1000) {
		apply(t, p, fence+2, split(ladder[fence%7]))
		for before := sent.Load(); fence%100 == 0 && sent.Load() < before+16 && !t.Failed(); {
			get(t, c, to)
			sent.Add(1)
		}
	}
	stop()
	wg.Wait()
	var total uint64
	for name, n := range seen {
		requests, errors, latency, since, ok := p.Totals(name)
		var sum uint64
		for _, k := range latency {
			sum += k
		}
		if requests != n.Load() || errors != 0 || sum != requests || since.IsZero() || !ok {
			t.Errorf("%s: %d requests, %d errors, %d latencies counted, want %d, 0 and as many", name, requests, errors, sum, n.Load())
		}
		if got := p.InFlight(name); got != 0 {
			t.Errorf("%s: %d requests under way after all were answered", name, got)
		}
		total += requests
	}
	if total != sent.Load() {
		t.Errorf("%d requests counted, %d sent", total, sent.Load())
	}
}

func TestNoRequestBeginsOnTheOldRouteOnceApplyHasReturned(t *testing.T) {
	t.Parallel()
	p, seen := counted(t, proxy.Options{})
	c, to := client(t), front(t, p)
	var wg sync.WaitGroup
	for fence := range uint64(100) {
		w, idle := traffic.Weight(0), "candidate"
		if fence%2 == 1 {
			w, idle = traffic.Full, "stable"
		}
		apply(t, p, fence, split(w))
		if err := p.Drained(t.Context(), idle); err != nil {
			t.Fatal(err)
		}
		before := seen[idle].Load()
		for range 4 {
			wg.Go(func() { get(t, c, to) })
		}
		wg.Wait()
		if after := seen[idle].Load(); after != before {
			t.Fatalf("flip %d: %d requests reached the arm at 0%%", fence, after-before)
		}
	}
}

func TestCountersAreExact(t *testing.T) {
	t.Parallel()
	p, seen := counted(t, proxy.Options{})
	apply(t, p, 1, split(500_000))
	c := &http.Client{Transport: p.RoundTripper()}
	const n = 400
	for i := range n {
		path := "/"
		if i%4 == 0 {
			path = "/fail"
		}
		get(t, c, "http://service.example"+path)
	}
	var requests, failures uint64
	for name := range seen {
		r, e, _, _, _ := p.Totals(name)
		requests += r
		failures += e
		if r != seen[name].Load() {
			t.Errorf("%s: %d requests counted, %d arrived", name, r, seen[name].Load())
		}
	}
	if requests != n || failures != n/4 {
		t.Errorf("%d requests and %d errors, want %d and %d", requests, failures, n, n/4)
	}
	if share := float64(seen["candidate"].Load()) / n; math.Abs(share-0.5) > 0.15 {
		t.Errorf("the candidate answered %v, want half", share)
	}
	if _, _, latency, _, ok := p.Totals("nobody"); ok || latency != nil {
		t.Error("an arm that does not exist has totals")
	}
	b := p.Bounds()
	if _, _, latency, _, _ := p.Totals("stable"); len(latency) != len(b)+1 {
		t.Errorf("%d latency counts for %d bounds, want one more", len(latency), len(b))
	}
	for i := range b[1:] {
		if b[i] >= b[i+1] {
			t.Errorf("bounds %v and %v do not rise", b[i], b[i+1])
		}
	}
}

// get returns the answer's status and body.
func get(t *testing.T, c *http.Client, to string, header ...string) (status int, body string, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text), res.Header
}
