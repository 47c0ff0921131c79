// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
	"github.com/rheostat-go/rheostat/traffic/proxy/prometheus"
)

func serve(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// used is a proxy that has carried 3 requests, one of them an error, copied 2 of
// them and did not copy a WebSocket's.
func used(t *testing.T) (*proxy.Proxy, *prom.Registry) {
	t.Helper()
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	p, err := proxy.New(map[string][]*url.URL{"v1": {serve(t, h)}, "v2": {serve(t, h), serve(t, h)}}, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg := prom.NewPedanticRegistry()
	reg.MustRegister(prometheus.New(p))
	apply(t, p, 7, "v1", "v2", traffic.Split{Mirror: traffic.Full})
	for _, path := range []string{"/", "/fail", "/upgrade"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/upgrade" {
			req.Header.Set("Upgrade", "websocket")
		}
		res, err := p.RoundTripper().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if err := p.Drained(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	return p, reg
}

func apply(t *testing.T, p *proxy.Proxy, fence uint64, stable, candidate string, s traffic.Split) {
	t.Helper()
	if err := p.Apply(t.Context(), fence, traffic.Route{Arms: traffic.Arms{Stable: stable, Candidate: candidate}, Split: s}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheProxyCountsIsExposed(t *testing.T) {
	t.Parallel()
	p, reg := used(t)
	want := `
# HELP rheostat_proxy_backends Backends of an arm, by state.
# TYPE rheostat_proxy_backends gauge
rheostat_proxy_backends{arm="v1",state="ejected"} 0
rheostat_proxy_backends{arm="v1",state="failing"} 0
rheostat_proxy_backends{arm="v1",state="well"} 1
rheostat_proxy_backends{arm="v2",state="ejected"} 0
rheostat_proxy_backends{arm="v2",state="failing"} 0
rheostat_proxy_backends{arm="v2",state="well"} 2
# HELP rheostat_proxy_copies_total Requests of which an arm was to receive a copy, by what became of it.
# TYPE rheostat_proxy_copies_total counter
` + copies("v1", 0, 0, 0) + copies("v2", 1, 1, 1) + `
# HELP rheostat_proxy_mirror_ratio Share of stable's requests that the route copies to an arm.
# TYPE rheostat_proxy_mirror_ratio gauge
rheostat_proxy_mirror_ratio{arm="v1"} 0
rheostat_proxy_mirror_ratio{arm="v2"} 1
# HELP rheostat_proxy_request_errors_total Requests that an arm answered with 500 or above, not at all, or only in part.
# TYPE rheostat_proxy_request_errors_total counter
rheostat_proxy_request_errors_total{arm="v1"} 1
rheostat_proxy_request_errors_total{arm="v2"} 0
# HELP rheostat_proxy_requests_canceled_total Requests that clients gave up before the answer began.
# TYPE rheostat_proxy_requests_canceled_total counter
rheostat_proxy_requests_canceled_total{arm="v1"} 0
rheostat_proxy_requests_canceled_total{arm="v2"} 0
# HELP rheostat_proxy_requests_in_flight Requests and copies under way to an arm.
# TYPE rheostat_proxy_requests_in_flight gauge
rheostat_proxy_requests_in_flight{arm="v1"} 0
rheostat_proxy_requests_in_flight{arm="v2"} 0
# HELP rheostat_proxy_requests_total Requests that an arm answered, or left without an answer.
# TYPE rheostat_proxy_requests_total counter
rheostat_proxy_requests_total{arm="v1"} 3
rheostat_proxy_requests_total{arm="v2"} 0
# HELP rheostat_proxy_route_fence Fence that the route in force was applied under.
# TYPE rheostat_proxy_route_fence gauge
rheostat_proxy_route_fence 7
# HELP rheostat_proxy_weight_ratio Share of the requests that the route gives an arm.
# TYPE rheostat_proxy_weight_ratio gauge
rheostat_proxy_weight_ratio{arm="v1"} 1
rheostat_proxy_weight_ratio{arm="v2"} 0
`
	names := []string{"rheostat_proxy_route_fence"}
	for _, name := range []string{"backends", "copies_total", "mirror_ratio", "request_errors_total", "requests_canceled_total", "requests_in_flight", "requests_total", "weight_ratio"} {
		names = append(names, "rheostat_proxy_"+name)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]uint64{"request_duration_seconds": 3, "copy_duration_seconds": 0} {
		h := series(t, reg, "rheostat_proxy_"+name)[0].GetHistogram()
		last := h.GetBucket()[len(h.GetBucket())-1]
		if h.GetSampleCount() != want || last.GetCumulativeCount() != want || len(h.GetBucket()) != len(p.Bounds()) || last.GetUpperBound() != 30 {
			t.Errorf("%s of v1: %v, want all %d added up to 30 s", name, h, want)
		}
		if _, _, _, since, _ := p.Totals("v1"); !math.IsNaN(h.GetSampleSum()) || !h.GetCreatedTimestamp().AsTime().Equal(since) {
			t.Errorf("%s: sum %v created %v, want none and %v", name, h.GetSampleSum(), h.GetCreatedTimestamp(), since)
		}
	}
}

// copies is the lines of an arm.
func copies(arm string, answered, failed, upgrades int) string {
	var b strings.Builder
	for _, o := range []struct {
		outcome string
		n       int
	}{{"answered", answered}, {"busy", 0}, {"cut", 0}, {"error", failed}, {"large", 0}, {"late", 0}, {"upgrade", upgrades}} {
		fmt.Fprintf(&b, "rheostat_proxy_copies_total{arm=%q,outcome=%q} %d\n", arm, o.outcome, o.n)
	}
	return b.String()
}

// series is the metrics of a name.
func series(t *testing.T, reg prom.Gatherer, name string) []*dto.Metric {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func TestAnArmsSeriesEndWithIt(t *testing.T) {
	t.Parallel()
	p, reg := used(t)
	const name = "rheostat_proxy_requests_total"
	if err := p.SetArm("v3", &url.URL{Scheme: "http", Host: "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	apply(t, p, 8, "v2", "v3", traffic.Split{})
	if n := len(series(t, reg, name)); n != 3 {
		t.Errorf("%d arms have series, want 3", n)
	}
	if err := p.RemoveArm("v1"); err != nil {
		t.Fatal(err)
	}
	for _, m := range series(t, reg, name) {
		if m.GetLabel()[0].GetValue() == "v1" {
			t.Error("an arm that was removed still has a series")
		}
	}
}

func TestManyAndOddArmsStayBounded(t *testing.T) {
	t.Parallel()
	arms := map[string][]*url.URL{"\xff": nil, "\xfe": nil, "\"\n\\": nil} // the first two look the same as UTF-8
	for i := range 100 {
		arms[fmt.Sprintf("v%d", i)] = nil
	}
	for name := range arms {
		arms[name] = []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	}
	p, err := proxy.New(arms, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg := prom.NewPedanticRegistry()
	reg.MustRegister(prometheus.New(p))
	if n := len(series(t, reg, "rheostat_proxy_requests_total")); n != 32 {
		t.Errorf("%d arms have series, want 32", n)
	}
	if len(series(t, reg, "rheostat_proxy_route_fence"))+len(series(t, reg, "rheostat_proxy_weight_ratio")) != 0 {
		t.Error("a route is exposed before there was one")
	}
}

func TestNothingToFindForALinter(t *testing.T) {
	t.Parallel()
	_, reg := used(t)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// realBinary is the path of a program that a test needs. Where it is missing the
// test is skipped by name, or fails when RHEOSTAT_REAL=1 asks for the real thing.
func realBinary(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("RHEOSTAT_REAL") == "1":
		t.Fatalf("RHEOSTAT_REAL=1 and %s is not installed: %v", name, err)
	default:
		t.Skipf("%s is not installed", name)
	}
	return ""
}

func TestRealPromtoolFindsNothingWrong(t *testing.T) {
	t.Parallel()
	promtool := realBinary(t, "promtool")
	_, reg := used(t)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "rheostat_proxy_requests_total{") {
		t.Fatalf("there is nothing to check: %d %s", w.Code, w.Body)
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = w.Body
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
