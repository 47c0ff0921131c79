// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// The files in testdata/state/v1 and testdata/digests are what releases have
// written and runs under way still carry. Never edit or delete one: whoever
// upgrades in the middle of a rollout has a file like it. -update writes files
// that are missing, and leaves those that are there as they are.

// keep compares data with a file of testdata that is written once and for ever.
func keep(t *testing.T, file string, data []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && script.Update() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("%s: got\n%s\nwant\n%s\nruns under way depend on it: change the code, not the file", path, data, want)
	}
}

// lookedAt is an observation and what was decided on it, as plain data.
type lookedAt struct {
	Story    string                  `json:"story"`
	Now      time.Time               `json:"now"`
	Watched  time.Time               `json:"watched"`
	Seen     map[string]traffic.Seen `json:"seen,omitempty"`
	Findings map[string]finding      `json:"findings,omitempty"`
	Tasks    []taskStatus            `json:"tasks,omitempty"`
	Intent   *strategy.Intent        `json:"intent"`
	Blocks   []strategy.Block        `json:"blocks,omitempty"`
	Decided  strategy.TransitionKind `json:"decided"`
	Made     strategy.Transition     `json:"made"`
	Rev      uint64                  `json:"rev"`
	Phase    strategy.Phase          `json:"phase"`
	Effects  []effect                `json:"effects,omitempty"`
	Wake     time.Time               `json:"wake,omitzero"`
}

type finding struct {
	Check   strategy.CheckID `json:"check"`
	Finding analysis.Finding `json:"finding"`
}

type taskStatus struct {
	Task   strategy.TaskID     `json:"task"`
	Status strategy.TaskStatus `json:"status"`
}

// effect has one of its fields.
type effect struct {
	Set  *strategy.SetRoute `json:"set,omitempty"`
	Do   *strategy.Ref      `json:"do,omitempty"`
	Undo *strategy.Ref      `json:"undo,omitempty"`
}

func (l lookedAt) observation() strategy.Observation {
	o := strategy.Observation{
		Watched: l.Watched, Seen: l.Seen, Intent: l.Intent, Blocks: l.Blocks,
		Findings: map[strategy.CheckID]analysis.Finding{}, Tasks: map[strategy.TaskID]strategy.TaskStatus{},
	}
	for _, f := range l.Findings {
		o.Findings[f.Check] = f.Finding
	}
	for _, task := range l.Tasks {
		o.Tasks[task.Task] = task.Status
	}
	return o
}

// decide fills in what the machine decides.
func (l *lookedAt) decide(t *testing.T, s strategy.State) {
	t.Helper()
	d, err := strategy.Machine{}.Step(l.Now, s, l.observation())
	if err != nil {
		t.Fatal(err)
	}
	l.Decided, l.Made, l.Rev, l.Phase, l.Wake, l.Effects = d.Transition.Kind, d.Transition, d.State.Rev, d.State.Phase, d.Wake, nil
	for _, e := range d.Effects {
		switch e := e.(type) {
		case *strategy.SetRoute:
			l.Effects = append(l.Effects, effect{Set: e})
		case *strategy.DoTask:
			l.Effects = append(l.Effects, effect{Do: &e.Ref})
		case *strategy.UndoTask:
			l.Effects = append(l.Effects, effect{Undo: &e.Ref})
		}
	}
}

// moment is one state worth keeping: how to get there, and what happens then.
type moment struct {
	name, story string
	plan        string // of the showcase
	// setup changes the world before the start, until says where to stop, then
	// changes the world before the turn that is recorded.
	setup func(w *strategytest.World)
	until func(s strategy.State) bool
	then  func(w *strategytest.World)
	after time.Duration
}

