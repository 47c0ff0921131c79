// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

var compareBounds = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond}

func compare(t *testing.T, src analysis.Source, o analysis.CompareOptions) *analysis.Compare {
	t.Helper()
	j, err := analysis.NewCompare(src, o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// watched is a rollout whose judge is asked every ten seconds.
type watched struct {
	t     *testing.T
	n     *analysistest.Counter
	judge analysis.Judge
	r     *rand.Rand
	after time.Duration
	step  int
	state analysis.State
}

func watch(t *testing.T, o analysis.CompareOptions) *watched {
	t.Helper()
	n := analysistest.NewCounter(compareBounds...)
	w := &watched{t: t, n: n, judge: compare(t, n, o), r: rand.New(rand.NewPCG(3, 4))} //nolint:gosec // a simulation
	n.Took("stable", 100_000, 20*time.Millisecond)                                     // before the rollout
	n.Add("candidate", 0, 0)
	return w
}

// serve has an arm answer that many requests, which fail or take 300 ms with these
// probabilities and 20 ms otherwise.
func (w *watched) serve(arm string, requests int, fails, slow float64) {
	var failed, slept uint64
	for range requests {
		switch p := w.r.Float64(); {
		case p < fails:
			failed++
		case p < fails+slow:
			slept++
		}
	}
	w.n.Add(arm, failed, failed)
	w.n.Took(arm, slept, 300*time.Millisecond)
	w.n.Took(arm, uint64(requests)-failed-slept, 20*time.Millisecond) //nolint:gosec // at least 0
}

// ask asks ten seconds later than the last time.
func (w *watched) ask() analysis.Finding {
	w.t.Helper()
	f, err := w.judge.Judge(w.t.Context(), analysistest.Question(w.step, w.after, w.state))
	if err != nil {
		w.t.Fatal(err)
	}
	w.state = f.State
	w.after += 10 * time.Second
	return f
}

// until serves and asks until a verdict comes.
func (w *watched) until(v analysis.Verdict, blocks int, serve func()) (f analysis.Finding, after int) {
	w.t.Helper()
	for after = range blocks {
		if f = w.ask(); f.Verdict == v {
			return f, after
		}
		serve()
	}
	w.t.Fatalf("no %v in %d blocks, the last: %v, %s", v, blocks, f.Verdict, f.Reason)
	return f, 0
}

func TestAnOutageIsFailedAfterDozensOfBadRequests(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	f, blocks := w.until(analysis.Fail, 10, func() {
		w.serve("stable", 4950, 0.001, 0.01)
		w.serve("candidate", 50, 0.5, 0.01)
	})
	if bad := f.Value * float64(f.N); blocks > 2 || bad > 70 {
		t.Errorf("failed after %d blocks and %v bad requests: %s", blocks, bad, f.Reason)
	}
	for _, part := range []string{"candidate fails ", " of 100 requests, stable ", "more than a trillion to 1 for harm; it does harm"} {
		if !strings.Contains(f.Reason, part) {
			t.Errorf("%q does not say %q", f.Reason, part)
		}
	}
	if f.Low > f.Value || f.High < f.Value || f.Evidence < 20 {
		t.Errorf("%+v", f)
	}
	// It stays so, whatever comes.
	w.step++
	for range 5 {
		w.serve("candidate", 10_000, 0, 0)
		w.serve("stable", 10_000, 0, 0)
		if f := w.ask(); f.Verdict != analysis.Fail {
			t.Errorf("a candidate that failed is %v", f.Verdict)
		}
	}
}

func TestASlowerCandidateIsFailed(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	f, _ := w.until(analysis.Fail, 12, func() {
		w.serve("stable", 4500, 0.001, 0.02)
		w.serve("candidate", 500, 0.001, 0.12)
	})
	if !strings.Contains(f.Reason, "candidate takes longer than ") {
		t.Errorf("%q", f.Reason)
	}
}

func TestACandidateThatIsAsGoodIsShownToBeSafeInEachStep(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	good := func() {
		w.serve("stable", 4500, 0.001, 0.02)
		w.serve("candidate", 500, 0.001, 0.02)
	}
	f, first := w.until(analysis.Safe, 40, good)
	if !strings.HasSuffix(f.Reason, "it is safe within the margins") || first < 2 {
		t.Errorf("after %d blocks: %s", first, f.Reason)
	}
	w.step, w.after = 1, 0
	good()
	if f := w.ask(); f.Verdict == analysis.Safe {
		t.Error("what was shown in one step counts for the next")
	}
	w.until(analysis.Safe, 40, good)
}

func TestTheEvidenceOfHarmGoesThroughTheSteps(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	bad := func() {
		w.serve("stable", 900, 0.001, 0)
		w.serve("candidate", 100, 0.03, 0)
	}
	var before float64
	for step := range 4 {
		w.step, w.after = step, 0
		w.ask()
		bad()
		f := w.ask()
		if f.Verdict == analysis.Fail {
			return
		}
		if f.N == 0 || step > 1 && f.Evidence <= before-2 {
			t.Errorf("step %d: %v after %v: %s", step, f.Evidence, before, f.Reason)
		}
		before = f.Evidence
	}
	w.until(analysis.Fail, 10, bad)
}

func TestSharedTroubleBlamesNobody(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	for range 30 {
		if f := w.ask(); f.Verdict == analysis.Fail {
			t.Fatalf("both arms fail alike, and it is %v: %s", f.Verdict, f.Reason)
		}
		p := w.r.Float64() * 0.4
		w.serve("stable", 900, p, 0)
		w.serve("candidate", 100, p, 0)
	}
}

func TestOneBlockIsNotEnoughToFail(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	w.ask()
	w.serve("stable", 4950, 0.001, 0)
	w.serve("candidate", 50, 0.9, 0)
	if f := w.ask(); f.Verdict != analysis.Pass || f.Evidence < 10 {
		t.Errorf("after one block: %v, %s", f.Verdict, f.Reason)
	}
	w.serve("candidate", 50, 0, 0)
	w.serve("stable", 4950, 0.001, 0)
	if f := w.ask(); f.Verdict != analysis.Pass {
		t.Errorf("a hiccup of one block: %v, %s", f.Verdict, f.Reason)
	}
}

func TestNoTrafficAndNoSourceAreInconclusive(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	f, blocks := w.until(analysis.Inconclusive, 10, func() { w.serve("stable", 100, 0, 0) })
	if blocks != 4 || !strings.Contains(f.Reason, "no request has reached the candidate for 4 blocks of 10s") {
		t.Errorf("after %d blocks: %s", blocks, f.Reason)
	}
	w.until(analysis.Pass, 3, func() { w.serve("stable", 100, 0, 0); w.serve("candidate", 10, 0, 0) })
	w.n.Break(errors.New("connection refused"))
	f, blocks = w.until(analysis.Inconclusive, 10, func() {})
	if blocks != 4 || !strings.Contains(f.Reason, "connection refused") {
		t.Errorf("after %d questions: %s", blocks, f.Reason)
	}
}

// TestABlockThatBeginsInTheWarmupIsLeftOut: the last one ends when the warm-up does.
// TestWithoutStableNothingIsComparedAndNothingPasses: everything went to the candidate before
// the first look, as in a switch without a hold before it.
func TestWithoutStableNothingIsComparedAndNothingPasses(t *testing.T) {
	t.Parallel()
	for _, fails := range []float64{0, 0.3} {
		w := watch(t, analysis.CompareOptions{})
		for range 30 {
			f := w.ask()
			if f.Verdict != analysis.Pending && f.Verdict != analysis.Inconclusive {
				t.Fatalf("%v of the requests fail: %v (%s), want nothing said of it", fails, f.Verdict, f.Reason)
			}
			w.serve("candidate", 500, fails, 0)
		}
		f := w.ask()
		if f.Verdict != analysis.Inconclusive || !strings.Contains(f.Reason, "stable got none to compare with") || !strings.Contains(f.Reason, "or judge by a Limit") {
			t.Errorf("got %v (%s), want Inconclusive and what to do", f.Verdict, f.Reason)
		}
		w.serve("stable", 5000, 0, 0)
		w.serve("candidate", 500, 0, 0)
		if f := w.ask(); fails == 0 && f.Verdict != analysis.Pass {
			t.Errorf("once stable has traffic: got %v (%s), want Pass", f.Verdict, f.Reason)
		}
	}
}

func TestABlockThatBeginsInTheWarmupIsLeftOut(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{Pace: analysis.Pace{Warmup: 20 * time.Second}})
	w.ask()
	for range 2 {
		w.serve("stable", 900, 0.001, 0)
		w.serve("candidate", 100, 0.5, 0)
		if f := w.ask(); f.N != 0 || f.Verdict != analysis.Pending {
			t.Fatalf("%d requests of the warm-up are evidence: %v, %s", f.N, f.Verdict, f.Reason)
		}
	}
	w.serve("stable", 900, 0.001, 0)
	w.serve("candidate", 100, 0, 0)
	if f := w.ask(); f.N != 100 || f.Verdict != analysis.Pass {
		t.Errorf("after the warm-up: %d requests, %v, %s", f.N, f.Verdict, f.Reason)
	}
}

func TestARestartNeitherForgetsNorCountsTwice(t *testing.T) {
	t.Parallel()
	run := func(restart bool) []analysis.Finding {
		w := watch(t, analysis.CompareOptions{})
		var all []analysis.Finding
		for range 20 {
			if restart {
				w.judge = compare(t, w.n, analysis.CompareOptions{})
				w.after -= 3 * time.Second // and asks too early at first
				w.ask()
				w.after -= 7 * time.Second
			}
			f := w.ask()
			f.At, f.State = time.Time{}, ""
			all = append(all, f)
			w.serve("stable", 900, 0.002, 0.01)
			w.serve("candidate", 100, 0.01, 0.01)
		}
		return all
	}
	straight, restarted := run(false), run(true)
	for i := range straight {
		if straight[i] != restarted[i] {
			t.Fatalf("question %d: %+v after restarts, %+v without", i, restarted[i], straight[i])
		}
	}
}

func TestTheProxysOwnCounterMayStartOver(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	for range 5 {
		w.ask()
		w.serve("stable", 900, 0.001, 0)
		w.serve("candidate", 100, 0.001, 0)
	}
	first := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	w.n.Restart("candidate", first.Add(w.after-5*time.Second))
	w.serve("candidate", 60, 0, 0)
	before := w.ask()
	if before.N < 400 || before.N > 560 {
		t.Errorf("%d requests were counted, want some 460", before.N)
	}
	// A counter that nobody has read before, and that had begun long ago.
	w.n.Restart("stable", first.Add(-time.Hour))
	w.serve("stable", 50_000, 0.5, 0)
	if f := w.ask(); f.BaselineN > before.BaselineN+1000 {
		t.Errorf("what another counter had counted is evidence: %+v", f)
	}
}

func TestWhatCompareCannotUseIsNamed(t *testing.T) {
	t.Parallel()
	if _, err := analysis.NewCompare(nil, analysis.Default()); err == nil {
		t.Error("no source was accepted")
	}
	for says, edit := range map[string]func(*analysis.CompareOptions){
		"Risk 1:":             func(o *analysis.CompareOptions) { o.Risk = 1 },
		"SafeRisk -1:":        func(o *analysis.CompareOptions) { o.SafeRisk = -1 },
		"Pace.Interval -1s:":  func(o *analysis.CompareOptions) { o.Pace.Interval = -time.Second },
		"Pace.Warmup -1s:":    func(o *analysis.CompareOptions) { o.Pace.Warmup = -time.Second },
		"Pace.IdleLimit -1:":  func(o *analysis.CompareOptions) { o.Pace.IdleLimit = -1 },
		"Errors.Harm":         func(o *analysis.CompareOptions) { o.Errors.Harm.Ratio = -1 },
		"Errors.Limit":        func(o *analysis.CompareOptions) { o.Errors.Limit = 1 },
		"Latency.Safe":        func(o *analysis.CompareOptions) { o.Latency.Safe = o.Latency.Harm },
		"Pace.ConsecutiveErr": func(o *analysis.CompareOptions) { o.Pace.ConsecutiveErrorLimit = 1 << 30 },
	} {
		o := analysis.Default()
		edit(&o)
		if _, err := analysis.NewCompare(analysistest.NewCounter(), o); err == nil || !strings.Contains(err.Error(), "compare: "+says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
	for name, o := range map[string]analysis.CompareOptions{"default": analysis.Default(), "strict": analysis.Strict(), "tolerant": analysis.Tolerant()} {
		if _, err := analysis.NewCompare(analysistest.NewCounter(), o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
