// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// rig is a runner and all that it needs, in memory.
type rig struct {
	t      *testing.T
	store  *strategy.MemoryStore
	router *traffic.Memory
	wiring strategy.Wiring
	cfg    strategy.Config
	runner *strategy.Runner

	mu      sync.Mutex
	verdict analysis.Verdict
}

// newRig wires router "web", judge "errors" and whatever change adds.
func newRig(t *testing.T, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, store: &strategy.MemoryStore{}, router: traffic.NewMemory(traffic.Options{}), verdict: analysis.Pass}
	r.wiring = strategy.Wiring{
		Routers: map[string]traffic.Router{"web": r.router},
		Judges: map[string]analysis.Judge{"errors": analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return c.Finding(r.verdict, r.verdict.String()), nil
		})},
		Tasks: map[string]strategy.Task{},
	}
	r.cfg = strategy.Config{
		Store: r.store,
		Wire:  func(context.Context, string) (strategy.Wiring, error) { return r.wiring, nil },
	}
	for _, f := range change {
		f(r)
	}
	r.restart()
	return r
}

// restart is another process over the same store.
func (r *rig) restart() {
	r.t.Helper()
	runner, err := strategy.NewRunner(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.runner = runner
}

func (r *rig) says(v analysis.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict = v
}

func (r *rig) start(s strategy.Strategy) {
	r.t.Helper()
	plan, err := s.Plan()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.runner.Start(r.t.Context(), "shop", strategy.Request{Release: release, Plan: plan}); err != nil {
		r.t.Fatal(err)
	}
}

// waits is what the first lane that is not over waits for.
func waits(e strategy.Explanation) strategy.LaneExplanation {
	if len(e.Lanes) == 0 {
		return strategy.LaneExplanation{}
	}
	return e.Lanes[0]
}

// result is how a Run ended.
type result struct {
	state strategy.State
	err   error
}

// run carries the rollout out beside the test until stop is called or it ends.
func (r *rig) run() (ended <-chan result, stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan result, 1)
	runner := r.runner
	go func() {
		s, err := runner.Run(ctx, "shop")
		done <- result{s, err}
	}()
	return done, cancel
}

func (r *rig) state() strategy.State {
	r.t.Helper()
	s, err := r.store.Load(r.t.Context(), "shop")
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// weight is what the router gives the candidate now.
func (r *rig) weight() traffic.Weight {
	r.t.Helper()
	seen, err := r.router.Observe(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return seen.Route.Split.Candidate
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// made finds the latest transition of a kind in the journal.
func (r *rig) made(kind strategy.TransitionKind) (strategy.Transition, bool) {
	for _, tr := range slices.Backward(r.store.Journal("shop")) {
		if tr.Kind == kind {
			return tr, true
		}
	}
	return strategy.Transition{}, false
}

var canary = strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(10), traffic.Percent(50), traffic.Full}, Checks: []string{"errors"}}

func TestRunCarriesACanaryOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(canary)
		began := time.Now()
		s, err := r.runner.Run(t.Context(), "shop")
		if err != nil || s.Phase != strategy.Promoted || s.LastGood.Version != "v2" {
			t.Fatalf("it ended %v, %v", s.Phase, err)
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("it took %v, want three steps of a minute", took)
		}
		// A run that has ended is told at once, as often as it is asked.
		if s, err := r.runner.Run(t.Context(), "shop"); err != nil || s.Phase != strategy.Promoted {
			t.Errorf("again: %v, %v", s.Phase, err)
		}
	})
}

func TestAHoldStopsTheClockAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(canary)
		_, stop := r.run()
		time.Sleep(30 * time.Second)
		r.must(r.runner.Hold(t.Context(), "shop", "ann", "lunch"))
		time.Sleep(time.Hour)
		if got := r.weight(); got != traffic.Percent(10) {
			t.Errorf("in the hold the weight is %v", got)
		}
		stop()
		r.restart()
		ended, _ := r.run()
		time.Sleep(time.Hour)
		if e, err := r.runner.Explain(t.Context(), "shop"); err != nil || !strings.Contains(e.Summary, "the operator's hold to end: lunch") {
			t.Errorf("Explain says %q, %v", e.Summary, err)
		}
		if got := r.weight(); got != traffic.Percent(10) {
			t.Errorf("after a restart the weight is %v", got)
		}
		resumed := time.Now()
		r.must(r.runner.Resume(t.Context(), "shop", "bob", "back"))
		if got := <-ended; got.err != nil || got.state.Phase != strategy.Promoted {
			t.Fatalf("it ended %v, %v", got.state.Phase, got.err)
		}
		// Half a minute of the first step was left, give or take what was not saved.
		if took := time.Since(resumed); took < 2*time.Minute+20*time.Second || took > 3*time.Minute+5*time.Second {
			t.Errorf("the rest took %v", took)
		}
		if tr, ok := r.made(strategy.HoldEnded); !ok || tr.By != "bob" || tr.Reason != "back" {
			t.Errorf("the journal has %+v", tr)
		}
	})
}

func TestAnAbortWakesTheRunAndGoesHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.cfg.Poll = time.Hour })
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(10 * time.Second)
		asked := time.Now()
		r.must(r.runner.Abort(t.Context(), "shop", "ann", "wrong build"))
		got := <-ended
		if !errors.Is(got.err, strategy.ErrRolledBack) || got.state.Cause != strategy.CauseAbort {
			t.Fatalf("it ended %v (%v), %v", got.state.Phase, got.state.Cause, got.err)
		}
		if took := time.Since(asked); took > 0 {
			t.Errorf("it took %v although nothing had to be waited for", took)
		}
		if outcome, ok := errors.AsType[*strategy.Outcome](got.err); !ok || outcome.Service != "shop" || outcome.Run != 1 || outcome.Reason != "wrong build" {
			t.Errorf("the outcome is %+v", outcome)
		}
		if got := r.weight(); got != 0 {
			t.Errorf("the weight is %v", got)
		}
		if tr, ok := r.made(strategy.ReturnBegan); !ok || tr.By != "ann" || tr.Reason != "wrong build" {
			t.Errorf("the journal has %+v", tr)
		}
		if err := r.runner.Hold(t.Context(), "shop", "ann", ""); !errors.Is(err, strategy.ErrNoRun) {
			t.Errorf("an order after the end: %v", err)
		}
	})
}

func TestPromoteAndWaivePassGates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.says(analysis.Pending)
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(5 * time.Minute)
		if got := r.weight(); got != traffic.Percent(10) {
			t.Fatalf("a judge without an answer let it go to %v", got)
		}
		r.must(r.runner.Waive(t.Context(), "shop", strategy.StepRef{Lane: "web", Step: "10%"}, "ann", "known to be slow"))
		time.Sleep(5 * time.Minute)
		if got := r.weight(); got != traffic.Percent(50) {
			t.Fatalf("waiving one step led to %v", got)
		}
		err := r.runner.Waive(t.Context(), "shop", strategy.StepRef{Lane: "web", Step: "11%"}, "ann", "")
		if err == nil || !strings.Contains(err.Error(), `shop: the plan has no lane "web" with a step "11%"`) {
			t.Errorf("a step that is none: %v", err)
		}
		r.must(r.runner.Promote(t.Context(), "shop", "ann", "hotfix"))
		asked := time.Now()
		if got := <-ended; got.err != nil || got.state.Phase != strategy.Promoted || time.Since(asked) > 0 {
			t.Errorf("it ended %v after %v, %v", got.state.Phase, time.Since(asked), got.err)
		}
	})
}

func TestAnApprovalIsOfSoManyPeople(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := canary
		c.Approval = &strategy.Approval{Need: 2}
		r.start(c)
		ended, _ := r.run()
		at := strategy.StepRef{Lane: "web", Step: "10%"}
		time.Sleep(2 * time.Minute)
		r.must(r.runner.Approve(t.Context(), "shop", at, "ann", ""))
		r.must(r.runner.Approve(t.Context(), "shop", at, "ann", "I said so"))
		time.Sleep(time.Hour)
		if e, err := r.runner.Explain(t.Context(), "shop"); err != nil || waits(e).Waits != "approval: 1 of 2" || waits(e).Until.IsZero() {
			t.Errorf("Explain says %+v, %v", e, err)
		}
		if got := r.weight(); got != traffic.Percent(10) {
			t.Fatalf("one person twice led to %v", got)
		}
		r.must(r.runner.Approve(t.Context(), "shop", at, "bob", ""))
		if got := <-ended; got.err != nil || got.state.Phase != strategy.Promoted {
			t.Errorf("it ended %v, %v", got.state.Phase, got.err)
		}
	})
}

func TestARollbackThatFailedIsResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(canary)
		ended, _ := r.run()
		time.Sleep(10 * time.Second)
		r.router.SetRoom(traffic.Room{Known: true, Stable: traffic.Percent(95), Candidate: traffic.Full})
		r.must(r.runner.Abort(t.Context(), "shop", "ann", ""))
		got := <-ended
		if !errors.Is(got.err, strategy.ErrRollbackFailed) || r.weight() != traffic.Percent(5) {
			t.Fatalf("without room it ended %v at %v, %v", got.state.Phase, r.weight(), got.err)
		}
		r.router.SetRoom(traffic.Plenty)
		r.must(r.runner.Resume(t.Context(), "shop", "ann", "scaled"))
		s, err := r.runner.Run(t.Context(), "shop")
		if !errors.Is(err, strategy.ErrRolledBack) || r.weight() != 0 {
			t.Errorf("with room it ended %v at %v, %v", s.Phase, r.weight(), err)
		}
	})
}

func TestOrdersSayWhoAndWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	if err := r.runner.Abort(ctx, "shop", "ann", ""); !errors.Is(err, strategy.ErrNoRun) || !strings.Contains(err.Error(), `"shop"`) {
		t.Errorf("without a run: %v", err)
	}
	r.start(canary)
	for what, err := range map[string]error{
		"hold":            r.runner.Hold(ctx, "shop", "", "why"),
		"resume":          r.runner.Resume(ctx, "shop", "", "why"),
		"abort":           r.runner.Abort(ctx, "shop", "", "why"),
		"promote":         r.runner.Promote(ctx, "shop", "", "why"),
		"waive web 10%":   r.runner.Waive(ctx, "shop", strategy.StepRef{Lane: "web", Step: "10%"}, "", "why"),
		"approve web 10%": r.runner.Approve(ctx, "shop", strategy.StepRef{Lane: "web", Step: "10%"}, "", "why"),
	} {
		if err == nil || err.Error() != "strategy: shop: "+what+": say who asks" {
			t.Errorf("%s by nobody: %v", what, err)
		}
	}
	if _, ok := r.made(strategy.Ordered); ok {
		t.Error("an order that was refused is in the journal")
	}
	r.must(r.runner.Hold(ctx, "shop", "ann", "lunch"))
	if tr, ok := r.made(strategy.Ordered); !ok || tr.Subject != "hold" || tr.By != "ann" || tr.Reason != "lunch" {
		t.Errorf("the journal has %+v", tr)
	}
	r.cfg.Intent = func(context.Context, string) (strategy.Intent, error) { return strategy.Intent{}, nil }
	r.restart()
	if err := r.runner.Hold(ctx, "shop", "ann", "why"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Config.Intent") {
		t.Errorf("an order where the will comes from elsewhere: %v", err)
	}
}

// overtaken is a store in which somebody else is first, once.
type overtaken struct {
	*strategy.MemoryStore
	first func()
}

func (o *overtaken) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	if first := o.first; first != nil {
		o.first = nil
		first()
	}
	return o.MemoryStore.Save(ctx, service, prev, next, log...)
}

// TestAnOrderThatWasOvertakenIsMadeAgain over what was saved meanwhile, so that
// neither is lost.
func TestAnOrderThatWasOvertakenIsMadeAgain(t *testing.T) {
	t.Parallel()
	store := &overtaken{}
	r := newRig(t, func(r *rig) {
		store.MemoryStore = r.store
		r.cfg.Store = store
	})
	r.start(canary)
	at := strategy.StepRef{Lane: "web", Step: "10%"}
	store.first = func() { r.must(r.runner.Approve(t.Context(), "shop", at, "bob", "")) }
	r.must(r.runner.Approve(t.Context(), "shop", at, "ann", ""))
	var by []string
	for _, grant := range r.state().Intent.Approvals {
		by = append(by, grant.By)
	}
	if !slices.Equal(by, []string{"bob", "ann"}) {
		t.Errorf("the grants of %v were kept", by)
	}
}

func TestAnOrderOfThisRunIsNoneOfTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(canary)
		r.must(r.runner.Promote(t.Context(), "shop", "ann", ""))
		if s, err := r.runner.Run(t.Context(), "shop"); err != nil || s.Phase != strategy.Promoted {
			t.Fatalf("%v, %v", s.Phase, err)
		}
		plan, err := canary.Plan()
		r.must(err)
		next := strategy.Release{Candidate: strategy.Revision{Version: "v3"}} // stable is what was promoted
		if _, err := r.runner.Start(t.Context(), "shop", strategy.Request{Release: next, Plan: plan}); err != nil {
			t.Fatal(err)
		}
		r.run()
		time.Sleep(30 * time.Second)
		if got := r.weight(); got != traffic.Percent(10) || r.state().Release.Stable.Version != "v2" {
			t.Errorf("the second run stands at %v from %v: the first one's promote counts no more", got, r.state().Release)
		}
	})
}
