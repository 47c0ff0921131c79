// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// Effect is something to make true in the world: SetRoute, DoTask or UndoTask.
// Effects are absolute and idempotent, and carry the fence they were decided under.
type Effect interface{ effect() }

// SetRoute makes Route the one in force at Target.
type SetRoute struct {
	Target string
	Fence  uint64
	Route  traffic.Route
	// Home says that it is part of the way home, which no other failing effect may delay.
	Home bool
}

// DoTask begins a task.
type DoTask struct{ Ref Ref }

// UndoTask begins to take a task back.
type UndoTask struct{ Ref Ref }

func (*SetRoute) effect() {}
func (*DoTask) effect()   {}
func (*UndoTask) effect() {}

// Decision is what Step decided.
type Decision struct {
	// State must be saved, compare-and-swap on Rev, BEFORE any effect is carried
	// out, if its Rev is above that of the state given. If it is not, nothing
	// changed and nothing needs saving.
	State State
	// Effects are to be made true, in order, after the save. All of them follow
	// from State, so whoever loads it later is asked for them again.
	Effects []Effect
	// Transition says what was decided; its Kind is 0 if nothing was.
	Transition Transition
	// Wake is when to look again at the latest. The zero time is never: the run
	// has ended. A Wake that is not after now means at once.
	Wake time.Time
}

// Transition is one decision, for journals and observers.
type Transition struct {
	Rev  uint64         `json:"rev"`
	Seq  uint64         `json:"seq"`
	Run  uint64         `json:"run"`
	At   time.Time      `json:"at"`
	Kind TransitionKind `json:"kind"`
	// Lane, Step and Subject say what it is about; Subject is a check, a task or a target.
	Lane    string `json:"lane,omitempty"`
	Step    string `json:"step,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Weight is what the lane's first target is now asked to give the candidate.
	Weight traffic.Weight `json:"weight"`
	// Verdict is what a judge said, where the transition is about that.
	Verdict analysis.Verdict `json:"verdict,omitempty"`
	Reason  string           `json:"reason,omitempty"`
	By      string           `json:"by,omitempty"`
}

// TransitionKind says what a transition did.
type TransitionKind uint8

const (
	_ TransitionKind = iota
	// RunStarted began a run.
	RunStarted
	// StepEntered moved a lane to a step.
	StepEntered
	// TaskStarted began one of its tasks.
	TaskStarted
	// TaskFinished saw it done.
	TaskFinished
	// LaneArmed asked a lane's targets for 0% between this run's arms.
	LaneArmed
	// DialsTurned asked for a step's splits.
	DialsTurned
	// StepSettled saw them in force.
	StepSettled
	// VerdictChanged heard something new from a judge.
	VerdictChanged
	// HoldBegan and HoldEnded follow the operator's hold.
	HoldBegan
	// HoldEnded let the clocks run again.
	HoldEnded
	// Paged stopped and called for a person; Resumed was that person's answer.
	Paged
	// Resumed released a hold of the machine's own.
	Resumed
	// DriftRepaired put back a route that somebody else had changed.
	DriftRepaired
	// FenceRaised caught up with a target that remembers a higher fence.
	FenceRaised
	// LaneDone finished a lane.
	LaneDone
	// ReturnBegan turned around; WeightLowered is a further stride.
	ReturnBegan
	// WeightLowered took more weight back.
	WeightLowered
	// ReturnSettled saw 0% in force on every target of a lane.
	ReturnSettled
	// UndoStarted began to take a task back, TaskUndone saw it taken back.
	UndoStarted
	// TaskUndone saw a task taken back.
	TaskUndone
	// LaneHome finished a lane's return.
	LaneHome
	// RunPromoted ended a run with every lane done.
	RunPromoted
	// RunRolledBack ended at an observed 0%.
	RunRolledBack
	// RunStranded ended without getting home.
	RunStranded
	// RunPartial ended with some lanes promoted and some home.
	RunPartial
	// RunQueued noted a run that begins when this one is home.
	RunQueued
	// QueueDropped gave up a queued run that cannot begin.
	QueueDropped
	// Ordered noted what an operator asked for.
	Ordered
)

var transitionNames = []string{
	"", "run started", "step entered", "task started", "task finished", "lane armed", "dials turned", "step settled",
	"verdict changed", "hold began", "hold ended", "paged", "resumed", "drift repaired", "fence raised", "lane done",
	"return began", "weight lowered", "return settled", "undo started", "task undone", "lane home",
	"run promoted", "run rolled back", "run stranded", "run partial", "run queued", "queue dropped", "ordered",
}

// String is the name.
func (k TransitionKind) String() string { return name(transitionNames, k) }

// MarshalText writes the name.
func (k TransitionKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name.
func (k *TransitionKind) UnmarshalText(text []byte) error {
	return parseName("transition", transitionNames, k, text)
}
