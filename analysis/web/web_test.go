// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
	"github.com/rheostat-go/rheostat/analysis/web"
)

// serve is a server of this test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// endpoint may be on loopback, as the servers of tests are.
func endpoint(t *testing.T, address string, o web.Options) *web.Endpoint {
	t.Helper()
	o.AllowPrivate = true
	e, err := web.New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func source(t *testing.T, e *web.Endpoint, f web.Fields) *web.Source {
	t.Helper()
	s, err := e.Source(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counter serves what a Counter has counted.
func counter(t *testing.T, n *analysistest.Counter) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		stable, candidate, err := n.Counts(r.Context(), analysis.Check{Stable: r.FormValue("a"), Candidate: r.FormValue("b")})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		type arm struct {
			Requests, Errors uint64
			Latency          []uint64
		}
		answer := map[string]any{"arms": map[string]arm{
			r.FormValue("a"): {stable.Requests, stable.Errors, stable.Latency}, r.FormValue("b"): {candidate.Requests, candidate.Errors, candidate.Latency},
		}}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})
}

func counted(t *testing.T, judge func(src analysis.Source) (analysis.Judge, error)) analysistest.Subject {
	t.Helper()
	bounds := []time.Duration{100 * time.Millisecond, time.Second}
	n := analysistest.NewCounter(bounds...)
	n.Add("stable", 0, 0)
	n.Add("candidate", 0, 0)
	e := endpoint(t, counter(t, n)+"/?a={stable}&b={candidate}", web.Options{})
	at := func(arm string) web.Arm {
		return web.Arm{Requests: "/arms/{" + arm + "}/Requests", Errors: "/arms/{" + arm + "}/Errors", Latency: "/arms/{" + arm + "}/Latency"}
	}
	src := source(t, e, web.Fields{Stable: at("stable"), Candidate: at("candidate"), Bounds: bounds})
	return analysistest.Subject{
		Judge: func() analysis.Judge {
			j, err := judge(src)
			if err != nil {
				t.Fatal(err)
			}
			return j
		},
		Feeds: []analysistest.Evidence{analysistest.None, analysistest.Good, analysistest.Bad, analysistest.Down},
		Feed: func(e analysistest.Evidence) {
			n.Break(nil)
			switch e {
			case analysistest.Good, analysistest.Bad:
				n.Took("stable", 900, 10*time.Millisecond)
				n.Took("candidate", 100, 10*time.Millisecond)
				if e == analysistest.Bad {
					n.Took("candidate", 50, 2*time.Second)
					n.Add("candidate", 50, 50)
				}
			case analysistest.Down:
				n.Break(errors.New("down"))
			case analysistest.None, analysistest.NotANumber:
			}
		},
	}
}

func TestJudgesOfAnEndpointKeepTheLaw(t *testing.T) {
	t.Parallel()
	for name, judge := range map[string]func(analysis.Source) (analysis.Judge, error){
		"compare": func(src analysis.Source) (analysis.Judge, error) {
			return analysis.NewCompare(src, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute, IdleLimit: 1}})
		},
		"error rate": func(src analysis.Source) (analysis.Judge, error) {
			return analysis.NewThreshold(analysis.ErrorRate(src), analysis.AtMost(0.01), analysis.ThresholdOptions{})
		},
		"latency": func(src analysis.Source) (analysis.Judge, error) {
			return analysis.NewThreshold(analysis.LatencyAbove(src, time.Second), analysis.AtMost(0.05), analysis.ThresholdOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, func(t *testing.T) analysistest.Subject { t.Helper(); return counted(t, judge) })
		})
	}
	t.Run("value", func(t *testing.T) {
		t.Parallel()
		analysistest.Run(t, func(t *testing.T) analysistest.Subject { t.Helper(); return valued(t) })
	})
}