func moments() []moment {
	stage := func(stage strategy.Stage, step int) func(strategy.State) bool {
		return func(s strategy.State) bool {
			return s.Lanes[0].Step == step && s.Lanes[0].Stage == stage && (s.Lanes[0].Status == strategy.Moving || s.Lanes[0].Status == strategy.Returning)
		}
	}
	// answered is when every check of a moving lane has been, too.
	answered := func(also func(strategy.State) bool) func(strategy.State) bool {
		return func(s strategy.State) bool {
			open := slices.ContainsFunc(s.Checks, func(c strategy.CheckState) bool {
				i := slices.IndexFunc(s.Plan.Plan().Lanes, func(l strategy.Lane) bool { return l.Name == c.Lane })
				return s.Lanes[i].Status == strategy.Moving && c.Finding.Verdict == analysis.Pending
			})
			return !open && also(s)
		}
	}
	home := func(stage strategy.Stage) func(strategy.State) bool {
		return func(s strategy.State) bool {
			return s.Lanes[0].Status == strategy.Returning && s.Lanes[0].Stage == stage
		}
	}
	ended := func(phase strategy.Phase) func(strategy.State) bool {
		return func(s strategy.State) bool { return s.Phase == phase }
	}
	running := func(w *strategytest.World) { w.Tasks["scale-up"] = strategy.TaskRunning }
	fails := func(w *strategytest.World) { w.Verdicts["errors"] = analysis.Fail }
	queue := func(w *strategytest.World) {
		p, err := showcase()["bluegreen"].Plan()
		if err != nil {
			panic(err)
		}
		release := strategy.Release{Stable: w.State.Release.Stable, Candidate: strategy.Revision{Version: "v3", Digest: "sha256:03", Backend: "green"}}
		if err := w.Start(release, p, strategy.Override{By: "ann", Why: "hotfix"}); err != nil {
			panic(err)
		}
	}
	return []moment{
		{name: "preparing", story: "a task before the first step runs", plan: "canary_full", setup: running, until: stage(strategy.Preparing, 0)},
		{name: "preparing_done", story: "that task is done, with matches and stickiness to come", plan: "canary_full", setup: running, until: stage(strategy.Preparing, 0), then: func(w *strategytest.World) { delete(w.Tasks, "scale-up") }},
		{name: "arming", story: "the router has not answered to the arms yet", plan: "canary", setup: func(w *strategytest.World) { w.Target("web").Broken = true }, until: stage(strategy.Arming, 0), then: func(w *strategytest.World) { w.Target("web").Broken = false }, after: time.Second},
		{name: "shifting", story: "a mirror was asked for and is not seen yet", plan: "by_hand", setup: func(w *strategytest.World) { w.Verdicts["errors"] = analysis.Pending }, until: stage(strategy.Shifting, 0)},
		{name: "holding", story: "the hold of the first step is over", plan: "canary", until: answered(stage(strategy.Holding, 0)), after: time.Minute},
		{name: "holding_judge", story: "a judge that remembers fails", plan: "canary", until: answered(stage(strategy.Holding, 2)), then: fails, after: 10 * time.Second},
		{name: "approval", story: "the second person approves", plan: "canary_full", until: func(s strategy.State) bool {
			return s.Lanes[0].Stage == strategy.Holding && s.Lanes[0].Waited > time.Minute
		}, then: approveAll},
		{name: "paused", story: "the operator's hold ends", plan: "canary", setup: func(w *strategytest.World) { w.Intent = strategy.Intent{Hold: true, By: "ann", Why: "lunch"} }, until: func(s strategy.State) bool { return s.Paused }, then: func(w *strategytest.World) { w.Intent = strategy.Intent{} }, after: time.Hour},
		{name: "blocked", story: "a freeze window keeps the step from ending", plan: "canary", until: answered(stage(strategy.Holding, 0)), then: func(w *strategytest.World) {
			w.Blocks = []strategy.Block{{Why: "freeze", Until: w.Now.Add(time.Hour)}}
		}, after: 90 * time.Second},
		{name: "drift", story: "somebody else turns the dial", plan: "canary", until: stage(strategy.Holding, 3), then: func(w *strategytest.World) {
			w.Foreign("web", "kubectl", func(r *traffic.Route) { r.Split.Candidate = 1 })
		}, after: time.Second},
		{name: "paged", story: "past a one-way step a failure called for a person, who aborts", plan: "bluegreen", setup: func(w *strategytest.World) {
			approveAll(w)
			w.Tasks["contract-schema"] = strategy.TaskFailed
		}, until: func(s strategy.State) bool { return s.Hold.ID != 0 }, then: func(w *strategytest.World) { w.Intent.Abort, w.Intent.By = true, "bob" }, after: time.Minute},
		{name: "committed", story: "past the commit the last dial is turned back and nothing returns", plan: "by_hand", until: func(s strategy.State) bool { return s.Committed }, then: fails},
		{name: "lanes", story: "the first ring is done and the second begins", plan: "rings", until: func(s strategy.State) bool { return s.Lanes[0].Status == strategy.Done }},
		{name: "one_lane_fails", story: "the second ring fails alone", plan: "rings", until: func(s strategy.State) bool { return s.Lanes[1].Stage == strategy.Holding }, then: fails, after: time.Minute},
		{name: "parallel", story: "two regions move side by side", plan: "progressive", until: answered(func(s strategy.State) bool {
			return s.Lanes[1].Stage == strategy.Holding && s.Lanes[2].Stage == strategy.Holding
		}), after: 10 * time.Minute},
		{name: "returning", story: "a return in strides waits for its pace", plan: "canary_full", setup: approveAll, until: func(s strategy.State) bool { return s.Lanes[0].Step == 3 && s.Lanes[0].Stage == strategy.Holding }, then: returnFrom, after: time.Minute},
		{name: "no_room_home", story: "stable has no room for more than half", plan: "canary_full", setup: func(w *strategytest.World) { approveAll(w); failLater(w) }, until: home(strategy.Shifting), then: func(w *strategytest.World) {
			w.Target("web").Seen.Room = traffic.Room{Known: true, Stable: traffic.Percent(60), Candidate: traffic.Full}
		}, after: time.Minute},
		{name: "draining", story: "requests that are under way finish", plan: "canary_full", setup: func(w *strategytest.World) { approveAll(w); failLater(w) }, until: home(strategy.Draining), after: 30 * time.Second},
		{name: "undoing", story: "a task is being taken back", plan: "canary_full", setup: func(w *strategytest.World) { approveAll(w); failLater(w) }, until: home(strategy.Undoing)},
		{name: "queued", story: "a third revision waits for the second to go home", plan: "canary", until: stage(strategy.Holding, 1), then: queue},
		{name: "queued_ended", story: "the second is home and the third begins", plan: "canary", setup: func(w *strategytest.World) { w.Intent.By = "queue" }, until: ended(strategy.RolledBack)},
		{name: "promoted", story: "nothing is left to do", plan: "all_at_once", until: ended(strategy.Promoted), after: time.Hour},
		{name: "rolled_back", story: "home, with a revision in quarantine", plan: "canary", setup: fails, until: ended(strategy.RolledBack), after: time.Hour},
		{name: "rollback_failed", story: "somebody mended the room and resumes", plan: "canary", setup: failLater, until: ended(strategy.RollbackFailed), then: func(w *strategytest.World) {
			w.Target("web").Blind = false
			w.Intent = strategy.Intent{Resume: w.State.Hold.ID, By: "ann"}
		}, after: time.Hour},
		{name: "partial", story: "a person sends home what was promoted", plan: "rings", setup: func(w *strategytest.World) { w.Intent.By = "partial" }, until: ended(strategy.Partial), then: func(w *strategytest.World) { w.Intent = strategy.Intent{Abort: true, By: "ann", Why: "all or nothing"} }, after: time.Hour},
		{name: "intent", story: "orders that were given through a Runner are in the state", plan: "canary_full", until: answered(stage(strategy.Holding, 0)), then: func(w *strategytest.World) {
			w.State.Intent = strategy.Intent{
				Run: w.State.Run, By: "ann", Why: "it is fine", Waive: []strategy.StepRef{{Lane: "web", Step: "25%"}},
				Approvals: []strategy.Grant{{StepRef: strategy.StepRef{Lane: "web", Step: "25%"}, Digest: w.State.Plan.Digest(), By: "ann"}},
			}
			w.Intent = w.State.Intent
		}, after: time.Minute},
	}
}

