// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// act is what a record needs next.
type act uint8

const (
	actNothing act = iota // what is wanted is reached
	actEnter              // a phase
	actDo                 // a step
	actUndo               // a step
	actWait               // until a time
	actPaused
)

// action is the next thing to do to a record.
type action struct {
	act   act
	phase Phase
	step  int
	until time.Time
	// contract and returns say which guard holds it.
	contract, returns bool
}

// next is the state machine: what a record needs next, from the record alone. It is asked
// again after everything that happens, so a crash between two answers changes nothing.
func next(r Record, now time.Time) (action, error) {
	phase, want := r.State.Phase, r.Order.Want
	if r.State.Version > StateVersion {
		return action{}, fmt.Errorf("migrate: %s: its state is of version %d, and this program knows up to %d: let a newer one carry it out", r.ID, r.State.Version, StateVersion)
	}
	if len(r.State.Steps) != len(r.Script.Steps) {
		return action{}, fmt.Errorf("migrate: %s: the record has %d steps and its script %d", r.ID, len(r.State.Steps), len(r.Script.Steps))
	}
	if r.Order.Paused {
		return action{act: actPaused}, nil
	}
	if phase.Ended() || want == Planned {
		return ended(r)
	}
	if want == RolledBack || phase == RollingBack {
		return nextBack(r)
	}
	if phase >= want {
		return action{}, nil
	}
	if i := r.firstLeft(Verifying); i >= 0 {
		return r.stepOrPhase(i, false), nil
	}
	switch {
	case phase < Ready:
		return action{act: actEnter, phase: Ready}, nil
	case want <= Ready:
		return action{}, nil
	case phase < Switched:
		return action{act: actEnter, phase: Switched}, nil
	case want <= Switched:
		return action{}, nil
	}
	return nextContract(r, now), nil
}

// ended answers for a record to which nothing more happens.
func ended(r Record) (action, error) {
	if r.Order.Want == RolledBack && r.State.Phase == Done {
		return action{}, fmt.Errorf("%w: %s", ErrContracted, r.ID)
	}
	if r.State.Phase == RolledBack && r.Order.Want != RolledBack && r.Order.Want != Planned {
		return action{}, fmt.Errorf("migrate: %s was rolled back; order it again with its change", r.ID)
	}
	return action{}, nil
}

// nextBack undoes the last step that was begun, until there is none. What is hidden comes
// back first, whoever is alive: both versions can run then, and traffic can move back.
// The guard stands before everything else.
func nextBack(r Record) (action, error) {
	phase, i := r.State.Phase, r.lastBegun()
	switch {
	case phase == Contracting:
		return action{}, fmt.Errorf("%w: %s", ErrContracted, r.ID)
	case phase == Soaking && i >= 0 && r.Script.Steps[i].Phase == Soaking:
		return action{act: actUndo, step: i, phase: Soaking}, nil
	case phase == Soaking:
		return action{act: actEnter, phase: Switched}, nil
	case phase != RollingBack:
		return action{act: actEnter, phase: RollingBack, returns: true}, nil
	case i >= 0:
		return action{act: actUndo, step: i, phase: RollingBack}, nil
	}
	return action{act: actEnter, phase: RolledBack}, nil
}

// lastBegun is the last step that was begun, or -1.
func (r Record) lastBegun() int {
	for i, s := range slices.Backward(r.State.Steps) {
		if s.Begun || s.Done {
			return i
		}
	}
	return -1
}

// nextContract goes from Switched to Done: hide, soak, drop, each under guard.
func nextContract(r Record, now time.Time) action {
	i := r.firstLeft(Contracting)
	switch phase := r.State.Phase; {
	case phase == Switched && i < 0:
		return action{act: actEnter, phase: Done}
	case phase == Switched:
		return action{act: actEnter, phase: Soaking, contract: true}
	case i >= 0 && r.Script.Steps[i].Phase == Soaking:
		return action{act: actDo, step: i, phase: Soaking, contract: true}
	case phase == Soaking:
		if until := r.State.Entered[Soaking].Add(r.Change.soak()); now.Before(until) {
			return action{act: actWait, until: until}
		}
		return action{act: actEnter, phase: Contracting, contract: true}
	case i >= 0:
		return action{act: actDo, step: i, phase: Contracting, contract: true}
	}
	return action{act: actEnter, phase: Done}
}

// stepOrPhase enters the step's phase first.
func (r Record) stepOrPhase(i int, contract bool) action {
	step := r.Script.Steps[i]
	if r.State.Phase != step.Phase {
		return action{act: actEnter, phase: step.Phase, contract: contract}
	}
	return action{act: actDo, step: i, phase: step.Phase, contract: contract}
}

// firstLeft is the first step of the phases up to last that is not done, or -1.
func (r Record) firstLeft(last Phase) int {
	for i, s := range r.Script.Steps {
		if s.Phase <= last && !r.State.Steps[i].Done {
			return i
		}
	}
	return -1
}

func (c Change) soak() time.Duration {
	if c.Soak == 0 {
		return DefaultSoak
	}
	return c.Soak
}

// guard is what must not be alive for the action, or nil.
func (r Record) guard(a action, ttl time.Duration) (*Guard, error) {
	switch {
	case a.contract && r.App == "" && r.Change.Unguarded == "":
		return nil, fmt.Errorf("%w: %s: name App and New in the change and register its instances, or give the reason in Unguarded", ErrUnguarded, r.ID)
	case a.contract && r.App != "":
		return &Guard{App: r.App, Versions: r.New, TTL: ttl}, nil
	case a.returns && r.App != "" && !r.Order.Force && r.State.Phase >= Ready:
		return &Guard{App: r.App, Versions: r.New, Only: true, TTL: ttl}, nil
	}
	return nil, nil //nolint:nilnil // no guard is a guard that holds nothing back
}

// enter is the state in a phase.
func (s State) enter(p Phase, now time.Time) State {
	s = s.saved()
	s.Phase = p
	s.Entered[p] = now
	s.Hidden = s.Hidden && p != RolledBack && p != Switched || p == Soaking
	return s
}

// saved is the state with the Rev it is saved under. Whatever goes on has not failed.
func (s State) saved() State {
	s = s.clone()
	s.Rev++
	s.Version = StateVersion
	s.Failed, s.FailedUnder = "", 0
	return s
}

// did is the state after a step.
func (r Record) did(i int, took time.Duration, now time.Time) State {
	s := r.State.saved()
	s.Steps[i] = StepState{Begun: r.Script.Steps[i].Alone, Done: true, Took: took, Shards: s.Steps[i].Shards}
	if r.Script.Steps[i].Phase == Soaking { // it soaks from the last step on
		s.Entered[Soaking] = now
	}
	return s
}

// undid is the state after a step was taken back. The old side can be used again when
// nothing of it is hidden.
func (r Record) undid(i int) State {
	s := r.State.saved()
	s.Steps[i] = StepState{}
	s.Hidden = false
	for j, step := range r.Script.Steps {
		if step.Phase == Soaking && (s.Steps[j].Begun || s.Steps[j].Done) {
			s.Hidden = true
		}
	}
	return s
}

// checkWant says whether a phase can be wanted.
func checkWant(p Phase) error {
	if slices.Contains([]Phase{Planned, Ready, Switched, Done, RolledBack}, p) {
		return nil
	}
	return errors.New("migrate: order: Want must be ready, switched, done or rolledBack, not " + p.String())
}
