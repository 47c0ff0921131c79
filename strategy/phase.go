// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

// Phase is where a run is.
type Phase uint8

const (
	// Idle is the zero Phase: there has been no run.
	Idle Phase = iota
	// Progressing is on the way to the candidate.
	Progressing
	// RollingBack is on the way home.
	RollingBack
	// Promoted has ended with the candidate serving everything that the plan says.
	Promoted
	// RolledBack has ended with nothing going to the candidate: weight 0, no
	// match, no mirror, and that was observed.
	RolledBack
	// RollbackFailed could not get home within its bound. It keeps the last safe
	// route and waits for a person, who can resume it.
	RollbackFailed
	// Partial has ended with some lanes promoted and some home. A person can
	// abort it, which sends the rest home.
	Partial
)

// LaneStatus is where a lane is.
type LaneStatus uint8

const (
	// Waiting is the zero LaneStatus: not begun.
	Waiting LaneStatus = iota
	// Moving is between its first and its last step.
	Moving
	// Done has finished its last step.
	Done
	// Returning is on its way home.
	Returning
	// Home is back at 0%, observed, with its tasks taken back.
	Home
)

// Stage is where a moving or returning lane is within its step.
type Stage uint8

const (
	// Preparing is doing the tasks before the dials turn, and finding room. It
	// is the zero Stage.
	Preparing Stage = iota
	// Arming has asked the targets for 0% between this run's two arms.
	Arming
	// Shifting has asked for the step's splits and waits until they are in force.
	Shifting
	// Holding has seen them in force; checks run and time counts.
	Holding
	// Draining has seen 0% on the way home and lets requests finish.
	Draining
	// Undoing takes tasks back on the way home.
	Undoing
)

// Cause is why a run went home.
type Cause uint8

const (
	// NoCause is the zero Cause: it has not.
	NoCause Cause = iota
	// CauseCheck is a judge's Fail.
	CauseCheck
	// CauseTask is a task that reported failure.
	CauseTask
	// CauseDeadline is a step, or an approval, that took too long.
	CauseDeadline
	// CauseAbort is an operator's word.
	CauseAbort
	// CauseSuperseded is another candidate that is wanted instead.
	CauseSuperseded
)

// Automatic reports whether nobody asked for the return.
func (c Cause) Automatic() bool { return c == CauseCheck || c == CauseTask || c == CauseDeadline }

var (
	phaseNames  = []string{"idle", "progressing", "rollingBack", "promoted", "rolledBack", "rollbackFailed", "partial"}
	statusNames = []string{"waiting", "moving", "done", "returning", "home"}
	stageNames  = []string{"preparing", "arming", "shifting", "holding", "draining", "undoing"}
	causeNames  = []string{"none", "check failed", "task failed", "deadline passed", "aborted", "superseded"}
)

// String is the name.
func (p Phase) String() string { return name(phaseNames, p) }

// MarshalText writes the name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name.
func (p *Phase) UnmarshalText(text []byte) error { return parseName("phase", phaseNames, p, text) }

// String is the name.
func (s LaneStatus) String() string { return name(statusNames, s) }

// MarshalText writes the name.
func (s LaneStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *LaneStatus) UnmarshalText(text []byte) error {
	return parseName("lane status", statusNames, s, text)
}

// String is the name.
func (s Stage) String() string { return name(stageNames, s) }

// MarshalText writes the name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *Stage) UnmarshalText(text []byte) error { return parseName("stage", stageNames, s, text) }

// String is the name.
func (c Cause) String() string { return name(causeNames, c) }

// MarshalText writes the name.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name.
func (c *Cause) UnmarshalText(text []byte) error { return parseName("cause", causeNames, c, text) }
