// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

func percents(ps ...float64) []traffic.Weight {
	weights := make([]traffic.Weight, len(ps))
	for i, p := range ps {
		weights[i] = traffic.Percent(p)
	}
	return weights
}

func TestLinearAndExponentialEndAtFull(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		got, want []traffic.Weight
	}{
		{"linear 20%", strategy.Linear(traffic.Percent(20)), percents(20, 40, 60, 80, 100)},
		{"linear 30%", strategy.Linear(traffic.Percent(30)), percents(30, 60, 90, 100)},
		{"linear full", strategy.Linear(traffic.Full), percents(100)},
		{"linear more than full", strategy.Linear(math.MaxUint32), percents(100)},
		{"linear nothing", strategy.Linear(0), nil},
		{"doubling from 1%", strategy.Exponential(traffic.Percent(1), 2), percents(1, 2, 4, 8, 16, 32, 64, 100)},
		{"tenfold from 1%", strategy.Exponential(traffic.Percent(1), 10), percents(1, 10, 100)},
		{"from full", strategy.Exponential(traffic.Full, 2), percents(100)},
		{"from nothing", strategy.Exponential(0, 2), nil},
		{"by one", strategy.Exponential(1, 1), nil},
		{"by NaN", strategy.Exponential(1, math.NaN()), nil},
		{"by infinity", strategy.Exponential(traffic.Percent(1), math.Inf(1)), percents(1, 100)},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	// A factor hardly above one gives no step twice.
	if slow := strategy.Exponential(1, 1.0001); !slices.IsSorted(slow) || len(slices.Compact(slices.Clone(slow))) != len(slow) {
		t.Errorf("a slow ramp repeats itself: %v", slow[:10])
	}
}

