// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// edited is the state with some of its fields set to other values.
func edited(t *testing.T, state analysis.State, fields map[string]any) analysis.State {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(state), &all); err != nil {
		t.Fatal(err)
	}
	maps.Copy(all, fields)
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return analysis.State(data)
}

func passed(t *testing.T, j analysis.Judge, n *analysistest.Counter) analysis.State {
	t.Helper()
	f, err := j.Judge(t.Context(), analysistest.Question(0, 0, ""))
	if err != nil {
		t.Fatal(err)
	}
	traffic(100, 1)(n)
	if f, err = j.Judge(t.Context(), analysistest.Question(0, m, f.State)); err != nil || f.Verdict != pass {
		t.Fatalf("%+v %v", f, err)
	}
	return f.State
}

func TestAStateThatAThresholdCannotHaveWrittenIsMeasuredAnew(t *testing.T) {
	t.Parallel()
	var n analysistest.Counter
	o := analysis.ThresholdOptions{FailureLimit: 1, InconclusiveLimit: 1, MinRequests: 50}
	j := threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.01), o)
	state := passed(t, j, &n)
	ask := func(j analysis.Judge, state analysis.State) analysis.Finding {
		t.Helper()
		f, err := j.Judge(t.Context(), analysistest.Question(0, m+s, state))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := ask(j, edited(t, state, nil)); f.Verdict != pass {
		t.Fatalf("an unchanged state: %+v", f)
	}
	refused := func(name string, f analysis.Finding) {
		t.Helper()
		if f.Verdict != pend || !strings.HasPrefix(f.Reason, "what was remembered of this check cannot be used (") {
			t.Errorf("%s: %v %q", name, f.Verdict, f.Reason)
		}
	}
	at := analysistest.Question(0, m, "").Until
	for name, fields := range map[string]map[string]any{
		"version":               {"v": 2},
		"a field of another":    {"paused": true},
		"another threshold":     {"threshold": "x"},
		"value beyond bounds":   {"value": 0.02},
		"too few requests":      {"n": 49},
		"safe":                  {"verdict": "safe"},
		"unknown verdict":       {"verdict": "great"},
		"fail without failures": {"verdict": "fail"},
		"more failures":         {"failed": 2},
		"far more failures":     {"failed": 3, "verdict": "fail"},
		"negative failures":     {"failed": -1},
		"came to nothing":       {"nothing": 1},
		"source errors":         {"sourceErrors": 1},
		"inconclusive why":      {"verdict": "inconclusive"},
		"pending too long":      {"verdict": "pending", "sourceErrors": 5},
		"no measurement":        {"mark": nil},
		"no last answer":        {"at": time.Time{}},
		"answered later":        {"mark": map[string]any{"at": at.Add(s)}},
		"next is far":           {"next": at.Add(m + s)},
		"next is past":          {"next": at},
		"no reason":             {"reason": ""},
		"two lines":             {"reason": "a\nb"},
		"an endless reason":     {"reason": strings.Repeat("a", 500)},
	} {
		refused(name, ask(j, edited(t, state, fields)))
	}
	refused("two states", ask(j, state+state))
	refused("padding", ask(j, state+analysis.State(strings.Repeat(" ", 2<<20))))
	for name, other := range map[string]*analysis.Threshold{
		"another limit":    threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.02), o),
		"another metric":   threshold(t, analysis.LatencyAbove(&n, s), analysis.AtMost(0.01), o),
		"other options":    threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.01), analysis.ThresholdOptions{FailureLimit: 1, InconclusiveLimit: 1, MinRequests: 51}),
		"another interval": threshold(t, analysis.ErrorRate(&n), analysis.AtMost(0.01), analysis.ThresholdOptions{FailureLimit: 1, InconclusiveLimit: 1, MinRequests: 50, Interval: 2 * m}),
	} {
		f := ask(other, state)
		if f.Verdict == pass || !strings.Contains(f.Reason, "it is of another metric, bound or option") {
			t.Errorf("%s: %v %q", name, f.Verdict, f.Reason)
		}
	}
}

func TestACombinationForgetsAnotherRun(t *testing.T) {
	t.Parallel()
	saw := analysis.State("unset")
	j, err := analysis.All(analysis.Part{Name: "a", Judge: judgeFunc(func(c analysis.Check) analysis.Finding {
		saw = c.State
		c.State = "7"
		return c.Finding(pass, "fine")
	})})
	if err != nil {
		t.Fatal(err)
	}
	c := analysistest.Question(0, 0, "")
	for _, test := range []struct {
		run  uint64
		want analysis.State
	}{{3, ""}, {3, "7"}, {4, ""}, {4, "7"}} {
		c.Run = test.run
		f, err := j.Judge(t.Context(), c)
		if err != nil || saw != test.want {
			t.Errorf("run %d: the part got %q, want %q (%v)", c.Run, saw, test.want, err)
		}
		c.State = f.State
	}
	c.State = "  " + c.State + `{"v":1}`
	if f, err := j.Judge(t.Context(), c); err != nil || f.Verdict != pend || !strings.Contains(f.Reason, "something follows") {
		t.Errorf("%+v %v", f, err)
	}
}

func TestBoundsKeepNothingThatIsNotANumber(t *testing.T) {
	t.Parallel()
	for _, b := range []analysis.Bounds{{}, analysis.AtMost(1), analysis.AtLeast(-1), analysis.Between(-1, 1)} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if b.Keeps(v) {
				t.Errorf("%v keeps %v", b, v)
			}
		}
		if got, want := b.Keeps(0), b != (analysis.Bounds{}); got != want {
			t.Errorf("%v keeps 0: %v", b, got)
		}
	}
	if b := analysis.Between(1, 2); !b.Keeps(1) || !b.Keeps(2) || b.Keeps(0.99) || b.Keeps(2.01) {
		t.Error("the ends are not included")
	}
}

func judgeFunc(f func(analysis.Check) analysis.Finding) analysis.Judge {
	return analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) { return f(c), nil })
}