// valued is a number that is all right up to 0.8.
func valued(t *testing.T) analysistest.Subject {
	t.Helper()
	var shown atomic.Uint32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer := map[analysistest.Evidence]string{
			analysistest.None: `{"value": null}`, analysistest.Good: `{"value": 0.5}`, analysistest.Bad: `{"value": 0.99}`,
			analysistest.NotANumber: `{"value": "NaN"}`,
		}[analysistest.Evidence(shown.Load())]
		if answer == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if _, err := io.WriteString(w, answer); err != nil {
			t.Error(err)
		}
	})
	metric, err := endpoint(t, url, web.Options{}).Value("saturation", web.Number{})
	if err != nil {
		t.Fatal(err)
	}
	return analysistest.Subject{
		Judge: func() analysis.Judge {
			j, err := analysis.NewThreshold(metric, analysis.AtMost(0.8), analysis.ThresholdOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return j
		},
		Feed: func(e analysistest.Evidence) { shown.Store(uint32(e)) },
		Feeds: []analysistest.Evidence{
			analysistest.None, analysistest.Good, analysistest.Bad, analysistest.NotANumber, analysistest.Down,
		},
		Every: 90 * time.Second,
	}
}

// question is a check with everything that a placeholder can say.
func question() analysis.Check {
	c := analysistest.Question(1, time.Minute, "")
	c.Lane = "all"
	return c
}

func TestCountsAreReadFromWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer string
		fields       web.Fields
		stable       analysis.Counts
		candidate    analysis.Counts
	}{
		{
			name: "the default", answer: `{"stable":{"requests":900,"errors":1},"candidate":{"requests":100,"errors":0},"more":[]}`,
			stable: analysis.Counts{Requests: 900, Errors: 1}, candidate: analysis.Counts{Requests: 100},
		},
		{
			name: "rows of a table", answer: `[["v1","18446744073709551615","7"],["v2",1e2,12.0]]`,
			fields: web.Fields{Stable: web.Arm{Requests: "/0/1", Errors: "/0/2"}, Candidate: web.Arm{Requests: "/1/1", Errors: "/1/2"}},
			stable: analysis.Counts{Requests: math.MaxUint64, Errors: 7}, candidate: analysis.Counts{Requests: 100, Errors: 12},
		},
		{
			name: "names that are written otherwise", answer: `{"a/b":{"m~n":{"":3}},"x":{"stable":4,"candidate":5,"{":6}}`,
			fields: web.Fields{
				Stable:    web.Arm{Requests: "/a~1b/m~0n/", Errors: "/x/{stable}"},
				Candidate: web.Arm{Requests: "/x/{candidate}", Errors: "/x/{stable}"},
			},
			stable: analysis.Counts{Requests: 3, Errors: 4}, candidate: analysis.Counts{Requests: 5, Errors: 4},
		},
		{
			name: "no row for nothing", answer: `{"stable":{"requests":9,"errors":1},"candidate":null}`, fields: web.Fields{AbsentIsZero: true},
			stable: analysis.Counts{Requests: 9, Errors: 1},
		},
		{
			name:   "moments and latencies",
			answer: `{"a":{"n":3,"bad":1,"since":"2026-01-02T03:04:05+01:00","took":[1,"1",1]},"b":{"n":2,"bad":0,"since":1767319445,"took":[2,0,0]}}`,
			fields: web.Fields{
				Stable:    web.Arm{Requests: "/a/n", Errors: "/a/bad", Since: "/a/since", Latency: "/a/took"},
				Candidate: web.Arm{Requests: "/b/n", Errors: "/b/bad", Since: "/b/since", Latency: "/b/took"},
				Bounds:    []time.Duration{time.Millisecond, time.Second},
			},
			stable: analysis.Counts{
				Requests: 3, Errors: 1, Since: time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
				Bounds: []time.Duration{time.Millisecond, time.Second}, Latency: []uint64{1, 1, 1},
			},
			candidate: analysis.Counts{
				Requests: 2, Since: time.Unix(1767319445, 0).UTC(),
				Bounds: []time.Duration{time.Millisecond, time.Second}, Latency: []uint64{2, 0, 0},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := source(t, endpoint(t, answering(t, tt.answer), web.Options{}), tt.fields)
			stable, candidate, err := src.Counts(t.Context(), question())
			if err != nil || !same(stable, tt.stable) || !same(candidate, tt.candidate) {
				t.Errorf("got %+v and %+v, %v\nwant %+v and %+v", stable, candidate, err, tt.stable, tt.candidate)
			}
		})
	}
}

func answering(t *testing.T, answer string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, answer); err != nil {
			t.Log(err)
		}
	})
}

func same(a, b analysis.Counts) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