func TestACanaryTakesTheClassicSteps(t *testing.T) {
	t.Parallel()
	p, err := strategy.Canary{Target: "web", Before: []string{"scale"}, Approval: &strategy.Approval{}, Bake: time.Hour, Checks: []string{"errors"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	steps := p.Lanes[0].Steps
	var weights []traffic.Weight
	for i, step := range steps[:6] {
		weights = append(weights, step.Set[0].Split.Candidate)
		if step.Hold != time.Minute || step.Min != time.Minute || !slices.Equal(step.Checks, []string{"errors"}) {
			t.Errorf("step %d: %+v", i, step)
		}
		if first := i == 0; first != (len(step.Before) > 0) || first != (step.Approval != nil) {
			t.Errorf("step %d: tasks and approval belong to the first: %+v", i, step)
		}
	}
	if want := percents(1, 5, 10, 25, 50, 100); !slices.Equal(weights, want) {
		t.Errorf("got %v, want %v", weights, want)
	}
	if bake := steps[6]; len(steps) != 7 || bake.Name != "bake" || bake.Hold != time.Hour || len(bake.Set) != 0 {
		t.Errorf("the bake: %+v", bake)
	}
	story, err := strategytest.Play(p, strategytest.After(0, approveAll))
	if err != nil || story.Final.Phase != strategy.Promoted || story.Lasted != 66*time.Minute {
		t.Errorf("it ended %v after %v, %v", story.Final.Phase, story.Lasted, err)
	}
	if want := percents(0, 1, 5, 10, 25, 50, 100); !slices.Equal(story.Weights("web"), want) {
		t.Errorf("the router took %v, want %v", story.Weights("web"), want)
	}
}

func TestABlueGreenShowsSwitchesBakesAndReleases(t *testing.T) {
	t.Parallel()
	p, err := strategy.BlueGreen{Target: "web", Before: []string{"deploy"}, Approval: &strategy.Approval{}, Checks: []string{"errors"}, Release: []string{"shrink"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, step := range p.Lanes[0].Steps {
		names = append(names, step.Name)
	}
	if want := []string{"preview", "switch", "bake", "release"}; !slices.Equal(names, want) {
		t.Errorf("got steps %v, want %v", names, want)
	}
	preview := p.Lanes[0].Steps[0].Set[0].Split
	if preview.Candidate != 0 || !slices.Equal(preview.Match, []traffic.Match{{Header: "X-Preview", Value: "candidate"}}) {
		t.Errorf("the preview is %+v", preview)
	}
	story, err := strategytest.Play(p, strategytest.After(time.Hour, approveAll))
	if err != nil || story.Final.Phase != strategy.Promoted || story.Lasted != time.Hour+10*time.Minute {
		t.Fatalf("it ended %v after %v, %v", story.Final.Phase, story.Lasted, err)
	}
	if want := percents(0, 0, 100); !slices.Equal(story.Weights("web"), want) {
		t.Errorf("the router took %v, want %v", story.Weights("web"), want)
	}
	// The other side is kept until the bake is over: released before that, there would be nowhere to go.
	switched, released := time.Time{}, time.Time{}
	for _, tr := range story.Transitions {
		switch {
		case tr.Kind == strategy.DialsTurned && tr.Step == "switch":
			switched = tr.At
		case tr.Kind == strategy.TaskStarted && tr.Subject == "shrink":
			released = tr.At
		}
	}
	if released.Sub(switched) != 10*time.Minute {
		t.Errorf("the other side was released %v after the switch", released.Sub(switched))
	}
	plain, err := strategy.BlueGreen{Target: "dns", NoPreview: true}.Plan()
	if err != nil || len(plain.Lanes[0].Steps) != 3 || plain.Lanes[0].Steps[0].Set[0].Split.Touches() {
		t.Errorf("without a preview: %+v, %v", plain, err)
	}
}

func rings(scope strategy.Scope) strategy.Rings {
	return strategy.Rings{
		Rings:  []strategy.Group{{Name: "team", Targets: []string{"dev"}}, {Name: "company", Targets: []string{"office", "vpn"}}, {Name: "all", Targets: []string{"web"}}},
		Checks: []string{"errors"}, OnFail: scope,
	}
}

// order lists the lanes in which transitions of a kind were made.
func order(s *strategytest.Story, kind strategy.TransitionKind) []string {
	var lanes []string
	for _, tr := range s.Transitions {
		if tr.Kind == kind {
			lanes = append(lanes, tr.Lane)
		}
	}
	return lanes
}

func TestRingsGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	p, err := rings(strategy.Everything).Plan()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(p)
	if err != nil || story.Final.Phase != strategy.Promoted || story.Lasted != 30*time.Minute {
		t.Fatalf("it ended %v after %v, %v", story.Final.Phase, story.Lasted, err)
	}
	if got, want := order(story, strategy.LaneDone), []string{"team", "company", "all"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAFailingRingBringsEveryRingHome(t *testing.T) {
	t.Parallel()
	p, err := rings(strategy.Everything).Plan()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(p, strategytest.At("company", "100%", strategytest.Fails("errors")))
	if err != nil || story.Final.Phase != strategy.RolledBack || !errors.Is(story.Final.Err(), strategy.ErrRolledBack) {
		t.Fatalf("it ended %v, %v", story.Final.Phase, err)
	}
	for target, want := range map[string][]traffic.Weight{"dev": percents(0, 100, 0), "office": percents(0, 100, 0), "vpn": percents(0, 100, 0), "web": nil} {
		if got := story.Weights(target); !slices.Equal(got, want) {
			t.Errorf("%s took %v, want %v", target, got, want)
		}
	}
}

func TestARingThatFailsAloneLeavesTheRolloutPartial(t *testing.T) {
	t.Parallel()
	p, err := rings(strategy.ThisLane).Plan()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(p, strategytest.At("company", "100%", strategytest.Fails("errors")))
	if err != nil || story.Final.Phase != strategy.Partial || !errors.Is(story.Final.Err(), strategy.ErrPartial) {
		t.Fatalf("it ended %v, %v", story.Final.Phase, err)
	}
	for target, want := range map[string][]traffic.Weight{"dev": percents(0, 100), "office": percents(0, 100, 0), "vpn": percents(0, 100, 0), "web": nil} {
		if got := story.Weights(target); !slices.Equal(got, want) {
			t.Errorf("%s took %v, want %v", target, got, want)
		}
	}
	if q := story.Final.Quarantine; len(q) != 1 || q[0].Revision.Version != "v2" || story.Final.LastGood.Version != "" {
		t.Errorf("quarantined %+v, last good %+v", q, story.Final.LastGood)
	}
	// A person sends the rest home.
	w := story.World
	w.Intent = strategy.Intent{Abort: true, By: "ann", Why: "all or nothing"}
	for range 50 {
		d, err := w.Step()
		if err != nil {
			t.Fatal(err)
		}
		if d.Wake.IsZero() {
			break
		}
		w.Now = d.Wake
	}
	if w.State.Phase != strategy.RolledBack || w.State.Cause != strategy.CauseAbort {
		t.Fatalf("after the abort it is %v (%v)", w.State.Phase, w.State.Cause)
	}
	for _, target := range []string{"dev", "office", "vpn"} {
		if seen := w.Target(target).Seen.Route.Split; seen.Touches() {
			t.Errorf("%s still shows %v", target, seen)
		}
	}
}

func TestProgressiveGoesWaveByWaveAndAFewAtATime(t *testing.T) {
	t.Parallel()
	p, err := strategy.Progressive{
		Waves:       []strategy.Group{{Name: "1", Targets: []string{"a"}}, {Name: "2", Targets: []string{"b", "c", "d"}}, {Name: "3", Targets: []string{"e"}}},
		MaxParallel: 2, Weights: percents(10, 100), Checks: []string{"errors"},
	}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	story, err := strategytest.Play(p)
	if err != nil || story.Final.Phase != strategy.Promoted || story.Lasted != 8*time.Minute {
		t.Fatalf("it ended %v after %v, %v", story.Final.Phase, story.Lasted, err)
	}
	if got, want := order(story, strategy.LaneDone), []string{"a", "b", "c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	moving, most := 0, 0
	for _, tr := range story.Transitions {
		switch tr.Kind {
		case strategy.LaneArmed:
			moving++
		case strategy.LaneDone:
			moving--
		}
		most = max(most, moving)
	}
	if most != 2 {
		t.Errorf("%d regions moved at once, want 2", most)
	}
	// A fault in the second wave is never seen by the third.
	story, err = strategytest.Play(p, strategytest.At("c", "10%", strategytest.Fails("errors")))
	if err != nil || story.Final.Phase != strategy.RolledBack || story.Weights("d") != nil || story.Weights("e") != nil {
		t.Errorf("it ended %v; d took %v, e %v, %v", story.Final.Phase, story.Weights("d"), story.Weights("e"), err)
	}
}

func TestAnEmptyWaveIsWaitedThrough(t *testing.T) {
	t.Parallel()
	p, err := strategy.Progressive{Waves: []strategy.Group{{Targets: []string{"a"}}, {}, {Targets: []string{"b"}}}, MaxParallel: 9}.Plan()
	if err != nil || len(p.Lanes) != 2 || !slices.Equal(p.Lanes[1].After, []string{"a"}) {
		t.Errorf("%+v, %v", p.Lanes, err)
	}
}

func TestAllAtOnceTurnsItsDialsInOrderAndBack(t *testing.T) {
	t.Parallel()
	p, err := strategy.AllAtOnce{Targets: []string{"api", "web"}, Checks: []string{"errors"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	w := strategytest.NewWorld()
	if err := w.Start(strategy.Release{Stable: strategy.Revision{Version: "v1"}, Candidate: strategy.Revision{Version: "v2"}}, p, strategy.Override{}); err != nil {
		t.Fatal(err)
	}
	var writes [][]string
	for range 8 {
		d, err := w.Step()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range d.Effects {
			if set, ok := e.(*strategy.SetRoute); ok {
				names = append(names, set.Target)
			}
		}
		if names != nil {
			writes = append(writes, names)
		}
		if w.State.Lanes[0].Stage == strategy.Holding {
			strategytest.Fails("errors")(w)
		}
	}
	if want := [][]string{{"api", "web"}, {"api", "web"}, {"web", "api"}}; !reflect.DeepEqual(writes, want) {
		t.Errorf("armed, turned and returned in the order %v, want %v", writes, want)
	}
}

func TestABuilderThatMakesNoPlanSaysWhichAndWhy(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]strategy.Strategy{
		`canary: strategy: invalid plan`:                                                               strategy.Canary{},
		`canary: strategy: invalid plan: lane "web": step "1%": set[0]`:                                strategy.Canary{Target: "web", Weights: percents(10, 1)},
		`blue-green: strategy: invalid plan`:                                                           strategy.BlueGreen{},
		`rings: strategy: invalid plan: lanes: there are none`:                                         strategy.Rings{},
		`all at once: strategy: invalid plan: lane "all": step "all at once": set[0].target: is empty`: strategy.AllAtOnce{},
		`rings: strategy: invalid plan: lane "x": step "100%": set[0].target: is empty`:                strategy.Rings{Rings: []strategy.Group{{Name: "x"}}},
		`progressive: strategy: invalid plan: lanes: there are none`:                                   strategy.Progressive{},
		`progressive: strategy: invalid plan: lane "a": name: is used twic`:                            strategy.Progressive{Waves: []strategy.Group{{Targets: []string{"a"}}, {Targets: []string{"a"}}}},
	} {
		if _, err := s.Plan(); !errors.Is(err, strategy.ErrInvalidPlan) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPlansShareNothingWithTheirBuilder: a plan is not changed by what its
// builder's slices become.
func TestPlansShareNothingWithTheirBuilder(t *testing.T) {
	t.Parallel()
	c := strategy.Canary{
		Target: "web", Weights: percents(10, 100), Checks: []string{"errors"}, Watch: []string{"watch"}, Before: []string{"task"},
		Match: []traffic.Match{{Header: "X"}}, Approval: &strategy.Approval{Need: 1}, Back: strategy.Back{Before: []string{"room"}},
	}
	got, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	want, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	c.Weights[0], c.Checks[0], c.Watch[0], c.Before[0], c.Match[0].Header, c.Approval.Need, c.Back.Before[0] = 1, "-", "-", "-", "-", 9, "-"
	got.Lanes[0].Steps[1].Set[0].Split.Match[0].Header = "other"
	if got.Lanes[0].Steps[0].Set[0].Split.Match[0].Header != "X" {
		t.Error("two steps share their matches")
	}
	got.Lanes[0].Steps[1].Set[0].Split.Match[0].Header = "X"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