// failLater lets the world turn bad at the moment that the name of the moment tells.
func failLater(w *strategytest.World) { w.Intent.Why = "fail later" }

func returnFrom(w *strategytest.World) {
	w.Verdicts["errors"] = analysis.Fail
	if _, err := w.Step(); err != nil {
		panic(err)
	}
}

// reach brings a world to the moment.
func (m moment) reach(t *testing.T) *strategytest.World {
	t.Helper()
	p, err := showcase()[m.plan].Plan()
	if err != nil {
		t.Fatal(err)
	}
	w := strategytest.NewWorld()
	release := strategy.Release{
		Stable:    strategy.Revision{Version: "v1", Digest: "sha256:01", Backend: "blue"},
		Candidate: strategy.Revision{Version: "v2", Digest: "sha256:02", Backend: "green"},
	}
	if err := w.Start(release, p, strategy.Override{}); err != nil {
		t.Fatal(err)
	}
	if m.setup != nil {
		m.setup(w)
	}
	for range 500 {
		if m.until(w.State) {
			if m.then != nil {
				m.then(w)
			}
			w.Now = w.Now.Add(m.after)
			return w
		}
		d, err := w.Step()
		if err != nil {
			t.Fatal(err)
		}
		m.meddle(w, d)
		if d.Wake.After(w.Now) {
			w.Now = d.Wake
		}
	}
	t.Fatalf("%s: the moment does not come; it is %v: %s", m.name, w.State.Phase, w.Machine.Explain(w.Now, w.State, w.Observe()).Summary)
	return nil
}

