// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"maps"
	"time"
)

// Record is what the database knows of one change or versioned migration. Its fields are
// written by the Migrator through a Database; programs read them.
type Record struct {
	ID string `json:"id"`
	// Kind says what it is a record of.
	Kind Kind `json:"kind"`
	// Digest is the change's, or the file's checksum.
	Digest string `json:"digest"`
	// App and New are the change's. Later versions that know the change add themselves
	// to New.
	App string   `json:"app,omitempty"`
	New []string `json:"new,omitempty"`
	// Change is as it was given.
	Change Change `json:"change,omitzero"`
	// Script is frozen when the record is made.
	Script Script `json:"script,omitzero"`

	State State `json:"state"`
	// Order is what is wanted of it. It is written apart from State, at any time and by
	// anybody.
	Order Order `json:"order"`
	// Progress is of the walks, by step.
	Progress []Progress `json:"progress,omitempty"`
	// Owner has the lease until Until by the database's clock; empty is nobody.
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Kind says what a record is of.
type Kind string

// The kinds of records.
const (
	// Coupled is a Change.
	Coupled Kind = "change"
	// Versioned is a migration of a set of files.
	Versioned Kind = "file"
)

// State is how far it is. Only the owner of the lease writes it.
type State struct {
	// Version is of this type's layout.
	Version int `json:"version"`
	// Rev rises by one with every save.
	Rev   uint64 `json:"rev"`
	Phase Phase  `json:"phase"`
	// Entered is when each phase was entered, by the database's clock.
	Entered map[Phase]time.Time `json:"entered,omitempty"`
	// Steps has one entry for each step of the script.
	Steps []StepState `json:"steps,omitempty"`
	// Hidden says that the old side is not there under its name: a version that needs it
	// cannot register.
	Hidden bool `json:"hidden,omitempty"`
	// Failed is why it does not go on by itself; empty if it does. Work leaves it alone
	// until there is an order after number FailedUnder.
	Failed      string `json:"failed,omitempty"`
	FailedUnder uint64 `json:"failedUnder,omitempty"`
	// By is who ran it last.
	By string `json:"by,omitempty"`
}

// StateVersion is the layout that this package writes. It reads every earlier one.
const StateVersion = 1

// StepState is how far one step is.
type StepState struct {
	// Begun is saved before a step that cannot be one transaction with its record.
	Begun bool `json:"begun,omitempty"`
	// Done is saved with, or after, its statements.
	Done bool `json:"done,omitempty"`
	// Took is how long it took in the end, in nanoseconds.
	Took time.Duration `json:"took,omitempty"`
	// Shards is how many parts a walk was begun in, which stays as it is; 0 is one.
	Shards int `json:"shards,omitempty"`
}

// Order is what is wanted of a change.
type Order struct {
	// Want is the phase to reach: Ready, Switched, Done or RolledBack. Planned is nothing.
	Want Phase `json:"want"`
	// Force rolls back while instances of a new version are alive: its owner's word that
	// they have no traffic.
	Force bool `json:"force,omitempty"`
	// Paused stops everything where it is.
	Paused bool `json:"paused,omitempty"`
	// By and Why say who wants it.
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
	// Fence, where it is not 0, orders those who give orders: one with a lower fence than
	// was seen is refused with ErrFenced, so that a rollout that is over cannot take back
	// what the next one has begun.
	Fence uint64 `json:"fence,omitempty"`
	// N counts the orders of a record, so that none replaces one that whoever gives it has not
	// seen. The Migrator sets it.
	N uint64 `json:"n,omitempty"`
}

// Forbids says whether a state may not be saved over one that is in phase from, because it would
// be the end of the way back, and the order is to go back or to stop. Whoever saves it has not
// seen the order yet.
func (o Order) Forbids(from, to Phase) bool {
	gone := func(p Phase) bool { return p == Contracting || p == Done }
	return (o.Want == RolledBack || o.Paused) && gone(to) && !gone(from)
}

// Progress is how far a walk is.
type Progress struct {
	Step int `json:"step"`
	// Rows were written, Seen were looked at, and Total is estimated.
	Rows  int64 `json:"rows"`
	Seen  int64 `json:"seen"`
	Total int64 `json:"total"`
	// Share is how much of the walk is done, 0 to 1.
	Share float64 `json:"share"`
	// Worked is the time spent in batches, in nanoseconds, pauses apart.
	Worked time.Duration `json:"worked"`
	// Rate is rows looked at per second, pauses included, and Left the time to the end at
	// that rate. They are of the process that does the walk; 0 is not known.
	Rate float64       `json:"rate,omitempty"`
	Left time.Duration `json:"left,omitempty"`
	Done bool          `json:"done,omitempty"`
}

// clone shares nothing writable with r.
func (s State) clone() State {
	entered := make(map[Phase]time.Time, len(s.Entered)+1)
	maps.Copy(entered, s.Entered)
	s.Entered = entered
	s.Steps = append([]StepState(nil), s.Steps...)
	return s
}
