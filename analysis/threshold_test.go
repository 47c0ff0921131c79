// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

func threshold(tb testing.TB, m analysis.Metric, b analysis.Bounds, o analysis.ThresholdOptions) *analysis.Threshold {
	tb.Helper()
	j, err := analysis.NewThreshold(m, b, o)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// look is one question of a story: what happened before it, when it is asked, what
// it gets.
type look struct {
	at      time.Duration
	happens func(*analysistest.Counter)
	want    analysis.Verdict
	says    string
	// same says that nothing may have been saved since the question before.
	same bool
}

func traffic(requests, failed uint64) func(*analysistest.Counter) {
	return func(n *analysistest.Counter) {
		n.Add("stable", 10*requests, 0)
		n.Add("candidate", requests, failed)
	}
}

func breaks(n *analysistest.Counter) { n.Break(errors.New("connection refused\nby peer")) }
func mends(n *analysistest.Counter)  { n.Break(nil) }

const (
	pend, pass, fail, open = analysis.Pending, analysis.Pass, analysis.Fail, analysis.Inconclusive

	s = time.Second
	m = time.Minute
)

var stories = []struct {
	name  string
	o     analysis.ThresholdOptions
	looks []look
}{
	{
		name: "what was counted before the step is not evidence",
		looks: []look{
			{at: 0, happens: traffic(100, 90), want: pend, says: "nothing is measured yet; a measurement takes 1m0s"},
			{at: m, happens: traffic(480, 0), want: pass, says: "candidate failed on 0 of 480 requests (0%), limit 1%, stable 0%"},
		},
	},
	{
		name: "a question within the interval gets the last verdict and saves nothing",
		looks: []look{
			{at: 0, want: pend},
			{at: 59 * s, happens: traffic(100, 90), want: pend, same: true},
			{at: m, want: fail, says: "candidate failed on 90 of 100 requests (90%), limit 1%, stable 0%"},
		},
	},
	{
		name: "no request counts in two measurements",
		o:    analysis.ThresholdOptions{FailureLimit: 5},
		looks: []look{
			{at: 0, want: pend},
			{at: m, happens: traffic(100, 50), want: pend, says: "1 of 5 allowed failures"},
			{at: 2 * m, happens: traffic(100, 0), want: pass, says: "0 of 100 requests (0%), limit 1%, stable 0%; 1 of 5 allowed failures"},
		},
	},
	{
		name: "one failure more than allowed fails for good",
		o:    analysis.ThresholdOptions{FailureLimit: 1},
		looks: []look{
			{at: 0, want: pend},
			{at: m, happens: traffic(480, 12), want: pend, says: "candidate failed on 12 of 480 requests (2.5%), limit 1%, stable 0%; 1 of 1 allowed failures"},
			{at: 2 * m, happens: traffic(480, 0), want: pass},
			{at: 3 * m, happens: traffic(480, 12), want: fail, says: "2 failures, allowed 1"},
			{at: 4 * m, happens: traffic(480, 0), want: fail, same: true},
		},
	},
	{
		name: "exactly the limit is good",
		looks: []look{
			{at: 0, want: pend},
			{at: m, happens: traffic(100, 1), want: pass},
		},
	},
	{
		name: "a measurement goes on until it has enough requests",
		o:    analysis.ThresholdOptions{MinRequests: 100},
		looks: []look{
			{at: 0, want: pend},
			{at: m, happens: traffic(60, 1), want: pend, says: "60 of the 100 requests"},
			{at: 2 * m, happens: traffic(30, 0), want: pend, says: "90 of the 100 requests"},
			{at: 3 * m, want: open, says: "no more came"},
			{at: 4 * m, happens: traffic(10, 1), want: fail, says: "2 of 100 requests"},
		},
	},
	{
		name: "no data is inconclusive",
		looks: []look{
			{at: 0, want: pend},
			{at: m, want: open, says: "nothing was measured of the candidate since 2026-01-02T03:00:00Z"},
			{at: 2 * m, happens: traffic(10, 0), want: pass},
			{at: 3 * m, want: open},
		},
	},
	{
		name: "no data is pending within the limit",
		o:    analysis.ThresholdOptions{InconclusiveLimit: 1},
		looks: []look{
			{at: 0, want: pend},
			{at: m, want: pend},
			{at: 2 * m, happens: traffic(10, 0), want: pass},
			{at: 3 * m, want: pend},
			{at: 4 * m, want: open},
			{at: 5 * m, want: open},
		},
	},
	{
		name: "no data fails where that is the policy",
		o:    analysis.ThresholdOptions{NoData: analysis.NoDataFail, FailureLimit: 1},
		looks: []look{
			{at: 0, want: pend},
			{at: m, want: pend, says: "1 of 1 allowed failures"},
			{at: 2 * m, want: fail},
		},
	},
	{
		name: "no data waits where that is the policy",
		o:    analysis.ThresholdOptions{NoData: analysis.NoDataPending},
		looks: []look{
			{at: 0, want: pend},
			{at: m, want: pend},
			{at: 100 * m, want: pend},
			{at: 101 * m, happens: traffic(10, 0), want: pass},
			{at: 102 * m, want: pend},
		},
	},
	{
		name: "a source that fails is inconclusive after four errors and loses nothing",
		looks: []look{
			{at: 0, want: pend},
			{at: m, happens: traffic(10, 0), want: pass},
			{at: 2 * m, happens: breaks, want: pend, says: "the error rate could not be read (1 in a row, limit 4): connection refused by peer"},
			{at: 2*m + 9*s, want: pend, same: true},
			{at: 2*m + 10*s, want: pend},
			{at: 2*m + 20*s, want: pend},
			{at: 2*m + 30*s, want: pend},
			{at: 2*m + 40*s, want: open, says: "5 in a row"},
			{at: 2*m + 50*s, happens: traffic(10, 5), want: open},
			{at: 3 * m, happens: mends, want: fail, says: "5 of 10 requests"},
		},
	},
	{
		name: "no error is tolerated where the limit is negative",
		o:    analysis.ThresholdOptions{ConsecutiveErrorLimit: -1},
		looks: []look{
			{at: 0, happens: breaks, want: open},
			{at: 10 * s, happens: mends, want: pend, says: "nothing is measured yet"},
		},
	},
	{
		name: "an error while nothing is known stays inconclusive",
		looks: []look{
			{at: 0, want: pend},
			{at: m, want: open},
			{at: 2 * m, happens: breaks, want: open, says: "could not be read"},
			{at: 3 * m, happens: mends, want: open},
		},
	},
	{
		name: "a counter that starts over is counted from 0",
		looks: []look{
			{at: 0, happens: traffic(1000, 0), want: pend},
			{at: m, happens: func(n *analysistest.Counter) {
				n.Restart("candidate", analysistest.Question(0, 30*s, "").Until)
				n.Add("candidate", 200, 4)
			}, want: fail, says: "4 of 200 requests"},
		},
	},
	{
		name: "a counter that fell is counted from 0",
		looks: []look{
			{at: 0, happens: traffic(1000, 0), want: pend},
			{at: m, happens: func(n *analysistest.Counter) {
				n.Restart("candidate", time.Time{})
				n.Add("candidate", 200, 0)
			}, want: pass, says: "0 of 200 requests"},
		},
	},
	{
		name: "another counter with an older past is no evidence",
		looks: []look{
			{at: 0, happens: traffic(1000, 0), want: pend},
			{at: m, happens: func(n *analysistest.Counter) {
				n.Restart("candidate", analysistest.Question(0, -time.Hour, "").Until)
				n.Add("candidate", 5000, 0)
			}, want: open, says: "not those of the counter that was read before"},
			{at: 2 * m, happens: traffic(100, 0), want: pass, says: "0 of 100 requests"},
		},
	},
	{
		name: "a counter that began after the split was in force counts from its beginning",
		looks: []look{
			{at: 5 * s, happens: func(n *analysistest.Counter) {
				n.Restart("candidate", analysistest.Question(0, s, "").Until)
				n.Add("candidate", 3, 3)
			}, want: pend},
			{at: 65 * s, happens: traffic(7, 0), want: fail, says: "3 of 10 requests"},
		},
	},
	{
		name: "a clock that was set back far begins anew",
		looks: []look{
			{at: time.Hour, want: pend},
			{at: time.Hour + m, happens: traffic(10, 0), want: pass},
			{at: time.Hour + 59*s, want: pass, same: true},
			{at: 30 * m, want: pend, says: "nothing is measured yet"},
			{at: 31 * m, happens: traffic(10, 5), want: fail},
		},
	},
}

func TestThresholdStories(t *testing.T) {
	t.Parallel()
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			var n analysistest.Counter
			var state analysis.State
			for i, l := range story.looks {
				if l.happens != nil {
					l.happens(&n)
				}
				// Every question is asked of another judge: nothing is kept in one.
				j := threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.01), story.o)
				f, err := j.Judge(t.Context(), analysistest.Question(0, l.at, state))
				if err != nil {
					t.Fatal(err)
				}
				if f.Verdict != l.want || !strings.Contains(f.Reason, l.says) {
					t.Errorf("look %d at %v: %v %q, want %v %q", i, l.at, f.Verdict, f.Reason, l.want, l.says)
				}
				if same := f.State == state; same != l.same {
					t.Errorf("look %d at %v: state the same as before: %v, want %v\n%s", i, l.at, same, l.same, f.State)
				}
				if len(f.State) > 900 {
					t.Errorf("look %d: state of %d bytes: %s", i, len(f.State), f.State)
				}
				state = f.State
			}
		})
	}
}