// meddle makes happen on the way what the moment needs.
func (m moment) meddle(w *strategytest.World, d strategy.Decision) {
	lanes := w.State.Lanes
	switch {
	case w.Intent.Why == "fail later" && lanes[0].Stage == strategy.Holding && lanes[0].Step == 3:
		w.Verdicts["errors"] = analysis.Fail
	case m.name == "rollback_failed" && d.Transition.Kind == strategy.ReturnBegan:
		w.Target("web").Blind = true
	case m.name == "partial" && lanes[1].Stage == strategy.Holding:
		w.Verdicts["errors"] = analysis.Fail
	case m.name == "queued_ended" && lanes[0].Stage == strategy.Holding && w.State.Next.Plan.IsZero() && w.State.Phase == strategy.Progressing:
		moments()[slices.IndexFunc(moments(), func(o moment) bool { return o.name == "queued" })].then(w)
	}
}

func TestStatesOfVersion1AreCarriedOnAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, m := range moments() {
		if script.Update() {
			m.record(t)
		}
	}
	files, err := filepath.Glob("testdata/state/v1/*.json")
	if err != nil {
		t.Fatal(err)
	}
	stages, phases := map[strategy.Stage]bool{}, map[strategy.Phase]bool{}
	kept := 0
	for _, path := range files {
		if strings.HasSuffix(path, ".turn.json") {
			continue
		}
		kept++
		s := replay(t, path)
		phases[s.Phase] = true
		for _, lane := range s.Lanes {
			if lane.Status == strategy.Moving || lane.Status == strategy.Returning {
				stages[lane.Stage] = true
			}
		}
	}
	if kept < len(moments()) {
		t.Errorf("%d states are kept, want %d; -update writes those that are missing", kept, len(moments()))
	}
	for stage := strategy.Preparing; stage <= strategy.Undoing; stage++ {
		if !stages[stage] {
			t.Errorf("no state is kept of a lane that is %v", stage)
		}
	}
	for phase := strategy.Progressing; phase <= strategy.Partial; phase++ {
		if !phases[phase] {
			t.Errorf("no state is kept that is %v", phase)
		}
	}
}

// replay holds one kept state to what was recorded of it.
func replay(t *testing.T, path string) strategy.State {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := strategy.DecodeState(data)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return s
	}
	again, err := json.Marshal(s)
	if err != nil || !reflect.DeepEqual(generic(t, again), generic(t, data)) {
		t.Errorf("%s is written as something else (%v):\n%s", path, err, again)
	}
	turn, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".turn.json")
	if err != nil {
		t.Fatal(err)
	}
	var want lookedAt
	if err := json.Unmarshal(turn, &want); err != nil {
		t.Fatal(err)
	}
	got := want
	got.decide(t, s)
	a, b := generic(t, indented(t, got)), generic(t, indented(t, want))
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s (%s): it is carried on otherwise than it was: got\n%s\nwant\n%s", path, want.Story, indented(t, got), indented(t, want))
	}
	return s
}

func generic(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// record writes the moment unless it was written before.
func (m moment) record(t *testing.T) {
	t.Helper()
	path := filepath.Join("testdata", "state", "v1", m.name+".json")
	if _, err := os.Stat(path); err == nil {
		return
	}
	w := m.reach(t)
	for i := range w.State.Checks {
		if c := &w.State.Checks[i].Finding; m.name == "holding_judge" && c.Run != 0 {
			c.State, c.Value, c.Baseline, c.N, c.BaselineN = `{"e":[1.5,2],"n":18446744073709551615}`, 0.02, 0.01, 1234, 120_000
		}
	}
	o := w.Observe()
	l := lookedAt{Story: m.story, Now: w.Now, Watched: o.Watched, Seen: o.Seen, Intent: o.Intent, Blocks: o.Blocks, Findings: map[string]finding{}}
	for id, f := range o.Findings {
		l.Findings[id.Lane+"/"+id.Name] = finding{id, f}
	}
	for id, status := range o.Tasks {
		l.Tasks = append(l.Tasks, taskStatus{id, status})
	}
	l.decide(t, w.State)
	for file, v := range map[string]any{path: w.State, strings.TrimSuffix(path, ".json") + ".turn.json": l} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, indented(t, v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
