// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// Observation is what the world looks like now. Whatever is missing is not
// known, and not knowing moves nothing forward: the zero Observation is
// ignorance. Machine.Needs says what to find out.
type Observation struct {
	// Watched is since when the caller has looked at this service without a
	// gap: since its process started, or last could not look. Time before that
	// is not credited to any clock, because downtime is not evidence.
	Watched time.Time
	// Seen holds what each target shows. Leave out what could not be observed.
	Seen map[string]traffic.Seen
	// Findings holds the answers to the open checks.
	Findings map[CheckID]analysis.Finding
	// Tasks holds the status of the tasks under way.
	Tasks map[TaskID]TaskStatus
	// Words are what tasks under way say of themselves, for Explain to pass on. They
	// decide nothing.
	Words map[TaskID]string
	// Intent is the operator's will, nil if it could not be found out.
	Intent *Intent
	// Blocks are reasons not to move forward now: freeze windows, locks, budgets.
	Blocks []Block
}

// CheckID names one check in one lane.
type CheckID struct{ Lane, Name string }

// Block is a reason not to move forward, until it is over. It never blocks the
// way home.
type Block struct {
	Why string
	// Until is when it ends by itself; zero is not known.
	Until time.Time
}

// Intent is the operator's will as a level, not an event: it says how things
// should be, and is read again every turn. It belongs to one run; an intent of
// another run is as good as none.
type Intent struct {
	Run uint64 `json:"run,omitempty"`
	// Want is the revision that should be the candidate. Another one than the
	// run's sends the run home as superseded. The zero Revision is content.
	Want Revision `json:"want,omitzero"`
	// Hold stops everything that moves forward, and the clocks. A failing check
	// still goes home: a hold never keeps users on a bad candidate.
	Hold bool `json:"hold,omitempty"`
	// Abort goes home, whatever else is asked. Past a commit there is no home
	// to go to, and it holds instead.
	Abort bool `json:"abort,omitempty"`
	// Promote passes every remaining gate: holds, checks of steps, approvals.
	// It never waives room, observation, blocks or watched checks.
	Promote bool `json:"promote,omitempty"`
	// Waive passes the gates of the steps named, and nothing else.
	Waive []StepRef `json:"waive,omitempty"`
	// Approvals are the grants given so far.
	Approvals []Grant `json:"approvals,omitempty"`
	// Resume names the Hold to release by its ID.
	Resume uint64 `json:"resume,omitempty"`
	// By and Why are kept in the journal.
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
}

// StepRef names a step.
type StepRef struct {
	Lane string `json:"lane"`
	Step string `json:"step"`
}

// Grant is one person's approval of one step under one plan.
type Grant struct {
	StepRef
	// Digest is the plan's, so that nobody approves what they have not seen.
	Digest string `json:"digest"`
	By     string `json:"by"`
	Why    string `json:"why,omitempty"`
}

// Override is a person's word that a quarantined revision may be tried again, or
// that a service may start again right after it returned by itself. By is required.
type Override struct {
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
}
