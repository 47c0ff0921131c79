// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Attention is the longest silence between two turns that still counts as
// having watched. What is beyond it is not credited to any clock, so a jumping
// clock can neither end a hold nor a deadline. Decision.Wake is never further
// away than half of it while a run is under way.
const Attention = time.Minute

// DefaultFlapWindow is the Machine's FlapWindow when that is 0.
const DefaultFlapWindow = 10 * time.Minute

// Machine turns what is known into what to do next. It is pure: no I/O, no
// clock, no randomness, no goroutines; the same arguments give the same answer.
// The zero Machine is ready to use.
type Machine struct {
	// FlapWindow is how long after an automatic return a service may not start
	// again without an Override. 0 is DefaultFlapWindow, less than 0 is none.
	FlapWindow time.Duration
}

// Launch is what a run begins with.
type Launch struct {
	Service string
	Release Release
	// Plan is one that Accept gave for Caps.
	Plan Frozen
	// Caps are those of every target of the plan, by name.
	Caps     map[string]traffic.Caps
	Override Override
}

// Start is s with a run begun, or, while another run is under way, with this one
// queued: that run is then sent home, and this one begins once it is there. The
// transition it returns belongs in the journal.
//
// Asking again is safe. For a release that is under way, queued, or promoted and
// still in force, it changes nothing and returns no transition; a run under way
// keeps the plan it began with, whatever a newer program asks for.
//
// It returns ErrInvalidRelease, ErrQuarantined, ErrFlapping, ErrUnknown or
// ErrNotHome, and the state as it was.
func (m Machine) Start(now time.Time, s State, l Launch, o Observation) (State, Transition, error) {
	t := turn{machine: m, now: now.UTC().Round(0), s: s.Clone(), o: o}
	l.Release = l.Release.complete(s)
	switch {
	case l.Plan.in == nil:
		return s, Transition{}, fmt.Errorf("%w: there is none", ErrInvalidPlan)
	case s.Active() && s.Release == l.Release:
		return t.s, Transition{}, nil
	case s.Active() && s.Next.Release == l.Release && s.Next.Plan.Digest() == l.Plan.Digest():
		return t.s, Transition{}, nil
	case s.Active():
		if err := t.admit(l); err != nil {
			return s, Transition{}, err
		}
		t.in = s.Plan.in
		t.s.Next = Next{Release: l.Release, Plan: l.Plan, Caps: l.Caps, Override: l.Override}
		t.note(RunQueued, -1, "", l.Release.Candidate.Version, l.Override.By)
	default:
		switch err := t.begin(l); {
		case errors.Is(err, ErrNotHome) && s.Phase == Promoted && s.Release == l.Release:
			return s.Clone(), Transition{}, nil
		case err != nil:
			return s, Transition{}, err
		}
	}
	t.keep()
	return t.s, t.made, nil
}

// Step makes at most one transition. Given ignorance it makes none that moves
// forward; given a world that matches it makes none at all; so it is safe to
// call as often as one likes.
//
// It fails on misuse only: ErrNoRun when there is nothing to step, ErrVersion
// for a state of another version, and an error for a state that it cannot have
// made. A failing rollout is not an error but a Phase.
func (m Machine) Step(now time.Time, s State, o Observation) (Decision, error) {
	switch {
	case s.Phase == Idle:
		return Decision{State: s}, ErrNoRun
	case s.Version != StateVersion:
		return Decision{State: s}, fmt.Errorf("%w: %d", ErrVersion, s.Version)
	}
	if err := s.check(); err != nil {
		return Decision{State: s}, err
	}
	t := turn{machine: m, now: now.UTC().Round(0), in: s.Plan.in, o: o}
	t.s = s
	t.effects = t.s.detach()
	t.read()
	t.credit()
	t.decide()
	if t.changed {
		t.s.Watched = t.now
		t.keep()
	} else {
		t.forget(&s)
	}
	t.assert()
	return Decision{State: t.s, Effects: t.effects, Transition: t.made, Wake: t.wake()}, nil
}

// decide is the one switch: it owns which transition is made.
func (t *turn) decide() {
	switch t.s.Phase {
	case Progressing:
		if !t.overdue() && !t.catchUp() && !t.order() && !t.judge() && !t.repair() {
			t.progress()
		}
	case RollingBack:
		if !t.overdue() && !t.catchUp() && !t.repair() {
			t.goHome()
		}
	case Partial, RollbackFailed:
		if !t.catchUp() {
			t.rescue()
		}
	case Promoted, RolledBack:
		if !t.catchUp() {
			t.beginNext()
		}
	case Idle: // Step has refused it
	}
}

// Needs is what has to be found out for the next Step.
type Needs struct {
	Targets []string
	Checks  []Question
	Tasks   []Ref
}

// Question is one open check.
type Question struct {
	CheckID
	Step  int
	Since time.Time
	// Exposed is when the candidate first got traffic in the lane.
	Exposed time.Time
	// Target is the lane's first target, "" if it has none.
	Target string
}

// Needs tells what to observe for the next Step. Nothing else is looked at.
func (Machine) Needs(s State) Needs {
	in := s.Plan.in
	if in == nil {
		return Needs{}
	}
	n := Needs{Targets: make([]string, len(in.targets))}
	for i := range in.targets {
		n.Targets[i] = in.targets[i].name
	}
	if next := s.Next.Plan.in; next != nil && !s.Active() {
		for i := range next.targets {
			if name := next.targets[i].name; !slices.Contains(n.Targets, name) {
				n.Targets = append(n.Targets, name)
			}
		}
	}
	if s.Phase == Progressing {
		for c, check := range in.checks {
			if since, open := s.open(c); open {
				lane := s.Lanes[check.lane]
				q := Question{CheckID: CheckID{in.laneName(check.lane), check.name}, Step: lane.Step, Since: since, Exposed: lane.Exposed}
				if x := in.lanes[check.lane]; x.target < x.targets {
					q.Target = in.targets[x.target].name
				}
				n.Checks = append(n.Checks, q)
			}
		}
	}
	for _, task := range s.Tasks {
		if task.open() {
			n.Tasks = append(n.Tasks, s.ref(task))
		}
	}
	return n
}

// open reports whether check c is being asked now, and since when.
func (s *State) open(c int) (since time.Time, open bool) {
	check := &s.Plan.in.checks[c]
	lane := &s.Lanes[check.lane]
	if check.watch {
		exposed := !lane.Exposed.IsZero() && (lane.Status == Moving || lane.Status == Done)
		return lane.Exposed, exposed
	}
	if lane.Status != Moving || lane.Stage != Holding {
		return time.Time{}, false
	}
	return lane.Settled, slices.Contains(s.Plan.in.lanes[check.lane].needs[lane.Step], c)
}

// open reports whether anybody waits for the task.
func (t *TaskState) open() bool { return t.Undoing && !t.Undone || !t.Undoing && !t.Done }

func (s *State) ref(task TaskState) Ref {
	r := Ref{Service: s.Service, Run: s.Run, TaskID: task.TaskID, Release: s.Release, Fence: task.Fence, Back: task.Undoing}
	if lane := s.Plan.in.lane(task.Lane); lane >= 0 && task.Step >= 0 {
		r.StepName = s.Plan.in.step(lane, task.Step).Name
	}
	return r
}
