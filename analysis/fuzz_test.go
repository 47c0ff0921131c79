// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// FuzzThresholdState hands a judge any state. Whatever it is: no panic, an answer to
// the question that can be saved, and a Pass only if the numbers that the state
// itself carries keep to the bounds.
func FuzzThresholdState(f *testing.F) {
	var n analysistest.Counter
	bounds := analysis.AtMost(0.01)
	o := analysis.ThresholdOptions{FailureLimit: 2, InconclusiveLimit: 1, MinRequests: 10}
	j := threshold(f, analysis.ErrorRate(&n), bounds, o)
	var state analysis.State
	for i, happens := range []func(*analysistest.Counter){
		traffic(10, 0), traffic(100, 0), traffic(5, 0), traffic(500, 50), breaks, mends, traffic(0, 0), traffic(0, 0), traffic(0, 0), traffic(100, 1),
	} {
		happens(&n)
		found, err := j.Judge(f.Context(), analysistest.Question(0, time.Duration(i)*time.Minute, state))
		if err != nil {
			f.Fatal(err)
		}
		state = found.State
		f.Add(string(state), int64(i)*60)
		f.Add(string(state), int64(i)*60+59)
	}
	for _, text := range []string{"", "{}", "null", "[", `{"v":1}`, `{"v":1,"verdict":"safe"}`, `{"v":2}`, "\xff"} {
		f.Add(text, int64(60))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		seconds %= 1_000_000
		c := analysistest.Question(0, time.Duration(seconds)*time.Second, analysis.State(text))
		var quiet analysistest.Counter // no request was ever counted
		found, err := threshold(t, analysis.ErrorRate(&quiet), bounds, o).Judge(t.Context(), c)
		if err != nil {
			t.Fatalf("error %v", err)
		}
		if !found.Answers(c) || found.Sound() != found {
			t.Errorf("finding %+v", found)
		}
		switch found.Verdict {
		case analysis.Safe:
			t.Errorf("safe with state %q", text)
		case analysis.Pass:
			if !bounds.Keeps(found.Value) || found.N < o.MinRequests || found.State != c.State {
				t.Errorf("passed with %+v", found)
			}
		case analysis.Pending, analysis.Fail, analysis.Inconclusive:
		}
		if !json.Valid([]byte(found.State)) {
			t.Errorf("state %q", found.State)
		}
	})
}

// FuzzCombinationState is the same for a combination: a state that it cannot read
// never passes, even if each part would.
func FuzzCombinationState(f *testing.F) {
	build := func(tb testing.TB) *analysis.Combination {
		tb.Helper()
		j, err := analysis.All(
			analysis.Part{Name: "a", Judge: analysistest.Series(analysis.Pass, analysis.Safe)},
			analysis.Part{Name: "b", Judge: analysistest.Always(analysis.Pass)},
		)
		if err != nil {
			tb.Fatal(err)
		}
		return j
	}
	found, err := build(f).Judge(f.Context(), analysistest.Question(0, 0, ""))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(found.State), "", "{}", `{"v":1,"combines":"any"}`, `{"v":1,"combines":"all","parts":{"a":7}}`, "["} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := analysistest.Question(0, time.Minute, analysis.State(text))
		found, err := build(t).Judge(t.Context(), c)
		if err != nil {
			t.Fatalf("error %v", err)
		}
		var own struct {
			V        int    `json:"v"`
			Combines string `json:"combines"`
		}
		readable := text == "" || json.Unmarshal([]byte(text), &own) == nil && own.V == 1 && own.Combines == "all"
		if found.Verdict == analysis.Pass && !readable || !json.Valid([]byte(found.State)) || !found.Answers(c) {
			t.Errorf("state %q: %+v", text, found)
		}
	})
}

func BenchmarkThresholdJudge(b *testing.B) {
	for name, after := range map[string]time.Duration{"measures": time.Minute, "within the interval": time.Second} {
		b.Run(name, func(b *testing.B) {
			var n analysistest.Counter
			j := threshold(b, analysis.ErrorRate(&n), analysis.AtMost(0.01), analysis.ThresholdOptions{})
			f, err := j.Judge(b.Context(), analysistest.Question(0, 0, ""))
			if err != nil {
				b.Fatal(err)
			}
			n.Add("stable", 90_000, 80)
			n.Add("candidate", 10_000, 12)
			c := analysistest.Question(0, after, f.State)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.Judge(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