func TestANewStepOrRunIsMeasuredAnew(t *testing.T) {
	t.Parallel()
	var n analysistest.Counter
	j := threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.01), analysis.ThresholdOptions{FailureLimit: 1})
	var state analysis.State
	for _, at := range []time.Duration{0, m} {
		traffic(10, 5)(&n)
		f, err := j.Judge(t.Context(), analysistest.Question(0, at, state))
		if err != nil {
			t.Fatal(err)
		}
		state = f.State
	}
	step, run := analysistest.Question(1, 0, state), analysistest.Question(0, m, state)
	run.Run++
	for _, c := range []analysis.Check{step, run} {
		f, err := j.Judge(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict != pend || !strings.HasPrefix(f.Reason, "nothing is measured yet") || strings.Contains(string(f.State), "failed") {
			t.Errorf("run %d step %d: %v %q %s", c.Run, c.Step, f.Verdict, f.Reason, f.State)
		}
	}
}

func TestLatencyAboveRoundsDownToABucket(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter(100*time.Millisecond, 400*time.Millisecond, s)
	j := threshold(t, analysis.LatencyAbove(n, 500*time.Millisecond), analysis.AtMost(0.05), analysis.ThresholdOptions{})
	n.Took("stable", 1, m)
	n.Took("candidate", 1, m)
	f, err := j.Judge(t.Context(), analysistest.Question(0, 0, ""))
	if err != nil {
		t.Fatal(err)
	}
	n.Took("stable", 99, 10*time.Millisecond)
	n.Took("stable", 1, 2*s)
	n.Took("candidate", 90, 400*time.Millisecond)
	n.Took("candidate", 9, 450*time.Millisecond)
	n.Took("candidate", 1, 5*s)
	if f, err = j.Judge(t.Context(), analysistest.Question(0, m, f.State)); err != nil {
		t.Fatal(err)
	}
	const want = "candidate took longer than 400ms (the bucket bound next below 500ms) on 10 of 100 requests (10%), limit 5%, stable 1%"
	if f.Verdict != fail || f.Reason != want {
		t.Errorf("got %v %q\nwant %q", f.Verdict, f.Reason, want)
	}
	if f.Value != 0.1 || f.Baseline != 0.01 || f.N != 100 || f.BaselineN != 100 {
		t.Errorf("numbers %+v", f)
	}
}

