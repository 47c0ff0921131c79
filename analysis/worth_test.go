// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

func TestAQuietServiceWaitsUntilARegressionWouldHaveShown(t *testing.T) {
	t.Parallel()
	o := analysis.Default()
	o.Worth = 0.05
	need, err := o.Needed(0.002, 0.002+o.Errors.Harm.Abs+o.Worth, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	var n analysistest.Counter
	n.Add("stable", 0, 0)
	n.Add("candidate", 0, 0)
	judge := compare(t, &n, o)
	var state analysis.State
	ask := func(step int, after time.Duration) analysis.Finding {
		f, err := judge.Judge(t.Context(), analysistest.Question(step, after, state))
		if err != nil {
			t.Fatal(err)
		}
		state = f.State
		return f
	}
	ask(0, 0)
	const each = 5
	passed := analysis.Finding{}
	for i := 1; i <= 200 && passed.N == 0; i++ {
		failed := uint64(0)
		if i%11 == 0 {
			failed = 1
		}
		n.Add("stable", 9*each, failed)
		n.Add("candidate", each, 0)
		switch f := ask(0, time.Duration(i)*o.Pace.Interval); f.Verdict {
		case analysis.Pending:
			if !strings.Contains(f.Reason, "a regression of 5% would show") {
				t.Fatalf("pending: %s", f.Reason)
			}
		case analysis.Pass, analysis.Safe:
			passed = f
		default:
			t.Fatalf("%v: %s", f.Verdict, f.Reason)
		}
	}
	if got := float64(passed.N); math.Abs(got-need.Candidate) > need.Candidate/4+each {
		t.Errorf("it passed after %v requests of the candidate, and %.0f were needed", got, need.Candidate)
	}
	// The evidence goes through the run: the next step has no more to wait for.
	ask(1, 0)
	n.Add("stable", 9*each, 0)
	n.Add("candidate", each, 0)
	if f := ask(1, o.Pace.Interval); f.Verdict != analysis.Pass {
		t.Errorf("the next step: %v: %s", f.Verdict, f.Reason)
	}
}

func TestWaitingForAChanceDoesNotHideHarm(t *testing.T) {
	t.Parallel()
	analysistest.Run(t, func(t *testing.T) analysistest.Subject {
		t.Helper()
		return counted(func(n *analysistest.Counter) analysis.Judge {
			return compare(t, n, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute, IdleLimit: 1}, Worth: 0.01})
		})
	})
	w := watch(t, analysis.CompareOptions{Worth: 0.001})
	f, _ := w.until(analysis.Fail, 20, func() {
		w.serve("candidate", 20, 0.5, 0)
		w.serve("stable", 180, 0.001, 0)
	})
	if f.Verdict != analysis.Fail {
		t.Errorf("%v: %s", f.Verdict, f.Reason)
	}
	for _, worth := range []float64{-0.1, 1, math.NaN()} {
		if _, err := analysis.NewCompare(&analysistest.Counter{}, analysis.CompareOptions{Worth: worth}); err == nil || !strings.Contains(err.Error(), "Worth") {
			t.Errorf("Worth %v: %v", worth, err)
		}
	}
}
