// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// World is a simulated outside for a plan: routers, judges and tasks as plain
// data, and a clock that moves only when it is told to. It obeys every effect at
// once and shows it as effective; change its fields to make it do otherwise. It
// has no goroutines and does no I/O. It does not emulate data planes, traffic or
// time that passes during a call; for those, run a Runner against real routers.
type World struct {
	// Now is the world's clock.
	Now time.Time
	// Targets are the routers by name. A target that a plan names and that is
	// not here is made with default abilities.
	Targets map[string]*Target
	// Verdicts answer the checks by name. A check that is not here passes.
	Verdicts map[string]analysis.Verdict
	// Tasks say how far each task is, by name. A task that is not here is done
	// as soon as it is begun, and taken back as soon as that is asked.
	Tasks map[string]strategy.TaskStatus
	// Intent is the operator's will; its Run is filled in. Unknown hides it.
	Intent  strategy.Intent
	Unknown bool
	// Blocks hold what moves forward.
	Blocks []strategy.Block
	// Deaf drops every effect: the process dies between saving and acting.
	Deaf bool

	// State is the rollout's.
	State strategy.State
	// Machine decides.
	Machine strategy.Machine
	// watched is since when somebody has looked.
	watched time.Time
	begun   map[strategy.TaskID]bool
	undone  map[strategy.TaskID]bool
}

// Target is one simulated router.
type Target struct {
	Caps traffic.Caps
	Seen traffic.Seen
	// Blind makes it impossible to observe, Broken to change.
	Blind, Broken bool
	// Accepted are the routes it took, in order; a repeat of the last is not kept.
	Accepted []traffic.Route
}

// DefaultCaps are those of a target that a World makes by itself: it can do everything.
var DefaultCaps = traffic.Caps{
	Granularity: 1, Mirror: true, Match: true, Query: true, Sticky: true, Fencing: true, Room: true, Evidence: traffic.Effective,
}

// NewWorld is a world at midnight, 1 January 2030 UTC, with nothing in it.
func NewWorld() *World {
	return &World{
		Now:      time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		Targets:  map[string]*Target{},
		Verdicts: map[string]analysis.Verdict{},
		Tasks:    map[string]strategy.TaskStatus{},
		begun:    map[strategy.TaskID]bool{},
		undone:   map[strategy.TaskID]bool{},
	}
}

// Target is the target named, made if need be.
func (w *World) Target(name string) *Target {
	if w.Targets[name] == nil {
		w.Targets[name] = &Target{Caps: DefaultCaps, Seen: traffic.Seen{Evidence: traffic.Effective, Room: traffic.Plenty}}
	}
	return w.Targets[name]
}

// Start begins, or queues, a run.
func (w *World) Start(release strategy.Release, plan strategy.Plan, override strategy.Override) error {
	caps := map[string]traffic.Caps{}
	for _, lane := range plan.Lanes {
		for _, step := range lane.Steps {
			for _, dial := range step.Set {
				caps[dial.Target] = w.Target(dial.Target).Caps
			}
		}
	}
	frozen, _, err := strategy.Accept(plan, caps, true)
	if err != nil {
		return err
	}
	launch := strategy.Launch{Service: "service", Release: release, Plan: frozen, Caps: caps, Override: override}
	s, _, err := w.Machine.Start(w.Now, w.State, launch, strategy.Observation{Seen: w.see(slices.Collect(maps.Keys(caps)))})
	if err != nil {
		return err
	}
	w.State = s
	if w.watched.IsZero() {
		w.watched = w.Now
	}
	return nil
}

// Restart is a new process over the same state: nobody watched until now.
func (w *World) Restart() { w.watched = w.Now }

// Jump sets the clock forward or back. Like a Runner, the world notices, and
// does not count the difference as having watched.
func (w *World) Jump(d time.Duration) {
	w.Now = w.Now.Add(d)
	w.Restart()
}

// Observe is what the world shows of what the state needs to know.
func (w *World) Observe() strategy.Observation {
	needs := w.Machine.Needs(w.State)
	o := strategy.Observation{
		Watched: w.watched, Seen: w.see(needs.Targets), Blocks: slices.Clone(w.Blocks),
		Findings: map[strategy.CheckID]analysis.Finding{}, Tasks: map[strategy.TaskID]strategy.TaskStatus{},
	}
	for _, q := range needs.Checks {
		verdict, ok := w.Verdicts[q.Name]
		if !ok {
			verdict = analysis.Pass
		}
		o.Findings[q.CheckID] = analysis.Finding{
			Run: w.State.Run, Step: q.Step, Since: q.Since, At: w.Now, Verdict: verdict, Reason: fmt.Sprintf("%s says %v", q.Name, verdict),
		}
	}
	for _, ref := range needs.Tasks {
		o.Tasks[ref.TaskID] = w.status(ref)
	}
	if !w.Unknown {
		intent := w.Intent
		intent.Run = w.State.Run
		o.Intent = &intent
	}
	return o
}

func (w *World) see(names []string) map[string]traffic.Seen {
	seen := map[string]traffic.Seen{}
	for _, name := range names {
		if t := w.Target(name); !t.Blind {
			s := t.Seen
			s.Route.Split = s.Route.Split.Clone()
			seen[name] = s
		}
	}
	return seen
}

func (w *World) status(ref strategy.Ref) strategy.TaskStatus {
	if status, ok := w.Tasks[ref.Name]; ok {
		return status
	}
	if done := ref.Back && w.undone[ref.TaskID] || !ref.Back && w.begun[ref.TaskID]; done {
		return strategy.TaskDone
	}
	return strategy.TaskTodo
}

// Step makes one turn: observe, decide, save, act.
func (w *World) Step() (strategy.Decision, error) {
	d, err := w.Machine.Step(w.Now, w.State, w.Observe())
	if err != nil {
		return d, err
	}
	w.State = d.State
	if !w.Deaf {
		w.Act(d.Effects)
	}
	return d, nil
}

// Act obeys effects, as far as targets are not broken.
func (w *World) Act(effects []strategy.Effect) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case *strategy.SetRoute:
			w.apply(e)
		case *strategy.DoTask:
			w.begun[e.Ref.TaskID] = true
		case *strategy.UndoTask:
			w.undone[e.Ref.TaskID] = true
		}
	}
}

func (w *World) apply(e *strategy.SetRoute) {
	t := w.Target(e.Target)
	if t.Broken || t.Caps.Fencing && e.Fence < t.Seen.Fence {
		return
	}
	if n := len(t.Accepted); n == 0 || !t.Accepted[n-1].Equal(e.Route) {
		t.Accepted = append(t.Accepted, e.Route)
	}
	t.Seen.Route, t.Seen.Writer = e.Route, ""
	if t.Caps.Fencing {
		t.Seen.Fence = e.Fence
	}
	t.Seen.Evidence = t.Caps.Evidence
}

// Foreign changes a target's route as somebody who knows nothing of fences.
func (w *World) Foreign(name, writer string, change func(*traffic.Route)) {
	t := w.Target(name)
	t.Seen.Route.Split = t.Seen.Route.Split.Clone()
	change(&t.Seen.Route)
	t.Seen.Writer = writer
}