func TestLatencyWithoutAUsableBucketIsASourceError(t *testing.T) {
	t.Parallel()
	none, coarse, odd := &analysistest.Counter{}, analysistest.NewCounter(s), analysis.SourceFunc(
		func(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
			return a, analysis.Counts{Bounds: []time.Duration{1, 2}, Latency: []uint64{1}}, nil
		})
	none.Add("candidate", 1, 0)
	coarse.Add("candidate", 1, 0)
	for says, src := range map[string]analysis.Source{
		"counts no latency": none, "no latency bucket ends at or below 500ms": coarse, "1 latency counts for 2 bounds": odd,
	} {
		j := threshold(t, analysis.LatencyAbove(src, 500*time.Millisecond), analysis.AtMost(0.05), analysis.ThresholdOptions{ConsecutiveErrorLimit: -1})
		f, err := j.Judge(t.Context(), analysistest.Question(0, 0, ""))
		if err != nil || f.Verdict != open || !strings.Contains(f.Reason, says) {
			t.Errorf("%v %q %v, want inconclusive and %q", f.Verdict, f.Reason, err, says)
		}
	}
}

func TestAValueIsMeasuredOverItsWindow(t *testing.T) {
	t.Parallel()
	var windows []time.Duration
	j := threshold(t, analysis.Value("queue length", func(_ context.Context, c analysis.Check) (analysis.Sample, error) {
		if c.State != "" {
			t.Errorf("the metric got the judge's state")
		}
		windows = append(windows, c.Until.Sub(c.Since))
		return analysis.Sample{Known: true, Value: 7.5, Baseline: 3, BaselineN: 1}, nil
	}), analysis.Between(1, 5), analysis.ThresholdOptions{FailureLimit: 9})
	var f analysis.Finding
	for _, at := range []time.Duration{10 * s, m, 90 * s, 2*m + 30*s} {
		var err error
		if f, err = j.Judge(t.Context(), analysistest.Question(0, at, f.State)); err != nil {
			t.Fatal(err)
		}
	}
	if len(windows) != 2 || windows[0] != m || windows[1] != 90*s {
		t.Errorf("windows %v", windows)
	}
	if want := "queue length of the candidate was 7.5, want between 1 and 5, stable 3; 2 of 9 allowed failures"; f.Reason != want {
		t.Errorf("reason %q, want %q", f.Reason, want)
	}
}

