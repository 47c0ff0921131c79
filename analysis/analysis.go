// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Verdict is what a judge says. The zero Verdict is Pending: it neither advances
// a rollout nor fails it.
type Verdict uint8

const (
	// Pending means not enough is known yet; ask again.
	Pending Verdict = iota
	// Pass means nothing speaks against the candidate so far.
	Pass
	// Safe means that harm is ruled out as far as the judge was asked to: the
	// step may end early.
	Safe
	// Fail means that the candidate does harm.
	Fail
	// Inconclusive means that the evidence cannot be used: none came, it was not
	// a number, its source was down for too long.
	Inconclusive
)

var verdictNames = [...]string{"pending", "pass", "safe", "fail", "inconclusive"}

// String is the name in lower case.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalText writes the name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a name.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i, name := range verdictNames {
		if string(text) == name {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("analysis: verdict %q: want one of %q", text, verdictNames)
}

// Judge answers one question about a candidate. Implementations must be safe
// for concurrent use, keep nothing between calls but what they put into
// Finding.State, and write nothing to production.
type Judge interface {
	// Judge answers c. The Finding must echo the check: Check.Finding makes one
	// that does. An error means that the judge could not work; the rollout stays
	// where it is and asks again.
	Judge(ctx context.Context, c Check) (Finding, error)
}

// JudgeFunc is a function as a Judge.
type JudgeFunc func(ctx context.Context, c Check) (Finding, error)

// Judge calls f.
func (f JudgeFunc) Judge(ctx context.Context, c Check) (Finding, error) { return f(ctx, c) }

// Check is the question: is this candidate, at this step, since this moment, all right?
type Check struct {
	Service string
	// Name is the check's name in the plan.
	Name string
	Run  uint64
	Lane string
	// Step counts from 0 within the lane.
	Step int
	// Stable and Candidate name the arms as the router knows them.
	Stable, Candidate string
	// Target is the first target of the lane, for sources that count per target.
	Target string
	// Since is when the current split was seen in force; Exposed is when the
	// candidate first got traffic in this run. Until is the moment of asking.
	Since, Exposed, Until time.Time
	// State is what this judge's last Finding for this lane and run carried, ""
	// the first time. It runs through the steps of a run.
	State State
}

// Finding is the answer.
type Finding struct {
	// Run, Step and Since echo the check. An answer to another question than the
	// one that is open is ignored.
	Run   uint64    `json:"run"`
	Step  int       `json:"step"`
	Since time.Time `json:"since"`

	// At is when the judge looked.
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	// Value is what was measured of the candidate and Baseline of stable, in the
	// metric's own unit (a share of requests, seconds).
	Value    float64 `json:"value"`
	Baseline float64 `json:"baseline,omitempty"`
	// Low and High bound Value, where the judge knows an interval.
	Low  float64 `json:"low,omitempty"`
	High float64 `json:"high,omitempty"`
	// Evidence is how much speaks for harm, where the judge weighs evidence: the
	// logarithm of how many to 1. It is 0 where nothing speaks either way.
	Evidence float64 `json:"evidence,omitempty"`
	// N and BaselineN count what the two numbers rest on: requests, samples.
	N         uint64 `json:"n,omitempty"`
	BaselineN uint64 `json:"baselineN,omitempty"`
	// Reason is one sentence for a person.
	Reason string `json:"reason,omitempty"`
	// State is handed back with the next check.
	State State `json:"state,omitempty"`
}

// Finding is an answer to c with this verdict and reason, echoing the check and keeping its state.
func (c Check) Finding(v Verdict, reason string) Finding {
	return Finding{Run: c.Run, Step: c.Step, Since: c.Since, At: c.Until, Verdict: v, Reason: reason, State: c.State}
}

// Answers reports whether f echoes c: the same run, step and settle time.
func (f Finding) Answers(c Check) bool {
	return f.Run == c.Run && f.Step == c.Step && f.Since.Equal(c.Since)
}

// Sound is f, or an Inconclusive finding that says so when one of its numbers is
// NaN or infinite: such a number is never evidence, and cannot be saved.
func (f Finding) Sound() Finding {
	for _, v := range [...]float64{f.Value, f.Baseline, f.Low, f.High, f.Evidence} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			f.Value, f.Baseline, f.Low, f.High, f.Evidence = 0, 0, 0, 0, 0
			f.Verdict = Inconclusive
			f.Reason = "the judge reported a number that is not finite"
			return f
		}
	}
	return f
}

// State is what a judge remembers, as JSON. It is a string so that copies of a
// rollout's state share nothing that can be written to.
type State string

// MarshalJSON writes the JSON that s holds; the empty State is null.
func (s State) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	if !json.Valid([]byte(s)) {
		return nil, errors.New("analysis: a judge's state is not valid JSON")
	}
	return []byte(s), nil
}

// UnmarshalJSON keeps the JSON as it is.
func (s *State) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*s = ""
		return nil
	}
	*s = State(data)
	return nil
}
