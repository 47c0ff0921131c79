// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"maps"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// turn is one Step under way. s is the state to be: it starts as a copy of the
// one given, and is put back if nothing is decided.
type turn struct {
	machine Machine
	now     time.Time
	in      *frozen
	s       State
	o       Observation
	intent  Intent
	known   bool // the operator's will is known
	dt      time.Duration

	made    Transition
	changed bool
	effects []Effect

	looked looked
}

// read takes the operator's will out of the observation. An intent of another
// run is as good as none, and so is one that is not addressed.
func (t *turn) read() {
	if t.known = t.o.Intent != nil; t.known && t.o.Intent.Run == t.s.Run {
		t.intent = *t.o.Intent
	}
}

// credit gives the clocks the time since they were last given any, as far as
// somebody watched.
func (t *turn) credit() {
	from := t.s.Watched
	if t.o.Watched.After(from) {
		from = t.o.Watched
	}
	if !t.o.Watched.IsZero() {
		t.dt = min(max(t.now.Sub(from), 0), Attention)
	}
	// A clock that went back would stop the credit until it catches up; a long
	// silence would lose it in a crash. Either way the moment is saved.
	if t.now.Before(t.s.Watched) || t.s.Active() && t.now.Sub(t.s.Watched) >= Attention/2 {
		t.changed = true
	}
	for i := range t.s.Targets {
		t.creditTarget(i)
	}
	for i := range t.s.Lanes {
		t.creditLane(i)
	}
	if t.s.homeward() {
		t.s.Returning += t.dt
	}
}

func (t *turn) creditTarget(i int) {
	target := &t.s.Targets[i]
	switch {
	case target.Fence == 0:
	case !t.agrees(i):
		target.Agreed = 0
	case !target.Seen:
		// Time is credited from here on, so where time matters it is saved.
		target.Seen = true
		t.changed = t.changed || target.Caps.Lag > 0 || t.s.returning() && t.in.plan.Back.Pace > 0
	default:
		target.Agreed += t.dt
	}
}

func (t *turn) creditLane(i int) {
	lane := &t.s.Lanes[i]
	switch {
	case lane.Status == Returning && lane.Stage == Draining:
		lane.Waited += t.dt
	case lane.Status != Moving || t.s.Paused || t.s.Hold.ID != 0 || !t.known || t.intent.Hold:
	case lane.Stage == Holding:
		t.creditHold(i, lane)
	case lane.Stage == Preparing && t.forward().kind == lacksBlock:
		lane.Waited += t.dt
	default:
		lane.Spent += t.dt
	}
}

// creditHold credits the hold while its split is in force. The deadline does not
// run while a person or a window alone is missing.
func (t *turn) creditHold(i int, lane *LaneState) {
	switch t.gates(i).kind {
	case lacksTime, lacksCheck:
		lane.Held += t.dt
		lane.Spent += t.dt
	case lacksApproval:
		lane.Held += t.dt
		lane.Waited += t.dt
	case lacksNothing:
		lane.Held += t.dt
		if t.forward().kind == lacksBlock {
			lane.Waited += t.dt
		} else {
			lane.Spent += t.dt
		}
	default: // it is not in force, or there is no room for it
		lane.Spent += t.dt
	}
}

// returning reports whether any lane is on its way home.
func (s *State) returning() bool {
	for i := range s.Lanes {
		if s.Lanes[i].Status == Returning {
			return true
		}
	}
	return false
}

// homeward reports whether the way home is not over: lanes return, or all that
// had begun are home and that is still to be seen.
func (s *State) homeward() bool {
	if s.Phase != Progressing || s.returning() {
		return s.Phase == RollingBack || s.Phase == Progressing
	}
	home := 0
	for i := range s.Lanes {
		switch s.Lanes[i].Status {
		case Home:
			home++
		case Moving, Done:
			return false
		case Waiting, Returning:
		}
	}
	return home > 0 && s.Stopped
}

