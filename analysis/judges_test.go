// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// judged is a rollout whose judge is asked every ten seconds, and first before
// anything was served.
func judged(t *testing.T, build func(n *analysistest.Counter) analysis.Judge) *watched {
	t.Helper()
	w := watch(t, analysis.CompareOptions{})
	w.judge = build(w.n)
	w.ask()
	return w
}

// says fails the test if the verdict is another one or the reason does not say that.
func says(t *testing.T, f analysis.Finding, v analysis.Verdict, parts ...string) {
	t.Helper()
	if f.Verdict != v {
		t.Errorf("%v, want %v: %s", f.Verdict, v, f.Reason)
	}
	for _, part := range parts {
		if !strings.Contains(f.Reason, part) {
			t.Errorf("%q does not say %q", f.Reason, part)
		}
	}
}

func limited(t *testing.T, o analysis.LimitOptions) *watched {
	t.Helper()
	return judged(t, func(n *analysistest.Counter) analysis.Judge { return must[*analysis.Limit](t)(analysis.NewLimit(n, o)) })
}

func TestALimitBlamesTheCandidateForWhatItDoesItself(t *testing.T) {
	t.Parallel()
	w := limited(t, analysis.LimitOptions{})
	f, blocks := w.until(analysis.Fail, 10, func() {
		w.serve("stable", 900, 0.001, 0)
		w.serve("candidate", 100, 0.1, 0)
	})
	if blocks > 4 || f.Evidence < 4.6 || f.Low > f.Value || f.High < f.Value {
		t.Errorf("after %d blocks: %+v", blocks, f)
	}
	says(t, f, analysis.Fail, "limit 1%", "it breaks the limit, and stable does not do the same")
}

func TestALimitThatBothArmsBreakIsAProblemOfTheService(t *testing.T) {
	t.Parallel()
	w := limited(t, analysis.LimitOptions{})
	f, _ := w.until(analysis.Inconclusive, 10, func() {
		w.serve("stable", 900, 0.1, 0)
		w.serve("candidate", 100, 0.1, 0)
	})
	for range 100 {
		w.serve("stable", 900, 0.1, 0)
		w.serve("candidate", 100, 0.1, 0)
		f = w.ask()
		if f.Verdict == analysis.Fail {
			t.Fatalf("the candidate is blamed for what stable does: %s", f.Reason)
		}
	}
	says(t, f, analysis.Inconclusive, "both arms break the limit in this step: a problem of the service")
	// What was is not what is: a step in which all is well passes.
	w.step, w.after = 1, 0
	w.ask()
	w.until(analysis.Safe, 10, func() {
		w.serve("stable", 900, 0, 0)
		w.serve("candidate", 900, 0, 0)
	})
}

func TestALimitActsAloneWhereStableGetsNothing(t *testing.T) {
	t.Parallel()
	alone := func(stable, candidate float64) analysis.Verdict {
		w := judged(t, func(n *analysistest.Counter) analysis.Judge {
			failed := uint64(100_000 * stable)
			n.Add("stable", failed, failed) // it did so before the rollout, too
			return must[*analysis.Limit](t)(analysis.NewLimit(n, analysis.LimitOptions{}))
		})
		for range 12 { // both as good as each other, then everything to the candidate
			w.serve("stable", 2000, stable, 0)
			w.serve("candidate", 20, stable, 0)
			w.ask()
		}
		w.step, w.after = 1, 0
		w.ask()
		var f analysis.Finding
		for range 8 {
			w.serve("candidate", 2000, candidate, 0)
			if f = w.ask(); f.Verdict == analysis.Fail {
				break
			}
		}
		return f.Verdict
	}
	if v := alone(0.001, 0.03); v != analysis.Fail {
		t.Errorf("three times the limit is %v", v)
	}
	if v := alone(0.03, 0.03); v == analysis.Fail {
		t.Error("what stable did before is held against the candidate")
	}
	if v := alone(0.03, 0.06); v != analysis.Fail {
		t.Errorf("twice what stable did is %v", v)
	}
	// And without any stable at all, from the first block on.
	w := limited(t, analysis.LimitOptions{})
	w.until(analysis.Fail, 8, func() { w.serve("candidate", 2000, 0.03, 0) })
}

