// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// must is for judges whose options are right.
func must[J any](tb testing.TB) func(j J, err error) J {
	tb.Helper()
	return func(j J, err error) J {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return j
	}
}

// eventsOf counts failures as events.
func eventsOf(n *analysistest.Counter) analysis.EventSource {
	return func(ctx context.Context, c analysis.Check) (stable, candidate analysis.Events, err error) {
		s, e, err := n.Counts(ctx, c)
		return analysis.Events{Events: s.Errors, Requests: s.Requests, Since: s.Since},
			analysis.Events{Events: e.Errors, Requests: e.Requests, Since: e.Since}, err
	}
}

func asked(weight float64) func(context.Context, analysis.Check) (float64, error) {
	return func(ctx context.Context, _ analysis.Check) (float64, error) { return weight, ctx.Err() }
}

func TestJudgesOfBlocksKeepTheLaw(t *testing.T) {
	t.Parallel()
	pace := analysis.Pace{Interval: time.Minute, IdleLimit: 1}
	for name, test := range map[string]struct {
		judge  func(*testing.T, *analysistest.Counter) analysis.Judge
		blames bool
	}{
		"limit": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.Limit](t)(analysis.NewLimit(n, analysis.LimitOptions{Pace: pace}))
		}, true},
		"latency limit": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.Limit](t)(analysis.NewLimit(n, analysis.LimitOptions{Above: 1500 * time.Millisecond, Pace: pace}))
		}, true},
		"ratio": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.Ratio](t)(analysis.NewRatio(eventsOf(n), analysis.RatioOptions{Name: "crashes", Pace: pace}))
		}, true},
		"share": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.Share](t)(analysis.NewShare(n, analysis.ShareOptions{Weight: asked(0.1), Pace: pace, Tolerance: 0.5}))
		}, false},
		"burn rate": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.BurnRate](t)(analysis.NewBurnRate(n, analysis.BurnRateOptions{Pace: pace}))
		}, false},
		"mean of two": {func(t *testing.T, n *analysistest.Counter) analysis.Judge {
			t.Helper()
			return must[*analysis.Combination](t)(analysis.Mean(0.01,
				analysis.Part{Name: "errors", Weight: 2, Judge: compare(t, n, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute, IdleLimit: 1}, Risk: 0.005})},
				analysis.Part{Name: "crashes", Judge: must[*analysis.Ratio](t)(analysis.NewRatio(eventsOf(n), analysis.RatioOptions{Pace: pace, Risk: 0.003}))},
			))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, func(t *testing.T) analysistest.Subject {
				t.Helper()
				s := counted(func(n *analysistest.Counter) analysis.Judge { return test.judge(t, n) })
				if !test.blames { // it fails nobody
					s.Feeds = []analysistest.Evidence{analysistest.None, analysistest.Good, analysistest.Down}
				}
				return s
			})
		})
	}
}