// keep makes the turn's outcome the next revision.
func (t *turn) keep() {
	t.s.Rev++
	if t.made.Kind == 0 {
		return
	}
	t.made.Rev, t.made.Seq, t.made.Run, t.made.At = t.s.Rev, t.s.Seq, t.s.Run, t.now
	copy(t.s.Recent[:], t.s.Recent[1:])
	t.s.Recent[recentTransitions-1] = t.made
}

// forget puts back the state that was given: only clocks had moved, and they
// are computed anew from the same start next time.
func (t *turn) forget(given *State) {
	copy(t.s.Lanes, given.Lanes)
	for i := range t.s.Targets {
		t.s.Targets[i].Seen, t.s.Targets[i].Agreed = given.Targets[i].Seen, given.Targets[i].Agreed
	}
	t.s.Returning = given.Returning
}

// note records the turn's one transition. lane is -1 for the run as a whole.
func (t *turn) note(kind TransitionKind, lane int, subject, reason, by string) {
	t.changed = true
	t.made = Transition{Kind: kind, Subject: subject, Reason: reason, By: by}
	if lane < 0 {
		return
	}
	x := &t.in.lanes[lane]
	t.made.Lane = t.in.laneName(lane)
	t.made.Step = x.stepNames[t.s.Lanes[lane].Step]
	if x.target < x.targets {
		t.made.Weight = t.s.Targets[x.target].Route.Split.Candidate
	}
}

// command asks target i for a split under the fence that the turn will have.
func (t *turn) command(i int, split traffic.Split, fence uint64) {
	target := &t.s.Targets[i]
	target.Route = traffic.Route{Arms: t.s.Release.Arms(), Split: split.Clone()}
	target.Fence, target.Seen, target.Agreed = fence, false, 0
}

func (in *frozen) lane(name string) int {
	for i := range in.plan.Lanes {
		if in.plan.Lanes[i].Name == name {
			return i
		}
	}
	return -1
}

// small backs the state of a one-lane rollout, so that a turn of it costs one
// allocation instead of one a slice.
type small struct {
	lanes   [smallLanes]LaneState
	targets [smallTargets]TargetState
	checks  [smallChecks]CheckState
	effects [smallTargets]Effect
}

const (
	smallLanes   = 1
	smallTargets = 1
	smallChecks  = 2
)

// Clone is a copy that shares nothing with s that can be written to, for stores
// that keep states in memory.
func (s State) Clone() State {
	s.detach()
	return s
}

// detach parts s from the state it is a copy of, in place: a State is two
// kilobytes, and moving it about is most of what a quiet turn would cost.
func (s *State) detach() (effects []Effect) {
	if len(s.Lanes) <= smallLanes && len(s.Targets) <= smallTargets && len(s.Checks) <= smallChecks {
		b := new(small)
		s.Lanes = append(b.lanes[:0:len(s.Lanes)], s.Lanes...)
		s.Targets = append(b.targets[:0:len(s.Targets)], s.Targets...)
		s.Checks = append(b.checks[:0:len(s.Checks)], s.Checks...)
		effects = b.effects[:0]
	} else {
		s.Lanes, s.Targets, s.Checks = slices.Clone(s.Lanes), slices.Clone(s.Targets), slices.Clone(s.Checks)
	}
	for i := range s.Targets {
		if match := s.Targets[i].Route.Split.Match; match != nil {
			s.Targets[i].Route.Split.Match = slices.Clone(match)
		}
	}
	s.Tasks, s.Quarantine = slices.Clone(s.Tasks), slices.Clone(s.Quarantine)
	s.Intent = s.Intent.clone()
	s.Next.Caps = maps.Clone(s.Next.Caps)
	return effects
}

func (i Intent) clone() Intent {
	i.Waive, i.Approvals = slices.Clone(i.Waive), slices.Clone(i.Approvals)
	return i
}
