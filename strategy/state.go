// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// StateVersion is the version of State that this release writes. It reads this
// one and every older one.
const StateVersion = 1

// State is everything there is to know about a service's rollouts, as plain
// data: it survives JSON and belongs into a Store. A service has a series of
// runs; State holds the latest and what outlives each. The zero State is a
// service that has never had one.
//
// Treat a State as a value: Machine.Step never changes the one it is given, and
// the one it returns shares nothing with it that can be written to.
type State struct {
	Version int    `json:"version"`
	Service string `json:"service"`
	// Run counts the service's runs, from 1.
	Run uint64 `json:"run"`
	// Rev counts saves; a Store compares it. Seq counts decisions that have
	// effects and is the fence that routers and tasks are given. Neither ever
	// starts over.
	Rev uint64 `json:"rev"`
	Seq uint64 `json:"seq"`

	Release Release `json:"release"`
	Plan    Frozen  `json:"plan"`

	Phase Phase `json:"phase"`
	// Cause and Reason say why the run went home.
	Cause  Cause  `json:"cause,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Began and Ended bound the run; Ended is zero while it lasts.
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// Watched is the moment up to which time has been credited to the clocks below.
	Watched time.Time `json:"watched,omitzero"`
	// Returning is the time credited to the way home.
	Returning time.Duration `json:"returningNs,omitempty"`

	Lanes   []LaneState   `json:"lanes,omitempty"`
	Targets []TargetState `json:"targets,omitempty"`
	Checks  []CheckState  `json:"checks,omitempty"`
	Tasks   []TaskState   `json:"tasks,omitempty"`

	// Committed says that home is the candidate.
	Committed bool `json:"committed,omitempty"`
	// Stopped says that a lane failed alone, so that no further lane begins.
	Stopped bool `json:"stopped,omitempty"`
	// Paused says that the operator's hold is in force.
	Paused bool `json:"paused,omitempty"`
	// Hold is set while the machine itself has stopped and called for a person.
	Hold Hold `json:"hold,omitzero"`
	// Intent is what the operator last asked of this run through the Runner.
	Intent Intent `json:"intent,omitzero"`
	// Next is the run that begins when this one has gone home.
	Next Next `json:"next,omitzero"`

	// LastGood is what served when a rollout was last finished, bake included.
	LastGood Revision `json:"lastGood,omitzero"`
	// Quarantine lists revisions that were sent home, newest first.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Returned is when a run last went home by itself, and why.
	Returned    time.Time `json:"returned,omitzero"`
	ReturnedWhy string    `json:"returnedWhy,omitempty"`

	// Recent holds the latest transitions, oldest first; unused ones are zero.
	// The whole journal is the Store's.
	Recent [recentTransitions]Transition `json:"recent"`
}

const (
	recentTransitions = 8
	maxQuarantine     = 20
)

// LaneState is where one lane stands.
type LaneState struct {
	Status LaneStatus `json:"status"`
	Step   int        `json:"step"`
	Stage  Stage      `json:"stage,omitempty"`
	// Task is the next of the step's tasks.
	Task int `json:"task,omitempty"`
	// Spent is the time in this step, Held the time its split has been in force,
	// Waited the time only a person or a window was missing. All count only
	// while somebody watches and nothing holds the rollout.
	Spent  time.Duration `json:"spentNs,omitempty"`
	Held   time.Duration `json:"heldNs,omitempty"`
	Waited time.Duration `json:"waitedNs,omitempty"`
	// Settled is when the split was seen in force; it names the question that
	// findings must answer.
	Settled time.Time `json:"settled,omitzero"`
	// Exposed is when the candidate first got traffic in this lane and run.
	Exposed time.Time `json:"exposed,omitzero"`
	// Bound says that a one-way step has begun.
	Bound bool `json:"bound,omitempty"`
}

// TargetState is what is wanted of one target.
type TargetState struct {
	Name string       `json:"name"`
	Caps traffic.Caps `json:"caps"`
	// Route is the one asked for under Fence; a zero Fence means that none was
	// asked for in this run.
	Route traffic.Route `json:"route"`
	Fence uint64        `json:"fence,omitempty"`
	// Seen says that the route was seen with the best evidence there is, and
	// Agreed for how long.
	Seen   bool          `json:"seen,omitempty"`
	Agreed time.Duration `json:"agreedNs,omitempty"`
	// Repaired counts foreign changes that were put right in this run.
	Repaired int `json:"repaired,omitempty"`
}

// CheckState is the last finding of one check in one lane.
type CheckState struct {
	Lane    string           `json:"lane"`
	Name    string           `json:"name"`
	Finding analysis.Finding `json:"finding,omitzero"`
}

// TaskState is a task that was started.
type TaskState struct {
	TaskID
	// Fence is the Seq under which it was started.
	Fence uint64 `json:"fence"`
	Done  bool   `json:"done,omitempty"`
	// Undoing and Undone follow the way back.
	Undoing bool `json:"undoing,omitempty"`
	Undone  bool `json:"undone,omitempty"`
	// Stuck says that taking it back failed.
	Stuck bool `json:"stuck,omitempty"`
}

// TaskID names one use of a task: by this step of this lane. Step is -1 for the
// tasks of the way home.
type TaskID struct {
	Lane string `json:"lane"`
	Step int    `json:"step"`
	Name string `json:"name"`
}

// Hold says why the machine stopped by itself.
type Hold struct {
	// ID is what an operator's Resume must name, so that an old word does not
	// release a new hold. 0 means that nothing holds.
	ID     uint64    `json:"id"`
	Since  time.Time `json:"since"`
	Lane   string    `json:"lane,omitempty"`
	Reason string    `json:"reason"`
}

// Next is a run that waits for the present one to go home.
type Next struct {
	Release  Release                 `json:"release"`
	Plan     Frozen                  `json:"plan"`
	Caps     map[string]traffic.Caps `json:"caps,omitempty"`
	Override Override                `json:"override,omitzero"`
}

// Quarantined is a revision that was sent home.
type Quarantined struct {
	Revision Revision  `json:"revision"`
	Run      uint64    `json:"run"`
	At       time.Time `json:"at"`
	Cause    Cause     `json:"cause"`
	Reason   string    `json:"reason"`
}

// Active reports whether a run is under way.
func (s State) Active() bool { return s.Phase == Progressing || s.Phase == RollingBack }

// Serving is the revision that serves, or served before this run as long as home has not
// moved, on the backend that it is on: where a task has given stable's backend the
// candidate's code and the dials were turned back, that is stable's. It is the zero
// Revision where there was no run.
func (s State) Serving() Revision {
	if s.Phase != Promoted && !s.Committed {
		return s.Release.Stable
	}
	serving := s.Release.Candidate
	for _, t := range s.Targets {
		if t.Route.Serves() != s.Release.Stable.Arm() {
			return serving
		}
	}
	switch {
	case len(s.Targets) == 0:
	case s.Committed:
		serving.Backend = s.Release.Stable.Arm()
	default:
		serving = s.Release.Stable // the candidate was only looked at, and nobody depends on it
	}
	return serving
}

// Err is nil while a run is under way and after a promotion, and an *Outcome otherwise.
func (s State) Err() error {
	if s.Phase != RolledBack && s.Phase != RollbackFailed && s.Phase != Partial {
		return nil
	}
	reason := s.Reason
	if s.Hold.Reason != "" {
		reason += "; " + s.Hold.Reason
	}
	return &Outcome{Service: s.Service, Run: s.Run, Phase: s.Phase, Cause: s.Cause, Reason: reason}
}

// Target is the state of the target named, and whether there is one.
func (s State) Target(name string) (TargetState, bool) {
	for _, t := range s.Targets {
		if t.Name == name {
			t.Route.Split = t.Route.Split.Clone()
			return t, true
		}
	}
	return TargetState{}, false
}

// Journal is Recent without its unused places, oldest first.
func (s State) Journal() []Transition {
	for i, t := range s.Recent {
		if t.Kind != 0 {
			return append([]Transition(nil), s.Recent[i:]...)
		}
	}
	return nil
}

// DecodeState reads a state from JSON. A state of an unknown version is
// ErrVersion; a field it does not know is an error, because saving the state
// again would lose it.
func DecodeState(data []byte) (State, error) {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return State{}, fmt.Errorf("strategy: state: %w", err)
	}
	if v.Version < 1 || v.Version > StateVersion {
		return State{}, fmt.Errorf("%w: %d, this release knows 1 to %d; upgrade it", ErrVersion, v.Version, StateVersion)
	}
	var s State
	if err := strict(data, &s); err != nil {
		return State{}, fmt.Errorf("strategy: state: %w", err)
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

// check refuses a state that no Step can have written.
func (s *State) check() error {
	if s.Phase == Idle {
		return nil
	}
	if s.Plan.in == nil {
		return errors.New("strategy: state: it has a run and no plan")
	}
	in := s.Plan.in
	if len(s.Lanes) != len(in.lanes) || len(s.Targets) != len(in.targets) || len(s.Checks) != len(in.checks) {
		return errors.New("strategy: state: its lanes, targets or checks are not those of its plan")
	}
	for i, lane := range s.Lanes {
		if lane.Step < 0 || lane.Step >= in.lanes[i].steps || lane.Task < 0 || lane.Task > len(in.step(i, lane.Step).Before) {
			return fmt.Errorf("strategy: state: lane %q stands at a step that its plan does not have", in.laneName(i))
		}
	}
	for i, t := range s.Targets {
		if t.Name != in.targets[i].name {
			return fmt.Errorf("strategy: state: target %q is not the plan's", t.Name)
		}
	}
	return nil
}
