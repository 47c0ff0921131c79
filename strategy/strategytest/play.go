// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// Fault is something that happens to the world of a Play.
type Fault struct {
	when func(*World, time.Duration) bool
	do   func(*World)
	at   time.Duration // when it happens, if that is known
}

// After makes a fault happen a time after the start.
func After(d time.Duration, do func(*World)) Fault {
	return Fault{when: func(_ *World, passed time.Duration) bool { return passed >= d }, do: do, at: d}
}

// At makes a fault happen once a lane holds at a step.
func At(lane, step string, do func(*World)) Fault {
	return Fault{do: do, when: func(w *World, _ time.Duration) bool {
		for i, l := range w.State.Plan.Plan().Lanes {
			if at := w.State.Lanes[i]; l.Name == lane && at.Stage == strategy.Holding && l.Steps[at.Step].Name == step {
				return true
			}
		}
		return false
	}}
}

// Says makes a check give a verdict from now on.
func Says(check string, verdict analysis.Verdict) func(*World) {
	return func(w *World) { w.Verdicts[check] = verdict }
}

// Fails makes a check fail from now on.
func Fails(check string) func(*World) { return Says(check, analysis.Fail) }

// Drifts makes somebody else give the candidate another weight.
func Drifts(target, writer string, to traffic.Weight) func(*World) {
	return func(w *World) {
		w.Foreign(target, writer, func(r *traffic.Route) { r.Split.Candidate = to })
	}
}

// Shrinks changes how much the arms of a target can carry.
func Shrinks(target string, room traffic.Room) func(*World) {
	return func(w *World) { w.Target(target).Seen.Room = room }
}

// Goes makes a task stay at a status.
func Goes(task string, status strategy.TaskStatus) func(*World) {
	return func(w *World) { w.Tasks[task] = status }
}

// Asks changes what the operator wants.
func Asks(change func(*strategy.Intent)) func(*World) {
	return func(w *World) { change(&w.Intent) }
}

// Story is what happened in a Play.
type Story struct {
	// Final is the last state, World the world at that time.
	Final strategy.State
	World *World
	// Lasted is how long it took, in the world's time.
	Lasted time.Duration
	// Transitions are all decisions, in order.
	Transitions []strategy.Transition
}

// Weights are the candidate's weights that a target accepted, in order.
func (s *Story) Weights(target string) []traffic.Weight {
	var weights []traffic.Weight
	for _, r := range s.World.Target(target).Accepted {
		weights = append(weights, r.Split.Candidate)
	}
	return weights
}

// String is the story, one line a transition.
func (s *Story) String() string {
	var b strings.Builder
	for _, t := range s.Transitions {
		fmt.Fprintln(&b, Line(t, s.Final.Began))
	}
	return b.String()
}

// Line is a transition in one line, with the time since began.
func Line(t strategy.Transition, began time.Time) string {
	var line strings.Builder
	fmt.Fprintf(&line, "+%-8s #%-3d %s", t.At.Sub(began), t.Seq, t.Kind)
	if t.Lane != "" {
		fmt.Fprintf(&line, " %s %s", t.Lane, t.Step)
	}
	if t.Lane != "" && t.Weight.String() != t.Step {
		fmt.Fprintf(&line, " (%v)", t.Weight)
	}
	verdict := ""
	if t.Kind == strategy.VerdictChanged {
		verdict = t.Verdict.String()
	}
	for _, more := range []string{t.Subject, verdict, t.Reason} {
		if more != "" {
			line.WriteString("; " + more)
		}
	}
	if t.By != "" {
		line.WriteString("; by " + t.By)
	}
	return line.String()
}

// ErrUnfinished means that a Play was still under way after PlayLimit.
var ErrUnfinished = errors.New("strategytest: the rollout did not end")

// PlayLimit bounds a Play in the world's time.
const PlayLimit = 30 * 24 * time.Hour

// Play carries a plan out from "v1" to "v2" in a simulated world, with faults,
// and returns what happened. A day's rollout takes a few milliseconds. It fails
// if the plan is refused, or with ErrUnfinished and the story so far if it does not end.
func Play(plan strategy.Plan, faults ...Fault) (*Story, error) {
	w := NewWorld()
	release := strategy.NewRelease("v1", "v2")
	if err := w.Start(release, plan, strategy.Override{}); err != nil {
		return nil, err
	}
	story := &Story{World: w, Transitions: w.State.Journal()}
	began := w.Now
	for {
		var left []Fault
		for _, f := range faults {
			if f.when(w, w.Now.Sub(began)) {
				f.do(w)
			} else {
				left = append(left, f)
			}
		}
		faults = left
		d, err := w.Step()
		story.Final, story.Lasted = w.State, w.Now.Sub(began)
		if err != nil {
			return story, err
		}
		if d.Transition.Kind != 0 {
			story.Transitions = append(story.Transitions, d.Transition)
		}
		switch {
		case d.Wake.IsZero():
			return story, nil
		case story.Lasted > PlayLimit:
			return story, fmt.Errorf("%w within %v: %s", ErrUnfinished, PlayLimit, w.Machine.Explain(w.Now, w.State, w.Observe()).Summary)
		case d.Wake.After(w.Now):
			w.Now = d.Wake
			for _, f := range faults {
				if at := began.Add(f.at); f.at > 0 && at.Before(w.Now) {
					w.Now = at
				}
			}
		}
	}
}