func TestALimitOnLatencyCountsAboveTheBucketBelow(t *testing.T) {
	t.Parallel()
	w := limited(t, analysis.LimitOptions{Above: 250 * time.Millisecond})
	says(t, func() analysis.Finding {
		f, _ := w.until(analysis.Fail, 8, func() {
			w.serve("stable", 900, 0, 0.002)
			w.serve("candidate", 100, 0, 0.2)
		})
		return f
	}(), analysis.Fail, "candidate takes longer than 250ms for ", " of ")
	w = limited(t, analysis.LimitOptions{Above: 300 * time.Millisecond}) // counted above 250ms
	w.until(analysis.Fail, 8, func() {
		w.serve("stable", 900, 0, 0.002)
		w.serve("candidate", 100, 0, 0.2)
	})
	w = limited(t, analysis.LimitOptions{Above: 10 * time.Millisecond, Pace: analysis.Pace{ConsecutiveErrorLimit: -1}})
	w.serve("candidate", 100, 0, 0)
	says(t, w.ask(), analysis.Inconclusive, "no latency bucket ends at or below 10ms")
}

func TestALimitThatTheCandidateBreaksIsNotPassedWhileItIsNotClearWhoDoes(t *testing.T) {
	t.Parallel()
	w := limited(t, analysis.LimitOptions{Beside: analysis.Margin{Ratio: 8}})
	f, _ := w.until(analysis.Inconclusive, 20, func() {
		w.serve("stable", 9000, 0.007, 0)
		w.serve("candidate", 1000, 0.04, 0)
	})
	says(t, f, analysis.Inconclusive, "it breaks the limit in this step, and whether stable does the same is not clear yet")
}

func TestOneBadBlockBreaksNoLimit(t *testing.T) {
	t.Parallel()
	w := limited(t, analysis.LimitOptions{})
	w.serve("stable", 900, 0.001, 0)
	w.serve("candidate", 100, 0.9, 0)
	if f := w.ask(); f.Verdict == analysis.Fail || f.Evidence < 10 {
		t.Errorf("after one block: %v, %v", f.Verdict, f.Evidence)
	}
}

func TestCrashesBeyondTheShareOfRequestsFail(t *testing.T) {
	t.Parallel()
	ratio := func(n *analysistest.Counter) analysis.Judge {
		return must[*analysis.Ratio](t)(analysis.NewRatio(eventsOf(n), analysis.RatioOptions{Name: "crashes"}))
	}
	serve := func(w *watched, stable, candidate uint64) func() {
		return func() { w.n.Add("stable", 9000, stable); w.n.Add("candidate", 1000, candidate) }
	}
	w := judged(t, ratio)
	f, _ := w.until(analysis.Fail, 8, serve(w, 9, 8))
	says(t, f, analysis.Fail, " crashes in ", "times as many per request (limit 1.5)", "it does harm")
	if f.Value != 0.008 || f.Baseline != 0.001 {
		t.Errorf("%+v", f)
	}
	w = judged(t, ratio)
	for range 100 { // a storm for both, in proportion
		serve(w, 900, 100)()
		says(t, w.ask(), analysis.Pass, "1 times as many")
	}
	w = judged(t, ratio)
	serve(w, 9, 800)()
	says(t, w.ask(), analysis.Pass) // one burst
	serve(w, 9, 1)()
	says(t, w.ask(), analysis.Pass)
}

func TestASplitThatIsNotTheOneAskedForIsNoticed(t *testing.T) {
	t.Parallel()
	want := 0.1
	share := func(n *analysistest.Counter) analysis.Judge {
		return must[*analysis.Share](t)(analysis.NewShare(n, analysis.ShareOptions{Weight: func(context.Context, analysis.Check) (float64, error) { return want, nil }}))
	}
	serve := func(w *watched, stable, candidate int) func() {
		return func() { w.serve("stable", stable, 0, 0); w.serve("candidate", candidate, 0, 0) }
	}
	w := judged(t, share)
	f, blocks := w.until(analysis.Inconclusive, 10, serve(w, 970, 30))
	says(t, f, analysis.Inconclusive, "asked for 10%, candidate got 3% of 1,000 requests: the split is not the one that the step asked for")
	if f.Value != 0.03 || f.Baseline != 0.1 || !(f.Low < 0.03 && f.High > 0.03 && f.High < 0.1) || blocks > 2 {
		t.Errorf("after %d blocks: %+v", blocks, f)
	}
	// The next step begins anew, at its own weight.
	w.step, w.after, want = 1, 0, 0.5
	serve(w, 970, 30)()
	w.ask()
	serve(w, 500, 500)()
	says(t, w.ask(), analysis.Pass, "asked for 50%, candidate got 50% of 1,000 requests")

	for weight, arms := range map[float64][2]int{0.1: {9100, 900}, 0.01: {9900, 100}, 0.5: {5300, 4700}, 1: {20, 9980}, 0.999: {15, 9985}} {
		want = weight
		w = judged(t, share)
		for range 5 {
			serve(w, arms[0], arms[1])()
			if f := w.ask(); f.Verdict != analysis.Pass {
				t.Errorf("%v of %v is off: %s", weight, arms, f.Reason)
			}
		}
	}
	want = 1
	w = judged(t, share)
	w.until(analysis.Inconclusive, 5, serve(w, 100, 900))
	want = 1.5
	w = judged(t, share)
	f, _ = w.until(analysis.Inconclusive, 6, serve(w, 1, 1))
	says(t, f, analysis.Inconclusive, "weight 1.5: want a share between 0 and 1")
}

