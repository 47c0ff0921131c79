// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package yaml_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/strategy/yaml"
	"github.com/rheostat-go/rheostat/traffic"
)

func plans(t *testing.T) []strategy.Plan {
	t.Helper()
	var list []strategy.Plan
	for _, s := range []strategy.Strategy{
		strategy.Canary{Target: "web", Checks: []string{"errors"}, Watch: []string{"latency"}},
		strategy.Canary{
			Target: "no", Weights: strategy.Linear(traffic.Percent(12.5)), Hold: 90 * time.Second, Min: time.Second, Bake: 36 * time.Hour,
			Checks: []string{"1.10", "yes", "0x1f", "12:30", "2030-01-01", "~", "a: b # c"}, Before: []string{"scale"},
			Match: []traffic.Match{{Header: "X-Beta", Value: "on"}, {Cookie: "beta"}}, Sticky: traffic.Sticky{Header: "X-User"},
			Approval: &strategy.Approval{Need: 2, Timeout: time.Hour},
			Back:     strategy.Back{Before: []string{"room"}, Stride: traffic.Percent(0.5), Pace: time.Second, Drain: time.Minute, Bound: time.Hour},
		},
		strategy.BlueGreen{Target: "web", Before: []string{"deploy"}, Approval: &strategy.Approval{}, Release: []string{"contract"}, OneWay: true},
		strategy.Rings{Rings: []strategy.Group{{Name: "team", Targets: []string{"a"}}, {Name: "all", Targets: []string{"b", "c"}}}, OnFail: strategy.ThisLane},
		strategy.Progressive{Waves: []strategy.Group{{Name: "1", Targets: []string{"eu"}}, {Name: "2", Targets: []string{"us", "ap"}}}, MaxParallel: 2},
		strategy.AllAtOnce{Targets: []string{"a", "b"}},
	} {
		p, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	list[0].OnTimeout, list[0].Repairs = strategy.HoldAndPage, 7
	list[0].Lanes[0].Steps[1].Deadline = 17 * time.Minute
	return list
}

func TestPlansGoThroughYAMLUnchanged(t *testing.T) {
	t.Parallel()
	for i, p := range plans(t) {
		text, err := yaml.MarshalPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := yaml.ParsePlan(text)
		if err != nil {
			t.Fatalf("plan %d: %v\n%s", i, err, text)
		}
		want, err := strategy.Freeze(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := strategy.Freeze(got)
		if err != nil || back.Digest() != want.Digest() || !reflect.DeepEqual(back.Plan(), want.Plan()) {
			t.Errorf("plan %d came back as another one (%v):\n%s", i, err, text)
		}
	}
}

func TestStatesGoThroughYAMLUnchanged(t *testing.T) {
	t.Parallel()
	for i, p := range plans(t) {
		w := strategytest.NewWorld()
		w.Verdicts["errors"] = analysis.Safe
		release := strategy.Release{Stable: strategy.Revision{Version: "1.10"}, Candidate: strategy.Revision{Version: "2.0", Digest: "sha256:00"}}
		if err := w.Start(release, p, strategy.Override{}); err != nil {
			t.Fatal(err)
		}
		for turn := range 40 {
			if turn == 25 {
				w.Intent = strategy.Intent{Abort: true, By: "ann", Why: "no: yes # 12:30"}
			}
			d, err := w.Step()
			if err != nil {
				t.Fatal(err)
			}
			if w.Now.Before(d.Wake) {
				w.Now = d.Wake
			}
			s := w.State
			s.Seq += 1 << 63 // above what a float64 holds, and an int64
			if len(s.Checks) > 0 {
				s.Checks[0].Finding.Value, s.Checks[0].Finding.Low = 0.1, 1e-300
				s.Checks[0].Finding.State = `{"a":[1,2.5,"x"],"seed":18446744073709551615}`
			}
			same(t, fmt.Sprintf("plan %d turn %d", i, turn), s)
		}
	}
	same(t, "the zero state of a service", strategy.State{Version: 1})
}

func same(t *testing.T, name string, s strategy.State) {
	t.Helper()
	text, err := yaml.EncodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.DecodeState(text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Fatalf("%s: got\n%s\nwant\n%s", name, after, before)
	}
}

const good = `
# A canary of two steps.
name: canary
lanes:
- name: web
  steps:
  - set: [{target: web, split: {candidate: 5%}}]
    hold: 1m
    checks: [errors]
  - set: [{target: web, split: {candidate: 100%}}]
    hold: 1h30m
    deadline: 2h
back:
  stride: 25%
  pace: 10s
`

func TestPlansAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"bare": good, "marked": "---\n" + good + "...\n# end\n", "with a directive": "%YAML 1.1\n---" + good} {
		p, err := yaml.ParsePlan([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		steps := p.Lanes[0].Steps
		if len(steps) != 2 || steps[0].Set[0].Split.Candidate != traffic.Percent(5) || steps[1].Hold != 90*time.Minute || p.Back.Pace != 10*time.Second {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}

func TestWhatIsWrongIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown field", "deadline:", "deadlin:", "lanes[0].steps[1].deadlin: unknown field; want one of approval, before, checks, commit, deadline,"},
		{"another case", "    hold: 1m", "    Hold: 1m", "lanes[0].steps[0].Hold: unknown field"},
		{"twice", "deadline: 2h", "hold: 2h", `key "hold" already set in map`},
		{"a number for a duration", "hold: 1m", "hold: 60", `lanes[0].steps[0].hold: a number does not fit; want a duration in quotes, such as "90s"`},
		{"an unreadable duration", "hold: 1m", "hold: 1 minute", `lanes[0].steps[0].hold: duration "1 minute": want something like`},
		{"a number for a weight", "candidate: 5%", "candidate: 5", `lanes[0].steps[0].set[0].split.candidate: a number does not fit; want a weight in quotes, such as "25%"`},
		{"a weight above all", "candidate: 5%", "candidate: 500%", "lanes[0].steps[0].set[0].split.candidate: traffic: weight"},
		{"a text for a list", "checks: [errors]", "checks: errors", "lanes[0].steps[0].checks: a string does not fit; want a list"},
		{"an unquoted no", "name: web", "name: no", "lanes[0].name: a bool does not fit; want a text; put it in quotes"},
		{"a version", "checks: [errors]", "checks: [1.10]", "lanes[0].steps[0].checks[0]: a number does not fit; want a text"},
		{"a scope", "name: canary", "onFail: half", `onFail: scope "half": want one of ["everything" "thisLane"]`},
		{"a scope's number", "name: canary", "onFail: 1", "onFail: a number does not fit; want one of its names"},
		{"a flag", "hold: 1m", "commit: 1", "lanes[0].steps[0].commit: a number does not fit; want true or false"},
		{"a part of a person", "hold: 1m", "approval: {need: 1.5}", "lanes[0].steps[0].approval.need: a number 1.5 does not fit; want a whole number"},
		{"an approval's field", "hold: 1m", "approval: {who: ann}", "lanes[0].steps[0].approval.who: unknown field; want one of need, timeout"},
		{"a step that is none", "- set: [{target: web, split: {candidate: 5%}}]", "- 5%\n  -", "lanes[0].steps[0]: a string does not fit; want an object with fields"},
		{"a second document", "back:", "---\nback:", "a second document begins"},
		{"an end in the middle", "back:", "...\nback:", "something follows the end"},
		{"no YAML", "back:", "\tback:", "yaml: "},
	} {
		text := strings.Replace(good, tt.old, tt.new, 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", tt.name)
		}
		_, err := yaml.ParsePlan([]byte(text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "strategy: plan: ") {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, empty := range []string{"", "\n# nothing\n", "---\n", "null", "~"} {
		if _, err := yaml.ParsePlan([]byte(empty)); err == nil {
			t.Errorf("%q was read as a plan", empty)
		}
	}
}

func TestStatesAreReadStrictly(t *testing.T) {
	t.Parallel()
	p := plans(t)[0]
	w := strategytest.NewWorld()
	if err := w.Start(strategy.Release{Stable: strategy.Revision{Version: "v1"}, Candidate: strategy.Revision{Version: "v2"}}, p, strategy.Override{}); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.EncodeState(w.State)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown field", "service: service", "service: service\nservces: x", `"servces"`},
		{"twice", "service: service", "service: service\nservice: x", `"service" already set`},
		{"a changed plan", "hold: 1m0s", "hold: 2m0s", "changed after the run began"},
		{"a newer version", "version: 1\n", "version: 9\n", "9, this release knows"},
		{"a second document", "service: service", "---\nservice: service", "second document"},
	} {
		changed := strings.Replace(string(text), tt.old, tt.new, 1)
		if changed == string(text) {
			t.Fatalf("%s: nothing was changed", tt.name)
		}
		if _, err := yaml.DecodeState([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	newer := strings.Replace(string(text), "\nversion: 1\n", "\nversion: 9\n", 1)
	if _, err := yaml.DecodeState([]byte(newer)); !errors.Is(err, strategy.ErrVersion) {
		t.Errorf("a newer version is %v", err)
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("lanes: [{name: &a x, after: [*a]}]"))
	f.Add([]byte("{\"lanes\": null}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := yaml.ParsePlan(data)
		if err != nil {
			return
		}
		text, err := yaml.MarshalPlan(p)
		if err != nil {
			t.Fatalf("read and not written: %v", err)
		}
		again, err := yaml.ParsePlan(text)
		if err != nil {
			t.Fatalf("written and not read: %v\n%s", err, text)
		}
		a, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(again)
		if err != nil || !bytes.Equal(a, b) {
			t.Fatalf("got\n%s\nwant\n%s", b, a)
		}
	})
}

func ExampleParsePlan() {
	p, err := yaml.ParsePlan([]byte(`
name: canary
lanes:
- name: web
  steps:
  - set: [{target: web, split: {candidate: 5%}}]
    hold: 10m
    checks: [errors]
  - set: [{target: web, split: {candidate: 100%}}]
    hold: 10m
    checks: [errors]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	forecast, err := strategy.Preview(p)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(forecast)
	// Output:
	// canary: 20m0s, at least 0s, at most 1h0m0s
	//
	// web
	//   1  5%    web 5%    hold 10m0s; at once if safe; checks errors; at most 30m0s
	//   2  100%  web 100%  hold 10m0s; at once if safe; checks errors; at most 30m0s
	//
	// the way home: everything at once as far as stable has room, at least 0s, given up after 15m0s
	// when a check or a task fails: it goes home
	// when a step takes too long: the same
}
