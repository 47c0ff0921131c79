// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Event is one thing that happened to a service. It is plain data: it names
// versions, arms and checks as their owners do and refers to nothing else.
// Fields that do not apply to its kind are zero.
type Event struct {
	// Service is the thing that is released: a service, or a flag that is ramped.
	Service string `json:"service"`
	// Environment is where, such as "production". Empty is not told.
	Environment string `json:"environment,omitempty"`
	// Run counts the rollouts of the service.
	Run uint64 `json:"run,omitempty"`
	// Rev is the revision of the service's saved state that made this event. It
	// rises for ever, so (Service, Rev) tells a repeat from news. 0 means that
	// there is none, and nothing can tell.
	Rev uint64 `json:"rev,omitempty"`
	// Part tells apart the events of one Rev, counting from 0.
	Part uint32 `json:"part,omitempty"`
	// At is when it was decided or seen, by the clock of whoever tells it.
	At time.Time `json:"at"`

	Kind Kind `json:"kind"`
	// Phase is the rollout's phase after this event, in the teller's words.
	Phase string `json:"phase,omitempty"`
	// Outcome is set on the one event that ends a run.
	Outcome Outcome `json:"outcome,omitempty"`
	// Plan is the kind of rollout, such as "canary".
	Plan string `json:"plan,omitempty"`
	Lane string `json:"lane,omitempty"`
	Step string `json:"step,omitempty"`
	// Shares says how much traffic the candidate gets, for each target that this
	// event knows of. A target that is not listed stays as it was last told.
	Shares []Share `json:"shares,omitempty"`

	// Version is the candidate's and From is stable's.
	Version string `json:"version,omitempty"`
	From    string `json:"from,omitempty"`

	// Check and Verdict are set when a judge has answered. Verdict is one of
	// "pending", "pass", "safe", "fail" and "inconclusive".
	Check   string `json:"check,omitempty"`
	Verdict string `json:"verdict,omitempty"`

	// Cause says why a run goes home.
	Cause Cause `json:"cause,omitempty"`
	// Reason is one sentence for a person.
	Reason string `json:"reason,omitempty"`
	// By names who did it: a person, another writer. Empty is the rollout itself.
	By string `json:"by,omitempty"`
	// Page says that a person must be called. See Pages.
	Page bool `json:"page,omitempty"`

	// Started is when the run began and Failing when its first failing verdict
	// was given, as far as the teller knows. They let an observer that has just
	// been started measure how long a run and a return took.
	Started time.Time `json:"started,omitzero"`
	Failing time.Time `json:"failing,omitzero"`
}

// Share is how much of one target's traffic the candidate gets.
type Share struct {
	// Target is the region, cluster, ring or flag that has this split.
	Target string `json:"target,omitempty"`
	// Candidate is in parts per million; stable gets the rest of FullShare.
	Candidate uint32 `json:"candidate"`
}

// FullShare is all of a target's traffic.
const FullShare = 1_000_000

// Key identifies an event among all that were ever told.
type Key struct {
	Service string `json:"service"`
	Rev     uint64 `json:"rev"`
	Part    uint32 `json:"part,omitempty"`
}

// Key is what tells a repeat from news. ok is false for an event without a Rev,
// which cannot be told from its repeat.
func (e Event) Key() (k Key, ok bool) {
	return Key{Service: e.Service, Rev: e.Rev, Part: e.Part}, e.Rev != 0
}

// Pages reports whether the event calls for a person: it says so, it is a page,
// or a return has failed. One page is told once; Paged is the kind for a page
// that comes with nothing else.
func (e Event) Pages() bool { return e.Page || e.Kind == Paged || e.Kind == RollbackFailed }

// Ends reports whether the run is over with this event.
func (e Event) Ends() bool { return e.Outcome != Open }

// Clone is a copy that shares nothing with e.
func (e Event) Clone() Event {
	e.Shares = slices.Clone(e.Shares)
	return e
}

// String is the event in one line.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s run %d: %v", e.Service, e.Run, e.Kind)
	for _, field := range [...]struct{ word, value string }{
		{"step", e.Step},
		{"check", e.Check},
		{"verdict", e.Verdict},
		{"by", e.By},
	} {
		if field.value != "" {
			fmt.Fprintf(&b, " %s %s", field.word, field.value)
		}
	}
	for _, s := range e.Shares {
		b.WriteByte(' ')
		if s.Target != "" {
			b.WriteString(s.Target + " ")
		}
		b.WriteString(s.percent())
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, " (%s)", e.Reason)
	}
	return b.String()
}

// Ratio is the share between 0 and 1. More than everything is everything.
func (s Share) Ratio() float64 { return float64(min(s.Candidate, FullShare)) / FullShare }

func (s Share) percent() string {
	return strconv.FormatFloat(s.Ratio()*100, 'f', -1, 64) + "%"
}