func TestABurningBudgetHoldsAndBlamesNobody(t *testing.T) {
	t.Parallel()
	w := judged(t, func(n *analysistest.Counter) analysis.Judge {
		return must[*analysis.BurnRate](t)(analysis.NewBurnRate(n, analysis.BurnRateOptions{}))
	})
	serve := func(failed uint64) func() {
		return func() { w.n.Add("stable", 900, failed); w.n.Add("candidate", 100, 0) }
	}
	for range 30 {
		serve(1)()
		says(t, w.ask(), analysis.Pass)
	}
	f, blocks := w.until(analysis.Inconclusive, 30, serve(100))
	says(t, f, analysis.Inconclusive, "both arms together fail ", "the service burns its error budget, whoever does it")
	if blocks > 6 || f.Evidence != 0 {
		t.Errorf("after %d blocks: %+v", blocks, f)
	}
	// The short window ends it soon after it is over, long before the long one would.
	if _, blocks = w.until(analysis.Pass, 30, serve(0)); blocks > 8 {
		t.Errorf("it took %d blocks to see that it is over", blocks)
	}
	// One bad block after many good ones is no emergency: the long window says so.
	long := []analysis.BurnWindow{{Long: time.Hour, Short: 10 * time.Second, Rate: 14.4}}
	w = judged(t, func(n *analysistest.Counter) analysis.Judge {
		return must[*analysis.BurnRate](t)(analysis.NewBurnRate(n, analysis.BurnRateOptions{Windows: long}))
	})
	for range 100 {
		serve(0)()
		w.ask()
	}
	serve(300)()
	says(t, w.ask(), analysis.Pass, "30% in 10s")
	// And once it is out of the window it is forgotten.
	for range 400 {
		serve(0)()
		f = w.ask()
	}
	if f.Value != 0 || f.N < 300_000 || f.N > 360_000 {
		t.Errorf("%+v", f)
	}
	// A few failures of very few requests are no emergency.
	w = judged(t, func(n *analysistest.Counter) analysis.Judge {
		return must[*analysis.BurnRate](t)(analysis.NewBurnRate(n, analysis.BurnRateOptions{}))
	})
	for range 20 {
		w.n.Add("stable", 3, 1)
		w.n.Add("candidate", 1, 0)
		says(t, w.ask(), analysis.Pass)
	}
}

func TestTheMeanHasOneRiskForAll(t *testing.T) {
	t.Parallel()
	part := func(name string, v analysis.Verdict, evidence float64) analysis.Part {
		return analysis.Part{Name: name, Judge: judgeFunc(func(c analysis.Check) analysis.Finding {
			f := c.Finding(v, "it is "+v.String())
			f.Evidence, f.Value = evidence, evidence
			return f
		})}
	}
	broken := analysis.Part{Name: "broken", Judge: analysistest.Broken(errors.New("down"))}
	heavy := part("b", analysis.Pass, 4)
	heavy.Weight = 4
	for name, test := range map[string]struct {
		parts []analysis.Part
		want  analysis.Verdict
		says  string
	}{
		"enough in the mean":     {[]analysis.Part{part("a", pass, 5.4), part("b", pass, 1)}, analysis.Fail, "112 to 1 for harm in the mean; a: it is pass"},
		"not enough in the mean": {[]analysis.Part{part("a", pass, 5.2), part("b", pass, 1)}, pass, "91 to 1"},
		"a part alone fails":     {[]analysis.Part{part("a", analysis.Fail, 5.2), part("b", pass, 1)}, analysis.Inconclusive, "a: it is fail"},
		"heavy":                  {[]analysis.Part{part("a", pass, 6.3), heavy}, analysis.Fail, "152 to 1"},
		"all safe":               {[]analysis.Part{part("a", analysis.Safe, -3), part("b", analysis.Safe, 0)}, analysis.Safe, "b: it is safe"},
		"one safe":               {[]analysis.Part{part("a", analysis.Safe, -3), part("b", pass, 0)}, pass, "b: it is pass"},
		"one pending":            {[]analysis.Part{part("a", analysis.Safe, -3), part("b", analysis.Pending, 0)}, analysis.Pending, "b: it is pending"},
		"one inconclusive":       {[]analysis.Part{part("a", analysis.Pending, 0), part("b", analysis.Inconclusive, 0)}, analysis.Inconclusive, "b: it is inconclusive"},
		// (200+0)/2 is 100 to 1: what a part would have said that was not heard is nothing.
		"unheard is no evidence": {[]analysis.Part{part("a", pass, 5.295), broken}, analysis.Pending, "broken: down"},
		"enough all the same":    {[]analysis.Part{part("a", pass, 5.3), broken}, analysis.Fail, "100 to 1"},
	} {
		j := must[*analysis.Combination](t)(analysis.Mean(0, test.parts...))
		f, err := j.Judge(t.Context(), analysistest.Question(0, 0, ""))
		if err != nil || f.Verdict != test.want || !strings.Contains(f.Reason, test.says) {
			t.Errorf("%s: %v %q (%v), want %v that says %q", name, f.Verdict, f.Reason, err, test.want, test.says)
		}
	}
	heavy.Weight = -1
	for want, build := range map[string]func() (*analysis.Combination, error){
		`part "b": Weight -1`: func() (*analysis.Combination, error) { return analysis.Mean(0, heavy) },
		"risk 2":              func() (*analysis.Combination, error) { return analysis.Mean(2, broken) },
		"mean of 0 parts":     func() (*analysis.Combination, error) { return analysis.Mean(0) },
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %q", err, want)
		}
	}
}