func TestANumberThatIsNoneNeverPasses(t *testing.T) {
	t.Parallel()
	for _, sample := range []analysis.Sample{
		{Known: true, Value: math.NaN(), N: 9},
		{Known: true, Value: math.Inf(1), N: 9},
		{Known: true, Value: math.Inf(-1), N: 9},
		{Known: true, Value: 0, Baseline: math.NaN(), N: 9, BaselineN: 1},
		{Known: false, Value: 0, N: 9},
	} {
		for _, b := range []analysis.Bounds{analysis.AtMost(1), analysis.AtLeast(-1), analysis.Between(-1, 1)} {
			j := threshold(t, analysis.Value("x", func(context.Context, analysis.Check) (analysis.Sample, error) { return sample, nil }), b, analysis.ThresholdOptions{})
			f, err := j.Judge(t.Context(), analysistest.Question(0, m, ""))
			if err != nil || f.Verdict != open || f.Sound() != f {
				t.Errorf("%+v within %v: %+v %v", sample, b, f, err)
			}
		}
	}
}

func TestAnEndedContextIsNotTheSourcesError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	j := threshold(t, analysis.ErrorRate(analysis.SourceFunc(func(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
		cancel(why)
		return a, b, errors.New("read failed")
	})), analysis.AtMost(0.01), analysis.ThresholdOptions{})
	if _, err := j.Judge(ctx, analysistest.Question(0, 0, "")); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestNewThresholdNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	var n analysistest.Counter
	rate, num := analysis.ErrorRate(&n), analysis.Value("x", func(context.Context, analysis.Check) (s analysis.Sample, err error) { return })
	for _, test := range []struct {
		metric analysis.Metric
		bounds analysis.Bounds
		o      analysis.ThresholdOptions
		want   string
	}{
		{analysis.Metric{}, analysis.AtMost(1), analysis.ThresholdOptions{}, "Metric: none given"},
		{analysis.ErrorRate(nil), analysis.AtMost(.1), analysis.ThresholdOptions{}, "ErrorRate has no source"},
		{analysis.LatencyAbove(nil, s), analysis.AtMost(.1), analysis.ThresholdOptions{}, "LatencyAbove has no source"},
		{analysis.LatencyAbove(&n, 0), analysis.AtMost(.1), analysis.ThresholdOptions{}, "LatencyAbove bound 0s"},
		{analysis.Value("", nil), analysis.AtMost(.1), analysis.ThresholdOptions{}, "Value has no name"},
		{analysis.Value("x", nil), analysis.AtMost(.1), analysis.ThresholdOptions{}, `Value "x" has no function`},
		{num, analysis.Bounds{}, analysis.ThresholdOptions{}, "Bounds: none given"},
		{num, analysis.AtMost(math.NaN()), analysis.ThresholdOptions{}, "Bounds: at most NaN"},
		{num, analysis.AtLeast(math.Inf(1)), analysis.ThresholdOptions{}, "Bounds: at least +Inf"},
		{num, analysis.Between(2, 1), analysis.ThresholdOptions{}, "Bounds: between 2 and 1"},
		{rate, analysis.AtMost(5), analysis.ThresholdOptions{}, "1% is 0.01"},
		{rate, analysis.AtMost(1), analysis.ThresholdOptions{}, "every share keeps to it"},
		{rate, analysis.AtLeast(0), analysis.ThresholdOptions{}, "every share keeps to it"},
		{rate, analysis.AtMost(-.1), analysis.ThresholdOptions{}, "lies between 0 and 1"},
		{rate, analysis.AtMost(.1), analysis.ThresholdOptions{Interval: -1}, "Interval"},
		{rate, analysis.AtMost(.1), analysis.ThresholdOptions{FailureLimit: -1}, "FailureLimit -1"},
		{rate, analysis.AtMost(.1), analysis.ThresholdOptions{InconclusiveLimit: 2_000_000}, "InconclusiveLimit 2000000"},
		{rate, analysis.AtMost(.1), analysis.ThresholdOptions{ConsecutiveErrorLimit: 2_000_000}, "ConsecutiveErrorLimit"},
		{rate, analysis.AtMost(.1), analysis.ThresholdOptions{NoData: 9}, "NoData nodata(9)"},
	} {
		if _, err := analysis.NewThreshold(test.metric, test.bounds, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	if _, err := analysis.NewThreshold(rate, analysis.Between(0, 0), analysis.ThresholdOptions{}); err != nil {
		t.Errorf("no error at all must be a limit: %v", err)
	}
}
