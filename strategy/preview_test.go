// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// allChecks are the names of every check of a plan.
func allChecks(p strategy.Plan) []string {
	names := slices.Clone(p.Watch)
	for _, lane := range p.Lanes {
		for _, step := range lane.Steps {
			names = append(names, step.Checks...)
		}
	}
	return names
}

// approveAll grants every step before anybody asks.
func approveAll(w *strategytest.World) {
	for _, lane := range w.State.Plan.Plan().Lanes {
		for _, step := range lane.Steps {
			for _, by := range []string{"ann", "bob"} {
				w.Intent.Approvals = append(w.Intent.Approvals, strategy.Grant{
					StepRef: strategy.StepRef{Lane: lane.Name, Step: step.Name}, Digest: w.State.Plan.Digest(), By: by,
				})
			}
		}
	}
}

func playAll(t *testing.T, p strategy.Plan, verdict analysis.Verdict) *strategytest.Story {
	t.Helper()
	faults := []strategytest.Fault{strategytest.After(0, approveAll)}
	for _, name := range allChecks(p) {
		faults = append(faults, strategytest.After(0, strategytest.Says(name, verdict)))
	}
	story, err := strategytest.Play(p, faults...)
	if err != nil {
		t.Fatal(err)
	}
	if story.Final.Phase != strategy.Promoted {
		t.Fatalf("it ended %v:\n%v", story.Final.Phase, story)
	}
	return story
}

func TestAPreviewTellsHowLongTheMachineTakes(t *testing.T) {
	t.Parallel()
	all := plans()
	for seed := range uint64(150) {
		all = append(all, randomPlan(rand.New(rand.NewPCG(seed, 3))))
	}
	for i, p := range all {
		f, err := strategy.Preview(p)
		if err != nil {
			t.Fatalf("plan %d: %v", i, err)
		}
		usual := playAll(t, p, analysis.Pass)
		if usual.Lasted != f.Takes.Usual {
			t.Errorf("plan %d: with every check passing it lasted %v, and the forecast was %v\n%v\n%v", i, usual.Lasted, f.Takes.Usual, f, usual)
		}
		shortest := playAll(t, p, analysis.Safe)
		if shortest.Lasted != f.Takes.Shortest {
			t.Errorf("plan %d: with every check safe it lasted %v, and the forecast was %v\n%v\n%v", i, shortest.Lasted, f.Takes.Shortest, f, shortest)
		}
		for _, tr := range usual.Transitions {
			for _, lane := range f.Lanes {
				if at := tr.At.Sub(usual.Final.Began); tr.Kind == strategy.LaneDone && tr.Lane == lane.Lane && at != lane.Ends.Usual {
					t.Errorf("plan %d: lane %q was done after %v, and the forecast was %v", i, lane.Lane, at, lane.Ends.Usual)
				}
			}
		}
	}
}

// randomPlan has up to eight lanes that wait for each other, of steps of whole minutes.
func randomPlan(r *rand.Rand) strategy.Plan {
	p := strategy.Plan{MaxParallel: r.IntN(4)}
	for i := range 1 + r.IntN(8) {
		lane := strategy.Lane{Name: fmt.Sprintf("lane%d", i)}
		for range 1 + r.IntN(3) {
			hold := time.Duration(r.IntN(4)) * time.Minute
			s := strategy.Step{Hold: hold, Min: hold / time.Duration(1+r.IntN(3))}
			if r.IntN(2) == 0 {
				s.Checks = []string{"errors"}
			}
			if len(lane.Steps) == 0 {
				s.Set = []strategy.Dial{{Target: lane.Name, Split: traffic.Split{Candidate: traffic.Full}}}
			}
			lane.Steps = append(lane.Steps, s)
		}
		p.Lanes = append(p.Lanes, lane)
	}
	// Whoever stands later in a hidden order may wait for those before, so that
	// a lane may wait for one that stands below it in the plan.
	order := r.Perm(len(p.Lanes))
	for k, i := range order {
		for _, before := range order[:k] {
			if r.IntN(4) == 0 {
				p.Lanes[i].After = append(p.Lanes[i].After, p.Lanes[before].Name)
			}
		}
	}
	return p
}

