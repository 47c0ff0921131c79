// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// realPrometheus runs a private server over scrape targets and gives its address.
// Where the binary is missing the test is skipped by name, or fails when
// RHEOSTAT_REAL=1 asks for the real thing.
func realPrometheus(t *testing.T, targets []*target, flags ...string) string {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	switch {
	case err == nil:
	case os.Getenv("RHEOSTAT_REAL") == "1":
		t.Fatalf("RHEOSTAT_REAL=1 and prometheus is not installed: %v", err)
	default:
		t.Skip("prometheus is not installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: arms\n  static_configs:\n"
	if len(targets) == 1 {
		text = strings.ReplaceAll(text, "200ms", "1s")
	}
	for _, x := range targets {
		text += fmt.Sprintf("  - targets: [%q]\n", x.server.Listener.Addr())
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"}, flags...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := make(chan string, 1)
	go func() {
		defer close(address)
		listening := regexp.MustCompile(`(?i)msg="?listening on"? address=(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case address <- "http://" + m[1]:
				default:
				}
			}
		}
	}()
	select {
	case a := <-address:
		if a == "" {
			t.Fatal("prometheus ended before it listened")
		}
		return a
	case <-time.After(time.Minute):
		t.Fatal("prometheus did not say where it listens")
	}
	return ""
}

// target is a program that is scraped. It can restart and be away.
type target struct {
	server  *httptest.Server
	program atomic.Pointer[program] // nil while it is away
	scrapes atomic.Int64
}

type program struct {
	handler  http.Handler
	requests *prom.CounterVec
	classic  *prom.HistogramVec
	native   *prom.HistogramVec
}

func newTarget(t *testing.T) *target {
	t.Helper()
	x := &target{}
	x.restart()
	x.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.scrapes.Add(1)
		if p := x.program.Load(); p != nil {
			p.handler.ServeHTTP(w, r)
			return
		}
		http.Error(w, "away", http.StatusServiceUnavailable)
	}))
	t.Cleanup(x.server.Close)
	return x
}

func (x *target) restart() {
	reg := prom.NewRegistry()
	p := &program{
		handler:  promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
		requests: prom.NewCounterVec(prom.CounterOpts{Name: "requests_total"}, []string{"arm", "code", "pod"}),
		classic:  prom.NewHistogramVec(prom.HistogramOpts{Name: "classic_seconds", Buckets: []float64{0.1, 1}}, []string{"arm"}),
		native:   prom.NewHistogramVec(prom.HistogramOpts{Name: "native_seconds", NativeHistogramBucketFactor: 1.1}, []string{"arm"}),
	}
	reg.MustRegister(p.requests, p.classic, p.native)
	x.program.Store(p)
}

func (x *target) serve(arm, code string, n int, took time.Duration) {
	p := x.program.Load()
	for range n {
		p.requests.WithLabelValues(arm, code, "p").Inc()
		p.classic.WithLabelValues(arm).Observe(took.Seconds())
		p.native.WithLabelValues(arm).Observe(took.Seconds())
	}
}

// patience is for machines that are busy.
const patience = 90 * time.Second

// until asks until the counts are as wanted.
func until(t *testing.T, s analysis.Source, exposed time.Time, want func(stable, candidate analysis.Counts) bool) (stable, candidate analysis.Counts, at time.Time) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		at = time.Now()
		c := check(0)
		c.Since, c.Exposed, c.Until = exposed, exposed, at
		var err error
		stable, candidate, err = s.Counts(t.Context(), c)
		if err == nil && want(stable, candidate) {
			return stable, candidate, at
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not as wanted: %+v, %+v, %v", stable, candidate, err)
		}
	}
}

func TestRealPrometheusIsCountedRight(t *testing.T) {
	t.Parallel()
	v1, v2 := newTarget(t), newTarget(t)
	v1.serve("v1", "200", 1000, 50*time.Millisecond)
	address := realPrometheus(t, []*target{v1, v2}, "--enable-feature=native-histograms")
	query := func(latency string) *prometheus.Source {
		q := simple()
		q.Latency = latency
		s, err := prometheus.New(address, q, prometheus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, native := query("classic_seconds_bucket"), query("native_seconds")
	scraped := query("")
	old := time.Now().Add(-time.Minute)
	until(t, scraped, old, func(stable, _ analysis.Counts) bool { return !stable.Since.IsZero() })
	exposed := time.Now()
	until(t, s, exposed, func(stable, _ analysis.Counts) bool { return stable.Requests == 0 && len(stable.Latency) == 3 })

	// The first errors of the candidate are born with their series.
	v1.serve("v1", "200", 100, 50*time.Millisecond)
	v2.serve("v2", "200", 7, 50*time.Millisecond)
	v2.serve("v2", "500", 3, 500*time.Millisecond)
	until(t, s, exposed, func(stable, candidate analysis.Counts) bool {
		return stable.Requests == 100 && candidate.Requests == 10 && candidate.Errors == 3 && reflect.DeepEqual(candidate.Latency, []uint64{7, 3, 0})
	})

	// A program that restarts counts on.
	v1.restart()
	v1.serve("v1", "200", 20, 2*time.Second)
	until(t, s, exposed, func(stable, _ analysis.Counts) bool {
		return stable.Requests == 120 && reflect.DeepEqual(stable.Latency, []uint64{100, 0, 20})
	})

	// A program that is away keeps what it gave, and goes on where it was.
	p := v2.program.Swap(nil)
	away, err := prometheus.New(address, prometheus.Query{
		Stable: `instance="` + v2.server.Listener.Addr().String() + `",job="$stable"`, Candidate: `job="arms"`, Requests: "up", Errors: "up",
	}, prometheus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	until(t, away, gone, func(_, candidate analysis.Counts) bool { return candidate.Requests == 0 })
	until(t, s, exposed, func(stable, candidate analysis.Counts) bool {
		return stable.Requests == 120 && candidate.Requests == 10
	})
	v2.program.Store(p)
	v2.serve("v2", "200", 5, 50*time.Millisecond)
	warm1, warm2, at := until(t, s, exposed, func(stable, candidate analysis.Counts) bool {
		return stable.Requests == 120 && candidate.Requests == 15 && candidate.Errors == 3
	})

	// One that starts over comes to the same.
	c := check(0)
	c.Exposed, c.Until = exposed, at
	if cold1, cold2 := counts(t, query("classic_seconds_bucket"), c); !reflect.DeepEqual([]analysis.Counts{cold1, cold2}, []analysis.Counts{warm1, warm2}) {
		t.Errorf("one that goes on counts\n%+v\n%+v\none that has started over\n%+v\n%+v", warm1, warm2, cold1, cold2)
	}

	stable, candidate, _ := until(t, native, exposed, func(_, candidate analysis.Counts) bool { return total(candidate.Latency) == 15 })
	if len(stable.Bounds) != 129 || above(stable, 100*time.Millisecond) != 20 || above(stable, time.Second) != 20 ||
		above(candidate, 100*time.Millisecond) != 3 || above(candidate, time.Second) != 0 || total(stable.Latency) != 120 {
		t.Errorf("native histograms: stable %+v, candidate %+v", stable, candidate)
	}
}

func total(list []uint64) (sum uint64) {
	for _, n := range list {
		sum += n
	}
	return sum
}

// above is how many took longer than a bound, or the next one above it.
func above(c analysis.Counts, bound time.Duration) (sum uint64) {
	for i, n := range c.Latency {
		if i > 0 && c.Bounds[i-1] >= bound {
			sum += n
		}
	}
	return sum
}

func TestRealPrometheusWithTenThousandSeries(t *testing.T) {
	t.Parallel()
	const pods = 2500
	exposition := func(errors int) *program {
		var b strings.Builder
		b.WriteString("# TYPE requests_total counter\n")
		for pod := range pods {
			fmt.Fprintf(&b, "requests_total{arm=\"v1\",code=\"200\",pod=\"%[1]d\"} 1\nrequests_total{arm=\"v1\",code=\"500\",pod=\"%[1]d\"} 1\n", pod)
			fmt.Fprintf(&b, "requests_total{arm=\"v2\",code=\"200\",pod=\"%[1]d\"} 1\nrequests_total{arm=\"v2\",code=\"500\",pod=\"%[1]d\"} %d\n", pod, errors)
		}
		return &program{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(b.String())) })}
	}
	x := newTarget(t)
	x.program.Store(exposition(1))

	// A server that gives up after a millisecond, and says so.
	hasty := realSource(t, realPrometheus(t, []*target{x}, "--query.timeout=1ms"), prometheus.Options{})
	errorOf := func(s *prometheus.Source, want string) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		late := time.After(patience)
		for {
			c := check(0)
			c.Exposed, c.Until = time.Now().Add(-time.Minute), time.Now()
			_, _, err := s.Counts(t.Context(), c)
			if err != nil && strings.Contains(err.Error(), want) {
				return
			}
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("error %v, want one with %q", err, want)
			}
		}
	}
	errorOf(hasty, "503 Service Unavailable, timeout: query timed out")

	address := realPrometheus(t, []*target{x})
	all := realSource(t, address, prometheus.Options{})
	exposed := time.Now().Add(-time.Minute)
	until(t, all, exposed, func(stable, _ analysis.Counts) bool { return !stable.Since.IsZero() })
	x.program.Store(exposition(2))
	until(t, all, exposed, func(stable, candidate analysis.Counts) bool {
		return stable.Requests == 0 && candidate.Requests == pods && candidate.Errors == pods
	})
	errorOf(realSource(t, address, prometheus.Options{MaxSeries: 4*pods - 1}), "MaxSeries, 9999")
}

func realSource(t *testing.T, address string, o prometheus.Options) *prometheus.Source {
	t.Helper()
	s, err := prometheus.New(address, simple(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
