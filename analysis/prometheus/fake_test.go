// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// fake is a server that keeps samples and answers with those of the window that it
// is asked for. It evaluates nothing: every series is in every answer.
type fake struct {
	*httptest.Server
	mu      sync.Mutex
	series  []*fakeSeries
	named   map[string]*fakeSeries
	queries []string
	scrapes func(at time.Time)                                // is called before each answer
	answer  func(w http.ResponseWriter, r *http.Request) bool // true where it has answered
}

type fakeSeries struct {
	labels map[string]string
	points []fakePoint
}

type fakePoint struct {
	at     time.Time
	v      float64
	native any // a native histogram in place of v
}

func newFake(tb testing.TB) *fake {
	tb.Helper()
	f := &fake{named: map[string]*fakeSeries{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	tb.Cleanup(f.Close)
	return f
}

var window = regexp.MustCompile(`\[(\d+)ms\]\)?$`)

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		panic(err)
	}
	query := r.PostForm.Get("query")
	if answer := f.hook(query); answer != nil && answer(w, r) {
		return
	}
	seconds, err := strconv.ParseFloat(r.PostForm.Get("time"), 64)
	if f.scrapes != nil {
		f.scrapes(time.UnixMilli(int64(seconds*1000 + 0.5)))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := window.FindStringSubmatch(query)
	if err != nil || m == nil || r.URL.Path != "/api/v1/query" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	length, _ := strconv.Atoi(m[1])
	at := time.UnixMilli(int64(seconds*1000 + 0.5))
	last := strings.HasPrefix(query, "last_over_time(")
	result := []map[string]any{}
	for _, s := range f.series {
		var values, natives [][2]any
		began := at.Add(-time.Duration(length) * time.Millisecond)
		i := sort.Search(len(s.points), func(i int) bool { return s.points[i].at.After(began) })
		for _, p := range s.points[i:] {
			if p.at.After(at) {
				break
			}
			if p.native != nil {
				natives = append(natives, [2]any{float64(p.at.UnixMilli()) / 1000, p.native})
				continue
			}
			values = append(values, [2]any{float64(p.at.UnixMilli()) / 1000, strconv.FormatFloat(p.v, 'f', -1, 64)})
		}
		switch {
		case len(natives) > 0:
			result = append(result, map[string]any{"metric": s.labels, "histograms": natives})
		case len(values) == 0:
		case last:
			result = append(result, map[string]any{"metric": s.labels, "value": [2]any{seconds, values[len(values)-1][1]}})
		default:
			result = append(result, map[string]any{"metric": s.labels, "values": values})
		}
	}
	kind := "matrix"
	if last {
		kind = "vector"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": result}})
}

func (f *fake) hook(query string) func(http.ResponseWriter, *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, query)
	return f.answer
}

// scrape adds a sample to a series, which is written as in PromQL.
func (f *fake) scrape(at time.Time, series string, v float64) {
	f.add(series, fakePoint{at: at, v: v})
}

// scrapeNative adds a native histogram.
func (f *fake) scrapeNative(at time.Time, series string, h any) {
	f.add(series, fakePoint{at: at, native: h})
}

func (f *fake) add(series string, p fakePoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.named[series]
	if s == nil {
		s = &fakeSeries{labels: labelsIn(series)}
		f.series = append(f.series, s)
		f.named[series] = s
	}
	s.points = append(s.points, p)
}

var pair = regexp.MustCompile(`(\w+)="([^"]*)"`)

func labelsIn(series string) map[string]string {
	name, rest, _ := strings.Cut(series, "{")
	labels := map[string]string{"__name__": name}
	for _, m := range pair.FindAllStringSubmatch(rest, -1) {
		labels[m[1]] = m[2]
	}
	return labels
}

// asked are the queries so far.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.queries)
}

// answers makes the server say something else.
func (f *fake) answers(h func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = h
}

func (f *fake) says(status int, body string) {
	f.answers(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	})
}

// start is when the candidate of every test first got traffic.
var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func check(after time.Duration) analysis.Check {
	return analysis.Check{
		Service: "checkout", Name: "errors", Run: 3, Lane: "all", Stable: "v1", Candidate: "v2", Target: "eu",
		Since: start, Exposed: start, Until: start.Add(after),
	}
}

// simple is a query without latency.
func simple() prometheus.Query {
	return prometheus.Query{
		Stable: `arm="$stable"`, Candidate: `arm="$candidate"`,
		Requests: `requests_total`, Errors: `requests_total{code=~"5.."}`,
	}
}

func source(tb testing.TB, f *fake, q prometheus.Query, o prometheus.Options) *prometheus.Source {
	tb.Helper()
	s, err := prometheus.New(f.URL, q, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func counts(tb testing.TB, s analysis.Source, c analysis.Check) (stable, candidate analysis.Counts) {
	tb.Helper()
	stable, candidate, err := s.Counts(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return stable, candidate
}
