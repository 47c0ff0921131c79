// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"slices"
	"strconv"
)

// Kind says what happened. The zero Kind is Unknown: an observer passes over
// kinds that it does not know, so that a newer teller breaks nothing.
type Kind uint8

// The kinds, in the order in which a rollout meets them.
const (
	Unknown          Kind = iota
	Started               // a run was accepted
	StepEntered           // a lane began a step
	TaskDone              // something around a step was made true
	TaskFailed            // something around a step could not be made true
	Settled               // the data plane shows the step's split
	Judged                // a check was answered
	AwaitingApproval      // a step waits for a person
	Approved              // a person let a step end
	Held                  // the weights stay until somebody resumes
	Resumed               // the hold is over
	Drifted               // somebody else changed a route
	Repaired              // a drifted route was put back
	Committed             // from here on home is the candidate
	RollingBack           // the run began to go home
	RolledBack            // home: an observed 0%
	RollbackFailed        // home was not reached; a person is called
	Promoted              // the candidate is the new stable
	Superseded            // another candidate is wanted; this run ended without blame
	Paged                 // a person is called, for no other event's sake
	Noted                 // worth telling, and changes nothing
)

var kindNames = []string{
	"unknown", "started", "stepEntered", "taskDone", "taskFailed", "settled", "judged", "awaitingApproval",
	"approved", "held", "resumed", "drifted", "repaired", "committed", "rollingBack", "rolledBack",
	"rollbackFailed", "promoted", "superseded", "paged", "noted",
}

// Kinds lists every kind but Unknown.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(kindNames)-1)
	for i := 1; i < len(kindNames); i++ {
		kinds = append(kinds, Kind(i))
	}
	return kinds
}

// String is the name.
func (k Kind) String() string { return name(kindNames, k) }

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name.
func (k *Kind) UnmarshalText(text []byte) error { return parse("kind", kindNames, k, text) }

// Outcome says how a run ended. The zero Outcome is Open: it has not.
type Outcome uint8

// How a run can end. The outcomes share their words with the kinds that tell them.
const (
	Open Outcome = iota
	OutcomePromoted
	OutcomeRolledBack
	OutcomeRollbackFailed
	OutcomeSuperseded
	OutcomePartial // some lanes were promoted and some went home; a person is called
)

var outcomeNames = []string{"open", "promoted", "rolledBack", "rollbackFailed", "superseded", "partial"}

// Outcomes lists every outcome but Open.
func Outcomes() []Outcome {
	return []Outcome{OutcomePromoted, OutcomeRolledBack, OutcomeRollbackFailed, OutcomeSuperseded, OutcomePartial}
}

// String is the name.
func (o Outcome) String() string { return name(outcomeNames, o) }

// MarshalText writes the name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name.
func (o *Outcome) UnmarshalText(text []byte) error { return parse("outcome", outcomeNames, o, text) }

// Cause says why a run goes home.
type Cause uint8

// The causes. The zero Cause is CauseNone: the run does not go home.
const (
	CauseNone       Cause = iota
	CauseCheck            // a check failed, or stayed inconclusive for too long
	CauseDeadline         // a step outlived its deadline
	CauseOperator         // a person said so
	CauseSuperseded       // another candidate is wanted
	CauseDrift            // somebody else kept changing the route
	CauseTask             // a task failed
	CauseOther
)

var causeNames = []string{"none", "check", "deadline", "operator", "superseded", "drift", "task", "other"}

// Causes lists every cause but CauseNone.
func Causes() []Cause {
	return []Cause{CauseCheck, CauseDeadline, CauseOperator, CauseSuperseded, CauseDrift, CauseTask, CauseOther}
}

// String is the name.
func (c Cause) String() string { return name(causeNames, c) }

// MarshalText writes the name.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name.
func (c *Cause) UnmarshalText(text []byte) error { return parse("cause", causeNames, c, text) }

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown(" + strconv.Itoa(int(v)) + ")"
}

func parse[T ~uint8](what string, names []string, into *T, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("observe: %s %q: want one of %q", what, text, names)
	}
	*into = T(i)
	return nil
}
