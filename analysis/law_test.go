// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// counted is a subject whose world is a Counter: half of what is bad is slow too.
func counted(judge func(n *analysistest.Counter) analysis.Judge) analysistest.Subject {
	n := analysistest.NewCounter(100*time.Millisecond, time.Second)
	return analysistest.Subject{
		Judge: func() analysis.Judge { return judge(n) },
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

func TestJudgesKeepTheLaw(t *testing.T) {
	t.Parallel()
	errorRate := func(t *testing.T, o analysis.ThresholdOptions) func(*analysistest.Counter) analysis.Judge {
		t.Helper()
		return func(n *analysistest.Counter) analysis.Judge {
			return threshold(t, analysis.ErrorRate(n), analysis.AtMost(0.01), o)
		}
	}
	latency := func(t *testing.T, o analysis.ThresholdOptions) func(*analysistest.Counter) analysis.Judge {
		t.Helper()
		return func(n *analysistest.Counter) analysis.Judge {
			return threshold(t, analysis.LatencyAbove(analysis.FromTotals(n), 1500*time.Millisecond), analysis.AtMost(0.01), o)
		}
	}
	both := func(t *testing.T, combine func(...analysis.Part) (*analysis.Combination, error)) func(n *analysistest.Counter) analysis.Judge {
		t.Helper()
		return func(n *analysistest.Counter) analysis.Judge {
			j, err := combine(
				analysis.Part{Name: "errors", Judge: errorRate(t, analysis.ThresholdOptions{FailureLimit: 1})(n)},
				analysis.Part{Name: "latency", Judge: threshold(t, analysis.LatencyAbove(n, time.Second), analysis.AtMost(0.05), analysis.ThresholdOptions{})},
			)
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
	}
	for name, judge := range map[string]func(*analysistest.Counter) analysis.Judge{
		"error rate": errorRate(t, analysis.ThresholdOptions{}),
		"lenient":    errorRate(t, analysis.ThresholdOptions{FailureLimit: 3, InconclusiveLimit: 2, MinRequests: 150}),
		"no data":    errorRate(t, analysis.ThresholdOptions{NoData: analysis.NoDataFail, FailureLimit: 7}),
		"waits":      errorRate(t, analysis.ThresholdOptions{NoData: analysis.NoDataPending, ConsecutiveErrorLimit: -1}),
		"all of two": both(t, analysis.All),
		"any of two": both(t, analysis.Any),
		"compare": func(n *analysistest.Counter) analysis.Judge {
			return compare(t, n, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute, IdleLimit: 1}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, func(*testing.T) analysistest.Subject { return counted(judge) })
		})
	}
	t.Run("latency from totals", func(t *testing.T) {
		t.Parallel()
		analysistest.Run(t, func(t *testing.T) analysistest.Subject {
			t.Helper()
			s := counted(latency(t, analysis.ThresholdOptions{}))
			s.Feeds = s.Feeds[:3] // a proxy in this process is never down
			return s
		})
	})
	t.Run("value", func(t *testing.T) {
		t.Parallel()
		analysistest.Run(t, func(t *testing.T) analysistest.Subject { t.Helper(); return valued(t) })
	})
}

func valued(t *testing.T) analysistest.Subject {
	t.Helper()
	var shown atomic.Uint32
	metric := analysis.Value("saturation", func(context.Context, analysis.Check) (analysis.Sample, error) {
		switch analysistest.Evidence(shown.Load()) {
		case analysistest.Good:
			return analysis.Sample{Known: true, Value: 0.5}, nil
		case analysistest.Bad:
			return analysis.Sample{Known: true, Value: 0.99}, nil
		case analysistest.NotANumber:
			return analysis.Sample{Known: true, Value: math.Inf(-1)}, nil
		case analysistest.Down:
			return analysis.Sample{}, errors.New("down")
		default:
			return analysis.Sample{}, nil
		}
	})
	return analysistest.Subject{
		Judge: func() analysis.Judge { return threshold(t, metric, analysis.AtMost(0.8), analysis.ThresholdOptions{}) },
		Feed:  func(e analysistest.Evidence) { shown.Store(uint32(e)) },
		Feeds: []analysistest.Evidence{
			analysistest.None, analysistest.Good, analysistest.Bad, analysistest.NotANumber, analysistest.Down,
		},
		Every: 90 * time.Second,
	}
}