// TestTheLongestIsReachedAndNotExceeded answers every check a second before the
// step's deadline, and every approval a little before its timeout: what was not
// saved yet, up to half of Attention, counts as waiting once nothing else is missing.
func TestTheLongestIsReachedAndNotExceeded(t *testing.T) {
	t.Parallel()
	dial := func(target string, percent float64) []strategy.Dial {
		return []strategy.Dial{{Target: target, Split: traffic.Split{Candidate: traffic.Percent(percent)}}}
	}
	approval := &strategy.Approval{Timeout: 20 * time.Minute}
	p := strategy.Plan{MaxParallel: 2, Lanes: []strategy.Lane{
		{Name: "a", Steps: []strategy.Step{
			{Name: "one", Set: dial("a", 10), Hold: time.Minute, Deadline: 5 * time.Minute, Checks: []string{"a/one"}},
			{Name: "two", Set: dial("a", 100), Hold: time.Minute, Checks: []string{"a/two"}, Approval: approval},
		}},
		{Name: "b", After: []string{"c"}, Steps: []strategy.Step{{Name: "one", Set: dial("b", 100), Hold: 2 * time.Minute, Checks: []string{"b/one"}}}},
		{Name: "c", Steps: []strategy.Step{{Name: "one", Set: dial("c", 100), Hold: time.Minute, Deadline: 3 * time.Minute, Checks: []string{"c/one"}, Approval: approval}}},
	}}
	f, err := strategy.Preview(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := 5*time.Minute + 12*time.Minute + 20*time.Minute; f.Takes.Longest != want {
		t.Errorf("the longest is %v, want lane a's %v", f.Takes.Longest, want)
	}
	w := strategytest.NewWorld()
	for _, name := range allChecks(p) {
		w.Verdicts[name] = analysis.Pending
	}
	if err := w.Start(strategy.Release{Stable: strategy.Revision{Version: "v1"}, Candidate: strategy.Revision{Version: "v2"}}, p, strategy.Override{}); err != nil {
		t.Fatal(err)
	}
	for w.State.Active() {
		for i, lane := range w.State.Plan.Plan().Lanes {
			at := w.State.Lanes[i]
			step := lane.Steps[at.Step]
			if at.Status != strategy.Moving || at.Stage != strategy.Holding {
				continue
			}
			late := at.Settled.Add(step.Deadline - time.Second)
			if !w.Now.Before(late) {
				w.Verdicts[lane.Name+"/"+step.Name] = analysis.Pass
			}
			if step.Approval != nil && !w.Now.Before(late.Add(step.Approval.Timeout-strategy.Attention/2-time.Second)) {
				w.Intent.Approvals = append(w.Intent.Approvals, strategy.Grant{StepRef: strategy.StepRef{Lane: lane.Name, Step: step.Name}, Digest: w.State.Plan.Digest(), By: "ann"})
			}
		}
		d, err := w.Step()
		if err != nil {
			t.Fatal(err)
		}
		if d.Transition.Kind == 0 {
			w.Now = w.Now.Add(time.Second)
		}
	}
	took := w.State.Ended.Sub(w.State.Began)
	if w.State.Phase != strategy.Promoted || took > f.Takes.Longest || took < f.Takes.Longest-strategy.Attention {
		t.Errorf("it ended %v after %v (%s), and the longest is %v", w.State.Phase, took, w.State.Reason, f.Takes.Longest)
	}
}

func TestAPreviewTellsTheWayBack(t *testing.T) {
	t.Parallel()
	for _, back := range []strategy.Back{
		{},
		{Stride: traffic.Percent(40), Pace: 10 * time.Second},
		{Stride: traffic.Percent(50), Pace: time.Minute, Drain: 3 * time.Minute},
		{Stride: traffic.Percent(7), Pace: time.Second, Before: []string{"room"}},
		{Stride: traffic.Full},
	} {
		for _, before := range [][]string{nil, {"scale"}} {
			p, err := strategy.Canary{Target: "web", Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, Checks: []string{"errors"}, Before: before, Back: back}.Plan()
			if err != nil {
				t.Fatal(err)
			}
			f, err := strategy.Preview(p)
			if err != nil {
				t.Fatal(err)
			}
			story, err := strategytest.Play(p, strategytest.At("web", "100%", strategytest.Fails("errors")))
			if err != nil || story.Final.Phase != strategy.RolledBack {
				t.Fatalf("%v %v", story, err)
			}
			var began time.Time
			writes := 0
			for _, tr := range story.Transitions {
				switch tr.Kind {
				case strategy.ReturnBegan:
					began = tr.At
					writes++
				case strategy.WeightLowered:
					writes++
				}
			}
			if took := story.Final.Ended.Sub(began); took != f.Back.AtLeast || writes != f.Back.Strides {
				t.Errorf("%+v: the return took %v in %d strides, and the forecast was %v in %d", back, took, writes, f.Back.AtLeast, f.Back.Strides)
			}
		}
	}
}

func TestAPreviewCautionsAgainstAReturnThatCannotArrive(t *testing.T) {
	t.Parallel()
	p, err := strategy.Canary{
		Target: "web", Weights: []traffic.Weight{traffic.Percent(50)}, Back: strategy.Back{Stride: traffic.Percent(1), Pace: time.Minute, Bound: 20 * time.Minute},
	}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	f, err := strategy.Preview(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Cautions) != 3 {
		t.Errorf("want cautions about the bound, the missing checks and the 50%%:\n%q", f.Cautions)
	}
	// The caution is right: the machine gives that return up.
	story, err := strategytest.Play(p, strategytest.At("web", "50%", strategytest.Asks(func(i *strategy.Intent) { i.Abort = true })))
	if err != nil || story.Final.Phase != strategy.RollbackFailed {
		t.Errorf("the return of the plan cautioned against ended %v, %v", story.Final.Phase, err)
	}
}

func TestAPreviewOfAnInvalidPlanIsItsError(t *testing.T) {
	t.Parallel()
	if _, err := strategy.Preview(strategy.Plan{}); !errors.Is(err, strategy.ErrInvalidPlan) {
		t.Errorf("got %v", err)
	}
	if got := (strategy.Forecast{}).String(); got != "plan: nothing\n" {
		t.Errorf("the zero forecast reads %q", got)
	}
}

// golden compares text with a file of testdata, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if script.Update() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\nrun with -update and read the difference", path, got, want)
	}
}

