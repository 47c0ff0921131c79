// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const blocksVersion = 1

// blocksState is all that a judge of blocks remembers between two questions.
type blocksState struct {
	answer

	Version int    `json:"v"`
	Of      string `json:"judge"`
	Run     uint64 `json:"run"`
	// Since is the step that is being judged, Seen how many requests of the
	// candidate its blocks have held.
	Since time.Time `json:"since"`
	Seen  uint64    `json:"seen,omitempty"`
	// Mark is what the source said last, nil before the first reading.
	Mark *countsMark `json:"mark,omitempty"`
	// Idle counts the blocks in a row without a request of the candidate,
	// SourceErrors the source's errors in a row.
	Idle         int `json:"idle,omitempty"`
	SourceErrors int `json:"sourceErrors,omitempty"`
	// Gathered is the gatherer's memory.
	Gathered json.RawMessage `json:"gathered,omitempty"`
}

// countsMark is where a block began: the totals then.
type countsMark struct {
	At        time.Time `json:"at"`
	Stable    Counts    `json:"stable"`
	Candidate Counts    `json:"candidate"`
	// Halves are those of stable, nil where the source does not tell them apart.
	Halves *halvesMark `json:"halves,omitempty"`
}

// from is where the first block of an arm begins: at the totals read, but for an
// arm whose counter began after the split was in force, which has counted nothing else.
func (c Counts) from(check Check) Counts {
	if c.Since.IsZero() || check.Since.IsZero() || c.Since.Before(check.Since) {
		return c
	}
	return Counts{Bounds: c.Bounds, Latency: make([]uint64, len(c.Latency)), Since: c.Since}
}

// latencyError is what is wrong with the latency counts, where there are any.
func (c Counts) latencyError() error {
	if len(c.Latency) == 0 && len(c.Bounds) == 0 {
		return nil
	}
	return c.checkBuckets()
}

// recall reads what is remembered of c's run: a fresh state where there is nothing,
// and where it cannot be used, why.
func (j *blocks) recall(c Check) (s blocksState, g gatherer, unusable error) {
	fresh := blocksState{Version: blocksVersion, Of: j.of, Run: c.Run, Since: c.Since}
	if c.State == "" {
		return fresh, j.gather(), nil
	}
	if err := recall(c.State, &s); err != nil {
		return fresh, j.gather(), err
	}
	if s.Run != c.Run {
		return fresh, j.gather(), nil
	}
	if err := j.mine(&s); err != nil {
		return fresh, j.gather(), err
	}
	g = j.gather()
	if err := recall(State(s.Gathered), g); err != nil {
		return fresh, j.gather(), err
	}
	if s.Mark != nil {
		if err := g.sound(s.Verdict); err != nil {
			return fresh, j.gather(), err
		}
	}
	return s, g, nil
}

// mine reports a state that this judge cannot have written.
func (j *blocks) mine(s *blocksState) error {
	switch {
	case s.Version != blocksVersion:
		return fmt.Errorf("it has version %d, this is %d", s.Version, blocksVersion)
	case s.Of != j.of:
		return errors.New("it is of another judge or other options")
	case !within(s.Idle, maxLimit) || !within(s.SourceErrors, j.pace.ConsecutiveErrorLimit):
		return errors.New("its counts are beyond the limits")
	case s.sound(j.pace.Interval) != nil:
		return s.sound(j.pace.Interval)
	case s.Mark == nil && s.SourceErrors == 0:
		return errors.New("it has neither a reading nor an error")
	case s.Mark == nil && (s.Verdict == Pass || s.Verdict == Safe || s.Verdict == Fail), s.Seen == 0 && (s.Verdict == Pass || s.Verdict == Safe):
		return errors.New("it has a verdict that rests on nothing")
	case s.Mark != nil && (s.Mark.At.After(s.At) || s.Mark.Stable.latencyError() != nil || s.Mark.Candidate.latencyError() != nil),
		s.Mark != nil && s.Mark.Halves != nil && insight{now: s.Mark.Halves}.sound() != nil:
		return errors.New("its last reading is none")
	}
	return nil
}

// count counts a block that held so many requests of the candidate.
func (s *blocksState) count(requests uint64) {
	s.Seen += requests
	if requests > 0 {
		s.Idle = 0
		return
	}
	s.Idle = min(s.Idle+1, maxLimit)
}

// finding is the last answer, as one to c, with the gatherer's numbers.
func (s *blocksState) finding(c Check, g gatherer) Finding {
	f := s.answer.finding(c)
	if s.Mark != nil {
		g.tell(&f)
	}
	return f
}
