// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// desk is a control address in front of a rollout that holds its first step for
// an hour, on a router without traffic.
type desk struct {
	url    string
	runner *strategy.Runner
	router *traffic.Memory
	ended  chan strategy.State
}

func openDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{router: new(traffic.Memory), ended: make(chan strategy.State, 1)}
	var err error
	d.runner, err = strategy.NewRunner(strategy.Config{
		Store: new(strategy.MemoryStore), Poll: 10 * time.Millisecond,
		Wire: strategy.Fixed(strategy.Wiring{Routers: map[string]traffic.Router{web: d.router}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := strategy.Canary{Target: web, Hold: time.Hour}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	release := strategy.Release{Stable: strategy.Revision{Version: first}, Candidate: strategy.Revision{Version: good}}
	if _, err := d.runner.Start(t.Context(), web, strategy.Request{Release: release, Plan: p}); err != nil {
		t.Fatal(err)
	}
	look := func(ctx context.Context) (report, error) {
		e, err := d.runner.Explain(ctx, web)
		return report{Stable: first, Candidate: good, Explanation: e}, err
	}
	server := httptest.NewServer(control(d.runner, look, prom.NewRegistry()))
	t.Cleanup(server.Close)
	d.url = server.URL
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s, _ := d.runner.Run(ctx, web) // the state says how it ended
		d.ended <- s
	}()
	t.Cleanup(cancel)
	return d
}

// do makes a request, changed as the test likes, and returns status and body.
func do(t *testing.T, method, url string, change func(*http.Request)) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// waits asks for the explanation until the rollout waits for this.
func (d *desk) waits(t *testing.T, want string) {
	t.Helper()
	var body string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		_, body = do(t, http.MethodGet, d.url, nil)
		var r struct{ Explanation strategy.Explanation }
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if len(r.Explanation.Lanes) > 0 && strings.Contains(r.Explanation.Lanes[0].Waits, want) {
			return
		}
	}
	t.Fatalf("it never waits for %q; at last: %s", want, body)
}

func (d *desk) ends(t *testing.T, want strategy.Phase) {
	t.Helper()
	select {
	case s := <-d.ended:
		if s.Phase != want {
			t.Errorf("ended %v (%s), want %v", s.Phase, s.Reason, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("it did not end %v", want)
	}
}

func TestHoldResumeAndAbortByCurl(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.waits(t, "time")
	if status, body := do(t, http.MethodPost, d.url+"/hold?why=lunch", nil); status != http.StatusOK {
		t.Fatalf("hold: %d %s", status, body)
	}
	d.waits(t, "the operator's hold to end: lunch")
	if status, body := do(t, http.MethodPost, d.url+"/resume", nil); status != http.StatusOK {
		t.Fatalf("resume: %d %s", status, body)
	}
	d.waits(t, "time")
	if status, body := do(t, http.MethodPost, d.url+"/abort", nil); status != http.StatusOK {
		t.Fatalf("abort: %d %s", status, body)
	}
	d.ends(t, strategy.RolledBack)
	if status, body := do(t, http.MethodPost, d.url+"/hold", nil); status != http.StatusConflict {
		t.Errorf("hold after the end: %d %s, want %d", status, body, http.StatusConflict)
	}
}

func TestPromoteByCurl(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	if status, body := do(t, http.MethodPost, d.url+"/promote", nil); status != http.StatusOK {
		t.Fatalf("promote: %d %s", status, body)
	}
	d.ends(t, strategy.Promoted)
}

func TestControlRefusesWhoeverIsNotAtThisMachine(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for name, change := range map[string]func(*http.Request){
		"a page of another site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"an old browser":         func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a name that was bent":   func(r *http.Request) { r.Host = "evil.example" },
	} {
		if status, _ := do(t, http.MethodPost, d.url+"/abort", change); status != http.StatusForbidden {
			t.Errorf("%s: %d, want %d", name, status, http.StatusForbidden)
		}
	}
	if status, _ := do(t, http.MethodGet, d.url+"/metrics", func(r *http.Request) { r.Host = "evil.example" }); status != http.StatusForbidden {
		t.Errorf("metrics under another name: %d, want %d", status, http.StatusForbidden)
	}
	if status, _ := do(t, http.MethodGet, d.url+"/abort", nil); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /abort: %d, want %d", status, http.StatusMethodNotAllowed)
	}
	e, err := d.runner.Explain(t.Context(), web)
	if err != nil || e.Phase != strategy.Progressing {
		t.Errorf("after all of that: %v, %v; want still progressing", e.Phase, err)
	}
}

func TestControlIsBoundToLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		if s, err := listen(address, http.NotFoundHandler()); err == nil {
			t.Errorf("it listens at %s", address)
			_ = s.stop()
		}
	}
	s := quick(t)
	s.control = "0.0.0.0:0"
	if _, err := run(t.Context(), s, io.Discard); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("-control 0.0.0.0:0: %v, want a word about loopback", err)
	}
}

var controlURL = regexp.MustCompile(`POST (http://[^/]+)/hold`)

func TestMetricsHaveBothRolloutsAndTheArms(t *testing.T) {
	t.Parallel()
	var scraped string
	var problem error
	out := tape{word: "v3 gets 25%"}
	out.do = func(heard string) {
		res, err := http.Get(controlURL.FindStringSubmatch(heard)[1] + "/metrics")
		if err != nil {
			problem = err
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		scraped, problem = string(text), err
	}
	if end, err := run(t.Context(), quick(t), &out); errors.Join(err, problem) != nil || end.code() != exitFine {
		t.Fatalf("status %d, %v\n%s", end.code(), errors.Join(err, problem), out.text.String())
	}
	for _, want := range []string{
		`deployments_total{environment="quickstart",status="success",version="v2"} 1`,
		`deployment_duration_seconds_count{environment="quickstart",version="v2"} 1`,
		`canary_traffic_weight{service="web"} 25`,
		`deployments_rollback_total 0`,
		`arm="v1"`, `arm="v2"`, `arm="v3"`,
	} {
		if !strings.Contains(scraped, want) {
			t.Errorf("/metrics has no %s:\n%s", want, scraped)
		}
	}
}

func TestAnAbortIsToldByTheExitStatus(t *testing.T) {
	t.Parallel()
	out := tape{word: "v2 gets 25%"}
	out.do = func(heard string) {
		res, err := http.Post(controlURL.FindStringSubmatch(heard)[1]+"/abort", "", nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
	}
	end, err := run(t.Context(), quick(t), &out)
	if err != nil || end.code() != exitAborted {
		t.Fatalf("status %d, %v; want %d\n%s", end.code(), err, exitAborted, out.text.String())
	}
	if end.outcomes[0].phase != strategy.RolledBack || end.clients.Bad+end.clients.Moved != 0 {
		t.Errorf("ended %v with %v", end.outcomes[0].phase, end.clients)
	}
	if strings.Contains(out.text.String(), "rollout 2") {
		t.Errorf("it went on after the abort:\n%s", out.text.String())
	}
}
