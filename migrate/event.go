// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"time"
)

// Event is one thing that happened, for logs and screens. Events are told as they happen
// and kept nowhere.
type Event struct {
	Kind EventKind
	// ID is the change or migration.
	ID    string
	Phase Phase
	// Step is the step's name, and Statement one of its statements.
	Step, Statement string
	// Took is how long it took; of a Retried event, how long the pause is.
	Took time.Duration
	// Attempt counts from 1.
	Attempt int
	// Progress is of a walk.
	Progress Progress
	// Why says it in words: why a walk waits, what was refused.
	Why string
	Err error
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	PhaseEntered EventKind = "phase"     // Phase
	StepBegun    EventKind = "begun"     // Step
	StatementRun EventKind = "statement" // Step, Statement, before it runs
	StatementRan EventKind = "ran"       // Step, Statement, Took: of files, where it was run by itself
	StepDone     EventKind = "done"      // Step, Took
	StepUndone   EventKind = "undone"    // Step, Took
	Advanced     EventKind = "advanced"  // Step, Progress: a batch
	Throttled    EventKind = "throttled" // Why, once until it is another
	Retried      EventKind = "retried"   // Step, Attempt, Err, Took: the pause before the next
	Waiting      EventKind = "waiting"   // Why, once until it is another
	Failed       EventKind = "failed"    // Err
)

// Observer is told events, by the goroutine that works: while it blocks, nothing goes on,
// and what it panics with ends the call that told it.
type Observer func(context.Context, Event)