func TestWhatJudgesOfBlocksCannotUseIsNamed(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter()
	limit := func(o analysis.LimitOptions) error { _, err := analysis.NewLimit(n, o); return err }
	ratio := func(o analysis.RatioOptions) error { _, err := analysis.NewRatio(eventsOf(n), o); return err }
	share := func(o analysis.ShareOptions) error {
		if o.Weight == nil {
			o.Weight = asked(0.1)
		}
		_, err := analysis.NewShare(n, o)
		return err
	}
	burn := func(o analysis.BurnRateOptions) error { _, err := analysis.NewBurnRate(n, o); return err }
	window := func(long, short time.Duration, rate float64) analysis.BurnRateOptions {
		return analysis.BurnRateOptions{Windows: []analysis.BurnWindow{{Long: long, Short: short, Rate: rate}}}
	}
	_, noLimit := analysis.NewLimit(nil, analysis.LimitOptions{})
	_, noRatio := analysis.NewRatio(nil, analysis.RatioOptions{})
	_, noShare := analysis.NewShare(nil, analysis.ShareOptions{Weight: asked(1)})
	_, noBurn := analysis.NewBurnRate(nil, analysis.BurnRateOptions{})
	_, noWeight := analysis.NewShare(n, analysis.ShareOptions{})
	for want, err := range map[string]error{
		"limit: it has no source":                noLimit,
		"ratio: it has no source":                noRatio,
		"share: it has no source":                noShare,
		"burn rate: it has no source":            noBurn,
		"share: Weight: nil":                     noWeight,
		"limit: Most 1:":                         limit(analysis.LimitOptions{Most: 1}),
		"limit: Above -1s":                       limit(analysis.LimitOptions{Above: -time.Second}),
		"limit: Beside":                          limit(analysis.LimitOptions{Beside: analysis.Margin{Abs: 0.1}}),
		"limit: Risk 1":                          limit(analysis.LimitOptions{Risk: 1}),
		"limit: SafeRisk -1":                     limit(analysis.LimitOptions{SafeRisk: -1}),
		"limit: Pace.Interval -1s":               limit(analysis.LimitOptions{Pace: analysis.Pace{Interval: -time.Second}}),
		"ratio: Pace.Warmup -1s":                 ratio(analysis.RatioOptions{Pace: analysis.Pace{Warmup: -time.Second}}),
		"ratio: Tolerance -1":                    ratio(analysis.RatioOptions{Tolerance: -1}),
		"ratio: Risk 2":                          ratio(analysis.RatioOptions{Risk: 2}),
		"share: Tolerance 1":                     share(analysis.ShareOptions{Tolerance: 1}),
		"share: Risk 2":                          share(analysis.ShareOptions{Risk: 2}),
		"share: Pace.IdleLimit -1":               share(analysis.ShareOptions{Pace: analysis.Pace{IdleLimit: -1}}),
		"burn rate: Objective 1":                 burn(analysis.BurnRateOptions{Objective: 1}),
		"burn rate: Hold -1s":                    burn(analysis.BurnRateOptions{Hold: -time.Second}),
		"burn rate: Windows: 5":                  burn(analysis.BurnRateOptions{Windows: make([]analysis.BurnWindow, 5)}),
		"burn rate: Windows[0].Short 1s":         burn(window(time.Minute, time.Second, 6)),
		"burn rate: Windows[0].Long 30s":         burn(window(30*time.Second, time.Minute, 6)),
		"burn rate: Windows[0].Rate 1000":        burn(window(time.Minute, time.Minute, 1000)),
		"burn rate: Pace.ConsecutiveErrorLimit ": burn(analysis.BurnRateOptions{Pace: analysis.Pace{ConsecutiveErrorLimit: 1 << 30}}),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: "+want) {
			t.Errorf("%v, want one that begins with %q", err, want)
		}
	}
	if err := burn(analysis.BurnRateOptions{Windows: analysis.WorkbookWindows()}); err != nil {
		t.Error(err)
	}
}

