// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// sound is a plan of two lanes with nothing wrong, to be spoilt.
func sound() strategy.Plan {
	dial := func(target string, percent float64) []strategy.Dial {
		return []strategy.Dial{{Target: target, Split: traffic.Split{Candidate: traffic.Percent(percent)}}}
	}
	return strategy.Plan{Lanes: []strategy.Lane{
		{Name: "eu", Steps: []strategy.Step{
			{Name: "some", Set: dial("a", 10), Hold: time.Minute, Checks: []string{"errors"}},
			{Name: "all", Set: dial("a", 100), Hold: time.Minute},
		}},
		{Name: "us", After: []string{"eu"}, Steps: []strategy.Step{{Name: "all", Set: dial("b", 100)}}},
	}}
}

func TestEveryRuleNamesLaneStepFieldAndFix(t *testing.T) {
	t.Parallel()
	step := func(p *strategy.Plan) *strategy.Step { return &p.Lanes[0].Steps[0] }
	tests := []struct {
		name              string
		spoil             func(p *strategy.Plan)
		lane, step, field string
		why               string
	}{
		{"no lanes", func(p *strategy.Plan) { p.Lanes = nil }, "", "", "lanes", "none"},
		{"too many lanes", func(p *strategy.Plan) {
			for i := range 1000 {
				p.Lanes = append(p.Lanes, strategy.Lane{Name: fmt.Sprint(i), Steps: []strategy.Step{{Name: "one"}}})
			}
		}, "", "", "lanes", "1002 is more than 1000"},
		{"unknown scope", func(p *strategy.Plan) { p.OnFail = 7 }, "", "", "onFail", "unknown"},
		{"unknown timeout", func(p *strategy.Plan) { p.OnTimeout = 7 }, "", "", "onTimeout", "unknown"},
		{"negative parallelism", func(p *strategy.Plan) { p.MaxParallel = -1 }, "", "", "maxParallel", "negative"},
		{"negative repairs", func(p *strategy.Plan) { p.Repairs = -1 }, "", "", "repairs", "negative"},
		{"empty watch", func(p *strategy.Plan) { p.Watch = []string{""} }, "", "", "watch", "empty name"},
		{"watch twice", func(p *strategy.Plan) { p.Watch = []string{"x", "x"} }, "", "", "watch", `"x" twice`},
		{"task home twice", func(p *strategy.Plan) { p.Back.Before = []string{"x", "x"} }, "", "", "back.before", `"x" twice`},
		{"stride too long", func(p *strategy.Plan) { p.Back.Stride = traffic.Full + 1 }, "", "", "back.stride", "0% and 100%"},
		{"pace without stride", func(p *strategy.Plan) { p.Back.Pace = time.Second }, "", "", "back.pace", "no stride"},
		{"negative pace", func(p *strategy.Plan) { p.Back.Pace = -1 }, "", "", "back.pace", "negative"},
		{"negative drain", func(p *strategy.Plan) { p.Back.Drain = -1 }, "", "", "back.drain", "negative"},
		{"negative bound", func(p *strategy.Plan) { p.Back.Bound = -1 }, "", "", "back.bound", "negative"},
		{"nameless lane", func(p *strategy.Plan) { p.Lanes[0].Name = ""; p.Lanes[1].After = nil }, "", "", "lanes[0].name", "empty"},
		{"lane name twice", func(p *strategy.Plan) { p.Lanes[1].Name, p.Lanes[1].After = "eu", nil }, "eu", "", "name", "twice"},
		{"lane without steps", func(p *strategy.Plan) { p.Lanes[1].Steps = nil }, "us", "", "steps", "there are 0"},
		{"too many steps", func(p *strategy.Plan) { p.Lanes[1].Steps = make([]strategy.Step, 201) }, "us", "", "steps", "there are 201"},
		{"after an unknown lane", func(p *strategy.Plan) { p.Lanes[1].After = []string{"ap"} }, "us", "", "after", `"ap", which is no lane`},
		{"after twice", func(p *strategy.Plan) { p.Lanes[1].After = []string{"eu", "eu"} }, "us", "", "after", `"eu" twice`},
		{"after itself", func(p *strategy.Plan) { p.Lanes[1].After = []string{"us"} }, "us", "", "after", "waits for itself"},
		{"a circle", func(p *strategy.Plan) { p.Lanes[0].After = []string{"us"} }, "eu", "", "after", "waits for itself"},
		{"step name twice", func(p *strategy.Plan) { p.Lanes[0].Steps[1].Name = "some" }, "eu", "some", "name", "twice"},
		{"task twice", func(p *strategy.Plan) { step(p).Before = []string{"x", "x"} }, "eu", "some", "before", `"x" twice`},
		{"check twice", func(p *strategy.Plan) { step(p).Checks = []string{"x", "x"} }, "eu", "some", "checks", `"x" twice`},
		{"negative hold", func(p *strategy.Plan) { step(p).Hold = -1 }, "eu", "some", "hold", "negative"},
		{"negative min", func(p *strategy.Plan) { step(p).Min = -1 }, "eu", "some", "min", "negative"},
		{"negative deadline", func(p *strategy.Plan) { step(p).Deadline = -1 }, "eu", "some", "deadline", "negative"},
		{"min above hold", func(p *strategy.Plan) { step(p).Min = time.Hour }, "eu", "some", "min", "longer than hold"},
		{"deadline at hold", func(p *strategy.Plan) { step(p).Deadline = time.Minute }, "eu", "some", "deadline", "only time out"},
		{"negative approval timeout", func(p *strategy.Plan) { step(p).Approval = &strategy.Approval{Timeout: -1} }, "eu", "some", "approval.timeout", "negative"},
		{"negative need", func(p *strategy.Plan) { step(p).Approval = &strategy.Approval{Need: -1} }, "eu", "some", "approval.need", "negative"},
		{"commit among lanes", func(p *strategy.Plan) { p.Lanes[0].Steps[1].Commit = true }, "eu", "all", "commit", "cannot return"},
		{"no target", func(p *strategy.Plan) { step(p).Set[0].Target = "" }, "eu", "some", "set[0].target", "empty"},
		{"target twice", func(p *strategy.Plan) { step(p).Set = append(step(p).Set, step(p).Set[0]) }, "eu", "some", "set[1].target", "twice"},
		{"weight above all", func(p *strategy.Plan) { step(p).Set[0].Split.Candidate = traffic.Full + 1 }, "eu", "some", "set[0].split", "candidate"},
		{"mirror above all", func(p *strategy.Plan) { step(p).Set[0].Split.Mirror = traffic.Full + 1 }, "eu", "some", "set[0].split", "mirror"},
		{"match of nothing", func(p *strategy.Plan) { step(p).Set[0].Split.Match = []traffic.Match{{}} }, "eu", "some", "set[0].split", "match[0]"},
		{"sticky by two", func(p *strategy.Plan) { step(p).Set[0].Split.Sticky = traffic.Sticky{Cookie: "a", Header: "b"} }, "eu", "some", "set[0].split", "sticky"},
		{"weight that falls", func(p *strategy.Plan) { p.Lanes[0].Steps[1].Set[0].Split.Candidate = 1 }, "eu", "all", "set[0].split.candidate", "falls from 10%"},
		{"target of two lanes", func(p *strategy.Plan) { p.Lanes[1].Steps[0].Set[0].Target = "a" }, "us", "all", "set", `belongs to lane "eu"`},
	}
	if err := sound().Validate(); err != nil {
		t.Fatalf("the sound plan: %v", err)
	}
	for _, tt := range tests {
		p := sound()
		tt.spoil(&p)
		err := p.Validate()
		var problems *strategy.PlanError
		if !errors.As(err, &problems) || !errors.Is(err, strategy.ErrInvalidPlan) {
			t.Errorf("%s: got %v", tt.name, err)
			continue
		}
		found := false
		for _, got := range problems.Problems {
			found = found || got.Lane == tt.lane && got.Step == tt.step && got.Field == tt.field && strings.Contains(got.Why, tt.why)
			if got.Fix == "" {
				t.Errorf("%s: no fix is named for %v", tt.name, got)
			}
		}
		if !found {
			t.Errorf("%s: got %v, want lane %q step %q field %q: %s", tt.name, problems.Problems, tt.lane, tt.step, tt.field, tt.why)
		}
		// Whoever freezes or accepts hears the same.
		if _, frozen := strategy.Freeze(p); frozen == nil || frozen.Error() != err.Error() {
			t.Errorf("%s: Freeze says %v", tt.name, frozen)
		}
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	p := sound()
	p.Repairs = -1
	p.Lanes[0].Steps[0].Hold = -time.Second
	p.Lanes[1].Steps[0].Set[0].Target = ""
	err := p.Validate()
	want := `strategy: invalid plan: 3 problems:
  repairs: is negative; use 0 for the default of three
  lane "eu": step "some": hold: is negative; use 0 for the default
  lane "us": step "all": set[0].target: is empty; name the target`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAWeightMayFallPastACommit(t *testing.T) {
	t.Parallel()
	p := sound()
	p.Lanes = p.Lanes[:1]
	p.Lanes[0].Steps = append(p.Lanes[0].Steps, strategy.Step{Name: "home", Set: []strategy.Dial{{Target: "a"}}, Commit: true})
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

// TestValidateChangesNothing: defaults are filled into a copy.
func TestValidateChangesNothing(t *testing.T) {
	t.Parallel()
	p, want := sound(), sound()
	_ = p.Validate()
	f, err := strategy.Freeze(p)
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("it was changed: %+v (%v)", p, err)
	}
	f.Plan().Lanes[0].Steps[0].Checks[0] = "changed"
	if got := f.Plan().Lanes[0].Steps[0].Checks[0]; got != "errors" {
		t.Errorf("what Plan returned shares with the frozen plan: %s", got)
	}
}

// TestALargePlanIsValidatedInTime would take minutes if each lane asked every other one.
func TestALargePlanIsValidatedInTime(t *testing.T) {
	t.Parallel()
	waves := make([]strategy.Group, 2)
	for i := range 1000 {
		w := &waves[i%2]
		w.Name, w.Targets = fmt.Sprint(i%2), append(w.Targets, fmt.Sprintf("region%d", i))
	}
	p, err := strategy.Progressive{Waves: waves, MaxParallel: 100}.Plan()
	if err != nil || len(p.Lanes) != 1000 {
		t.Fatal(len(p.Lanes), err)
	}
	p.Lanes[0].After = []string{p.Lanes[999].Name}
	if err := p.Validate(); !errors.Is(err, strategy.ErrInvalidPlan) {
		t.Errorf("a circle among 1000 lanes: %v", err)
	}
}
