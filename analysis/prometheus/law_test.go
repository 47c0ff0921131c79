// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// world is what programs of both arms count. They are scraped whenever the server is
// asked about a moment that it knows nothing of.
type world struct {
	mu      sync.Mutex
	fake    *fake
	scraped time.Time
	values  map[string]float64
}

func (w *world) count(series string, n float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[series] += n
}

func (w *world) scrape(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !at.After(w.scraped) {
		return
	}
	w.scraped = at
	for series, v := range w.values {
		w.fake.scrape(at, series, v)
	}
}

// subject is a judge that asks a fake server, with a source of its own for each
// judge: nothing but the server outlives a restart.
func subject(t *testing.T, judge func(analysis.Source) (analysis.Judge, error)) analysistest.Subject {
	t.Helper()
	w := &world{fake: newFake(t), values: map[string]float64{}}
	for _, arm := range []string{"stable", "candidate"} {
		for _, code := range []string{"200", "500"} {
			w.values[fmt.Sprintf(`requests_total{arm=%q,code=%q}`, arm, code)] = 0
		}
		for _, le := range []string{"1", "+Inf"} {
			w.values[fmt.Sprintf(`latency_seconds_bucket{arm=%q,le=%q}`, arm, le)] = 0
		}
	}
	w.scrape(analysistest.Question(0, 0, "").Exposed.Add(-time.Second))
	w.fake.scrapes = w.scrape
	serve := func(arm, code string, n float64, les ...string) {
		w.count(fmt.Sprintf(`requests_total{arm=%q,code=%q}`, arm, code), n)
		for _, le := range les {
			w.count(fmt.Sprintf(`latency_seconds_bucket{arm=%q,le=%q}`, arm, le), n)
		}
	}
	query := prometheus.Query{
		Stable: `arm="$stable"`, Candidate: `arm="$candidate"`, Requests: "requests_total", Errors: `requests_total{code="500"}`, Latency: "latency_seconds_bucket",
	}
	return analysistest.Subject{
		Feeds: []analysistest.Evidence{analysistest.None, analysistest.Good, analysistest.Bad, analysistest.NotANumber, analysistest.Down},
		Judge: func() analysis.Judge {
			src, err := prometheus.New(w.fake.URL, query, prometheus.Options{})
			if err != nil {
				t.Fatal(err)
			}
			j, err := judge(src)
			if err != nil {
				t.Fatal(err)
			}
			return j
		},
		Feed: func(e analysistest.Evidence) {
			w.fake.answers(nil)
			switch e {
			case analysistest.Good, analysistest.Bad:
				serve("stable", "200", 900, "1", "+Inf")
				serve("candidate", "200", 100, "1", "+Inf")
				if e == analysistest.Bad {
					serve("candidate", "500", 50, "+Inf")
				}
			case analysistest.NotANumber:
				w.fake.says(http.StatusOK, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","arm":"candidate","code":"200"},"values":[[1767322800,"NaN"]]}]}}`)
			case analysistest.Down:
				w.fake.says(http.StatusServiceUnavailable, "down")
			case analysistest.None:
			}
		},
	}
}

func TestJudgesOverPrometheusKeepTheLaw(t *testing.T) {
	t.Parallel()
	for name, judge := range map[string]func(analysis.Source) (analysis.Judge, error){
		"compare": func(s analysis.Source) (analysis.Judge, error) {
			return analysis.NewCompare(s, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute, IdleLimit: 1}})
		},
		"error rate": func(s analysis.Source) (analysis.Judge, error) {
			return analysis.NewThreshold(analysis.ErrorRate(s), analysis.AtMost(0.01), analysis.ThresholdOptions{})
		},
		"latency": func(s analysis.Source) (analysis.Judge, error) {
			return analysis.NewThreshold(analysis.LatencyAbove(s, time.Second), analysis.AtMost(0.01), analysis.ThresholdOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, func(t *testing.T) analysistest.Subject { t.Helper(); return subject(t, judge) })
		})
	}
}
