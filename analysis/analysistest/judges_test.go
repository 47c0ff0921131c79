// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysistest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func question(step int, after time.Duration, state analysis.State) analysis.Check {
	since := start.Add(time.Duration(step) * time.Hour)
	return analysis.Check{
		Service: "checkout", Name: "errors", Run: 7, Lane: "all", Step: step,
		Stable: "v1", Candidate: "v2", Since: since, Exposed: start, Until: since.Add(after), State: state,
	}
}

func verdicts(t *testing.T, judge func() analysis.Judge, ask ...analysis.Check) []analysis.Verdict {
	t.Helper()
	var got []analysis.Verdict
	var state analysis.State
	for _, c := range ask {
		c.State = state
		f, err := judge().Judge(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Answers(c) || f.Reason == "" {
			t.Errorf("%+v does not answer %+v with a reason", f, c)
		}
		got, state = append(got, f.Verdict), f.State
	}
	return got
}

func TestAlwaysSaysTheSame(t *testing.T) {
	t.Parallel()
	for _, v := range []analysis.Verdict{analysis.Pending, analysis.Pass, analysis.Safe, analysis.Fail, analysis.Inconclusive} {
		j := analysistest.Always(v)
		got := verdicts(t, func() analysis.Judge { return j }, question(0, 0, ""), question(3, time.Hour, ""))
		if want := []analysis.Verdict{v, v}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestAScriptGoesByTheStep(t *testing.T) {
	t.Parallel()
	j := analysistest.Script(analysis.Pass, analysis.Fail)
	got := verdicts(t, func() analysis.Judge { return j },
		question(0, 0, ""), question(0, 1, ""), question(1, 0, ""), question(2, 0, ""), question(-1, 0, ""))
	want := []analysis.Verdict{analysis.Pass, analysis.Pass, analysis.Fail, analysis.Pending, analysis.Pending}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestASeriesMovesOnWithTimeAndBeginsAgainWithAStep(t *testing.T) {
	t.Parallel()
	anew := func() analysis.Judge { return analysistest.Series(analysis.Pending, analysis.Pass, analysis.Fail) }
	got := verdicts(t, anew,
		question(0, 0, ""), question(0, 0, ""), question(0, 1, ""), question(0, 1, ""), question(0, 2, ""), question(0, 3, ""),
		question(1, 0, ""), question(1, 1, ""))
	want := []analysis.Verdict{
		analysis.Pending, analysis.Pending, analysis.Pass, analysis.Pass, analysis.Fail, analysis.Fail,
		analysis.Pending, analysis.Pass,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := verdicts(t, func() analysis.Judge { return analysistest.Series() }, question(0, 0, "")); got[0] != analysis.Pending {
		t.Errorf("a series without verdicts said %v", got[0])
	}
	if _, err := anew().Judge(t.Context(), question(0, 0, "{")); err == nil {
		t.Error("a state that is no JSON was taken")
	}
}

func TestBrokenAndStuckGiveErrors(t *testing.T) {
	t.Parallel()
	mine := errors.New("no metrics today")
	if _, err := analysistest.Broken(mine).Judge(t.Context(), question(0, 0, "")); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
	if _, err := analysistest.Broken(nil).Judge(t.Context(), question(0, 0, "")); err == nil {
		t.Error("a broken judge answered")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, j := range map[string]analysis.Judge{
		"Stuck": analysistest.Stuck(), "Always": analysistest.Always(analysis.Pass),
		"Script": analysistest.Script(analysis.Pass), "Series": analysistest.Series(analysis.Pass),
	} {
		if _, err := j.Judge(ctx, question(0, 0, "")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s under a cancelled context: %v", name, err)
		}
	}
}

func TestACounterKeepsItsArmsApart(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter(time.Second, 100*time.Millisecond)
	n.Add("v1", 100, 1)
	n.Took("v2", 3, 100*time.Millisecond)
	n.Took("v2", 2, 101*time.Millisecond)
	n.Took("v2", 1, time.Minute)
	stable, candidate, err := n.Counts(t.Context(), question(0, 0, ""))
	if err != nil {
		t.Fatal(err)
	}
	if stable.Requests != 100 || stable.Errors != 1 || candidate.Requests != 6 || candidate.Errors != 0 {
		t.Errorf("stable %+v, candidate %+v", stable, candidate)
	}
	if want := []uint64{3, 2, 1}; !slices.Equal(candidate.Latency, want) {
		t.Errorf("latency %v, want %v", candidate.Latency, want)
	}
	candidate.Latency[0] = 99
	n.Restart("v2", start)
	n.Took("v2", 1, time.Millisecond)
	if _, c, _ := n.Counts(t.Context(), question(0, 0, "")); c.Requests != 1 || c.Latency[0] != 1 || !c.Since.Equal(start) {
		t.Errorf("after a restart %+v", c)
	}
	down := errors.New("down")
	n.Break(down)
	if _, _, err := n.Counts(t.Context(), question(0, 0, "")); !errors.Is(err, down) {
		t.Errorf("a broken counter: %v", err)
	}
	n.Break(nil)
	if _, _, err := n.Counts(t.Context(), question(0, 0, "")); err != nil {
		t.Errorf("a mended counter: %v", err)
	}
	if _, _, _, _, ok := n.Totals("v9"); ok {
		t.Error("an unknown arm is known")
	}
	var zero analysistest.Counter
	zero.Took("v1", 2, time.Second)
	if requests, _, latency, _, ok := zero.Totals("v1"); requests != 2 || len(latency) != 0 || !ok {
		t.Errorf("zero counter: %d %v %v", requests, latency, ok)
	}
}