// show asks every ten seconds, after what the blocks bring, and prints the last answer.
func show(j analysis.Judge, blocks int, each func()) {
	var f analysis.Finding
	for i := range blocks + 1 {
		if i > 0 {
			each()
		}
		var err error
		if f, err = j.Judge(context.Background(), analysistest.Question(0, time.Duration(i)*10*time.Second, f.State)); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%v: %s\n", f.Verdict, f.Reason)
}

// At most 1% may take longer than half a second, and a slow database is nobody's fault.
func ExampleLimit() {
	counter := analysistest.NewCounter(100*time.Millisecond, 500*time.Millisecond)
	judge, err := analysis.NewLimit(counter, analysis.LimitOptions{Most: 0.01, Above: 500 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(judge, 3, func() {
		counter.Took("stable", 800, 80*time.Millisecond)
		counter.Took("stable", 100, time.Second)
		counter.Took("candidate", 180, 80*time.Millisecond)
		counter.Took("candidate", 20, time.Second)
	})
	// Output:
	// inconclusive: candidate takes longer than 500ms for 10% of 600 requests, limit 1%, stable 11.11% of 2,700: both arms break the limit in this step: a problem of the service, and not of the candidate alone
}

// Crashes have no denominator; the split says how many are the candidate's share.
func ExampleRatio() {
	var crashes analysis.Events // of the candidate; stable has had none
	judge, err := analysis.NewRatio(func(context.Context, analysis.Check) (stable, candidate analysis.Events, err error) {
		stable.Requests = crashes.Requests * 9
		return stable, crashes, nil
	}, analysis.RatioOptions{Name: "crashes"})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(judge, 4, func() { crashes.Requests += 500; crashes.Events++ })
	// Output: fail: candidate had 4 crashes in 2,000 requests, stable 0 in 18,000: 446 to 1 for harm; it does harm
}

// The plan asks for 10%, and somewhere a cache answers for the candidate.
func ExampleShare() {
	var counter analysistest.Counter
	judge, err := analysis.NewShare(&counter, analysis.ShareOptions{
		Weight: func(context.Context, analysis.Check) (float64, error) { return 0.1, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(judge, 2, func() { counter.Add("stable", 970, 0); counter.Add("candidate", 30, 0) })
	// Output: inconclusive: asked for 10%, candidate got 3% of 2,000 requests: the split is not the one that the step asked for
}

// A service that promises 99.9% and is down for one request in thirty.
func ExampleBurnRate() {
	var counter analysistest.Counter
	judge, err := analysis.NewBurnRate(&counter, analysis.BurnRateOptions{Objective: 0.999, Hold: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(judge, 6, func() { counter.Add("stable", 900, 30); counter.Add("candidate", 100, 3) })
	// Output: inconclusive: both arms together fail 3.3% of 6,000 requests in 2m0s and 3.3% in 20s: 33 times what 99.9% allows, limit 14.4: the service burns its error budget, whoever does it
}

// Errors count twice as much as crashes, and both together have a risk of 1%.
func ExampleMean() {
	var counter analysistest.Counter
	errorRate, err := analysis.NewCompare(&counter, analysis.CompareOptions{Risk: 0.01 * 2 / 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	judge, err := analysis.Mean(0.01,
		analysis.Part{Name: "errors", Judge: errorRate, Weight: 2},
		analysis.Part{Name: "crashes", Judge: analysistest.Always(analysis.Pass)},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	show(judge, 3, func() { counter.Add("stable", 900, 1); counter.Add("candidate", 100, 4) })
	// Output: fail: 55,850 to 1 for harm in the mean; errors: candidate fails 4% of 200 requests, stable 0.1111% of 1,800: 83,775 to 1 for harm; it does harm
}
