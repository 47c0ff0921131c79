// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
)

// StateVersion is the version of State that this package writes.
const StateVersion = 1

// State is one service's watch, and the ledger of its revisions. It is a value, kept by a
// [Store] as JSON. The zero State has watched nothing.
type State struct {
	Version int `json:"version"`
	// Rev counts the saves, for compare-and-swap.
	Rev uint64 `json:"rev"`
	// Run counts the watches.
	Run uint64 `json:"run"`
	// Revision is watched, since Began.
	Revision rollback.Revision `json:"revision,omitzero"`
	Began    time.Time         `json:"began,omitzero"`
	// Returning says that it is to go back, whatever is seen from now on.
	Returning bool `json:"returning,omitempty"`
	// Held is why an operator has stopped the clock, "" if none has. By is the operator
	// whose order was the last.
	Held string `json:"held,omitempty"`
	By   string `json:"by,omitempty"`
	// Outcome is how it ended, and Why is a sentence for a person: of an Unfinished watch
	// what it waits for.
	Outcome Outcome   `json:"outcome,omitempty"`
	Why     string    `json:"why,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`

	// Seen is the last turn. Only time in which somebody looked counts.
	Seen time.Time `json:"seen,omitzero"`
	// Watched is all the time that counted. Healthy is how long it has been healthy
	// without a break, and Unhealthy how long it has not been.
	Watched   time.Duration `json:"watchedNs,omitempty"`
	Healthy   time.Duration `json:"healthyNs,omitempty"`
	Unhealthy time.Duration `json:"unhealthyNs,omitempty"`
	// Health is the target's last word, and Findings are what the judges said last.
	Health   rollback.Health             `json:"health,omitempty"`
	Findings map[string]analysis.Finding `json:"findings,omitempty"`

	// Ledger is what is known of the service's revisions, with every return that was made.
	Ledger rollback.Ledger `json:"ledger"`
}

// Outcome says how a watch ended. The zero Outcome is Unfinished.
type Outcome uint8

// The package's documentation says what each means.
const (
	Unfinished Outcome = iota
	Passed
	RolledBack
	RollbackFailed
	Refused
	Unknown
	Superseded
	Aborted
)

var outcomeNames = []string{"unfinished", "passed", "rolledBack", "rollbackFailed", "refused", "unknown", "superseded", "aborted"}

// String is the name.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("unknown(%d)", uint8(o))
}

// MarshalText writes the name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomeNames, string(text))
	if i < 0 {
		return fmt.Errorf("monitor: outcome %q: want one of %q", text, outcomeNames)
	}
	*o = Outcome(i) //nolint:gosec // an index of a short list
	return nil
}

// Page reports whether a person must be called: it should have gone back and has not.
func (o Outcome) Page() bool { return o == RollbackFailed || o == Refused }

// String is the watch in one line.
func (s State) String() string {
	switch {
	case s.Run == 0:
		return "nothing is watched"
	case s.Outcome != Unfinished:
		return fmt.Sprintf("%s: %v: %s", s.Revision, s.Outcome, s.Why)
	case s.Held != "":
		return fmt.Sprintf("%s: held by %s: %s", s.Revision, s.By, s.Held)
	case s.Returning:
		return fmt.Sprintf("%s: going back: %s", s.Revision, s.Why)
	}
	return fmt.Sprintf("%s: watched for %v: %s", s.Revision, s.Watched.Round(time.Second), s.Why)
}

// over reports whether there is nothing to do.
func (s State) over() bool { return s.Run == 0 || s.Outcome != Unfinished }

// next is a copy to change, with the next Rev.
func (s State) next() State {
	s.Version = StateVersion
	s.Rev++
	s.Findings = maps.Clone(s.Findings)
	return s
}

// end is how it ended.
func (s State) end(now time.Time, o Outcome, why string) State {
	s.Outcome, s.Why, s.Ended, s.Held = o, why, now.Round(0).UTC(), ""
	return s
}