func TestPreviewsReadWell(t *testing.T) {
	t.Parallel()
	for name, s := range showcase() {
		p, err := s.Plan()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := strategy.Preview(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, "preview/"+name+".txt", f.String())
	}
}

// planned is a plan as a Strategy.
type planned strategy.Plan

func (p planned) Plan() (strategy.Plan, error) { return strategy.Plan(p), nil }

// showcase has a strategy of every kind, with everything that it can have.
func showcase() map[string]strategy.Strategy {
	return map[string]strategy.Strategy{
		"canary": strategy.Canary{Target: "web", Checks: []string{"errors", "latency"}, Watch: []string{"saturation"}},
		"canary_full": strategy.Canary{
			Target: "web", Weights: strategy.Linear(traffic.Percent(25)), Hold: 10 * time.Minute, Min: 2 * time.Minute, Bake: time.Hour,
			Checks: []string{"errors"}, Before: []string{"scale-up"}, Match: []traffic.Match{{Cookie: "beta"}}, Sticky: traffic.Sticky{Cookie: "uid"},
			Approval: &strategy.Approval{Need: 2, Timeout: time.Hour},
			Back:     strategy.Back{Before: []string{"scale-stable"}, Stride: traffic.Percent(20), Pace: 30 * time.Second},
		},
		"bluegreen": strategy.BlueGreen{
			Target: "web", Before: []string{"deploy", "expand-schema"}, PreviewHold: 5 * time.Minute, PreviewChecks: []string{"smoke"},
			Approval: &strategy.Approval{}, Checks: []string{"errors"}, Release: []string{"contract-schema"}, OneWay: true,
		},
		"rings": strategy.Rings{
			Rings: []strategy.Group{{Name: "team", Targets: []string{"dev"}}, {Name: "company", Targets: []string{"office", "vpn"}}, {Name: "everybody", Targets: []string{"web"}}},
			Bake:  time.Hour, Checks: []string{"errors"}, OnFail: strategy.ThisLane,
		},
		"progressive": strategy.Progressive{
			Waves:       []strategy.Group{{Name: "first", Targets: []string{"eu"}}, {Name: "rest", Targets: []string{"us", "ap", "sa"}}},
			MaxParallel: 2, Weights: []traffic.Weight{traffic.Percent(10), traffic.Full}, Hold: 10 * time.Minute, Min: time.Minute, Checks: []string{"errors"},
		},
		"all_at_once": strategy.AllAtOnce{Targets: []string{"api", "web"}},
		"by_hand": planned{Name: "promotion", OnTimeout: strategy.HoldAndPage, Watch: []string{"errors"}, Lanes: []strategy.Lane{{Name: "web", Steps: []strategy.Step{
			{Name: "mirror", Set: []strategy.Dial{{Target: "web", Split: traffic.Split{Mirror: traffic.Percent(5)}}}, Hold: time.Minute},
			{Name: "all", Set: []strategy.Dial{{Target: "web", Split: traffic.Split{Candidate: traffic.Full}}}, Hold: time.Minute},
			{Name: "take over", Before: []string{"copy-template"}, Set: []strategy.Dial{{Target: "web"}}, Commit: true},
		}}}},
	}
}
