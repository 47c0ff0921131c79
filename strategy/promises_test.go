// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// holding is a world whose canary has stood at 10% for its whole hold, so that
// anything that lets it on lets it on now.
func holding(t *testing.T) *strategytest.World {
	t.Helper()
	plan, err := strategy.Canary{
		Target: "web", Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, Hold: time.Minute, Checks: []string{"errors"},
	}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	w := strategytest.NewWorld()
	if err := w.Start(strategy.NewRelease("v1", "v2"), plan, strategy.Override{}); err != nil {
		t.Fatal(err)
	}
	w.Verdicts["errors"] = analysis.Pending
	for range 10 {
		if _, err := w.Step(); err != nil {
			t.Fatal(err)
		}
		w.Now = w.Now.Add(20 * time.Second)
	}
	if lane := w.State.Lanes[0]; lane.Stage != strategy.Holding || lane.Held < time.Minute {
		t.Fatalf("the lane is %+v", lane)
	}
	return w
}

// at steps once and says what happened.
func at(t *testing.T, w *strategytest.World, change func(*strategy.Observation)) strategy.TransitionKind {
	t.Helper()
	o := w.Observe()
	change(&o)
	d, err := w.Machine.Step(w.Now, w.State, o)
	if err != nil {
		t.Fatal(err)
	}
	return d.Transition.Kind
}

func TestAnAnswerToAnotherQuestionIsNoAnswer(t *testing.T) {
	t.Parallel()
	w := holding(t)
	id := strategy.CheckID{Lane: "web", Name: "errors"}
	for name, change := range map[string]func(*analysis.Finding){
		"another run":         func(f *analysis.Finding) { f.Run++ },
		"another step":        func(f *analysis.Finding) { f.Step++ },
		"another settle time": func(f *analysis.Finding) { f.Since = f.Since.Add(-time.Second) },
	} {
		for _, verdict := range []analysis.Verdict{analysis.Pass, analysis.Safe, analysis.Fail} {
			got := at(t, w, func(o *strategy.Observation) {
				f := o.Findings[id]
				f.Verdict = verdict
				change(&f)
				o.Findings[id] = f
			})
			if got != 0 {
				t.Errorf("%v of %s: %v", verdict, name, got)
			}
		}
	}
	if got := at(t, w, func(o *strategy.Observation) {
		f := o.Findings[id]
		f.Verdict = analysis.Fail
		o.Findings[id] = f
	}); got != strategy.ReturnBegan {
		t.Errorf("an answer to the question that is open: %v", got)
	}
}

func TestAnIntentOfAnotherRunIsAsGoodAsNone(t *testing.T) {
	t.Parallel()
	w := holding(t)
	for _, run := range []uint64{0, w.State.Run - 1, w.State.Run + 1} {
		for name, intent := range map[string]strategy.Intent{
			"abort": {Abort: true}, "promote": {Promote: true}, "hold": {Hold: true}, "want": {Want: strategy.Revision{Version: "v9"}},
		} {
			intent.Run = run
			if got := at(t, w, func(o *strategy.Observation) { o.Intent = &intent }); got != 0 {
				t.Errorf("%s of run %d in run %d: %v", name, run, w.State.Run, got)
			}
		}
	}
	if got := at(t, w, func(o *strategy.Observation) { o.Intent = &strategy.Intent{Run: w.State.Run, Abort: true} }); got != strategy.ReturnBegan {
		t.Errorf("abort of this run: %v", got)
	}
}

func TestANumberThatIsNoneIsInconclusive(t *testing.T) {
	t.Parallel()
	w := holding(t)
	id := strategy.CheckID{Lane: "web", Name: "errors"}
	var zero float64
	o := w.Observe()
	f := o.Findings[id]
	f.Verdict, f.Value = analysis.Pass, zero/zero
	o.Findings[id] = f
	d, err := w.Machine.Step(w.Now, w.State, o)
	if err != nil || d.Transition.Verdict != analysis.Inconclusive {
		t.Errorf("a pass of NaN was taken as %v, %v", d.Transition.Verdict, err)
	}
	encode(t, d.State)
}

func TestAFrozenPlanThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	text := encode(t, holding(t).State)
	if _, err := strategy.DecodeState([]byte(text)); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(text, `"hold":"1m0s"`, `"hold":"2m0s"`, 1)
	if changed == text {
		t.Fatal("nothing was changed")
	}
	if _, err := strategy.DecodeState([]byte(changed)); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a plan that was changed after the run began: %v", err)
	}
}
