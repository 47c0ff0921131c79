// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"math"
	"time"
)

const thresholdVersion = 1

// thresholdState is all that a Threshold remembers between two questions.
type thresholdState struct {
	answer

	Version int       `json:"v"`
	Of      string    `json:"threshold"`
	Run     uint64    `json:"run"`
	Since   time.Time `json:"since"`
	// Mark is where the running window began, nil before the first reading.
	Mark *mark `json:"mark,omitempty"`
	// Unfinished is what the running window held when it was too little.
	Unfinished uint64 `json:"unfinished,omitempty"`
	// Failed counts the bad measurements of the step, Nothing those in a row that
	// came to nothing, SourceErrors the source's errors in a row.
	Failed       int `json:"failed,omitempty"`
	Nothing      int `json:"nothing,omitempty"`
	SourceErrors int `json:"sourceErrors,omitempty"`

	// The numbers of the last answer.
	Value     float64 `json:"value,omitempty"`
	Baseline  float64 `json:"baseline,omitempty"`
	N         uint64  `json:"n,omitempty"`
	BaselineN uint64  `json:"baselineN,omitempty"`
}

// recall reads what is remembered of c's step: a fresh state where there is nothing
// or it is of another step, and where it cannot be used, why.
func (t *Threshold) recall(c Check) (s thresholdState, unusable error) {
	fresh := thresholdState{Version: thresholdVersion, Of: t.of, Run: c.Run, Since: c.Since}
	if c.State == "" {
		return fresh, nil
	}
	if err := recall(c.State, &s); err != nil {
		return fresh, err
	}
	if err := t.mine(s); err != nil {
		return fresh, err
	}
	if s.Run != c.Run || !s.Since.Equal(c.Since) {
		return fresh, nil
	}
	return s, nil
}

// mine reports a state that this Threshold cannot have written. A Pass is repeated
// only if the numbers it rests on still pass.
func (t *Threshold) mine(s thresholdState) error {
	switch {
	case s.Version != thresholdVersion:
		return fmt.Errorf("it has version %d, this is %d", s.Version, thresholdVersion)
	case s.Of != t.of:
		return errors.New("it is of another metric, bound or option")
	case !within(s.Failed, t.o.FailureLimit) || !within(s.Nothing, t.o.InconclusiveLimit) || !within(s.SourceErrors, t.o.ConsecutiveErrorLimit):
		return errors.New("its counts are beyond the limits")
	case s.sound(t.o.Interval) != nil:
		return s.sound(t.o.Interval)
	case s.Mark == nil && s.SourceErrors == 0:
		return errors.New("it has neither a measurement nor an error")
	case s.Mark != nil && s.Mark.At.After(s.At):
		return errors.New("its measurement begins after its last answer")
	}
	return t.repeatable(s)
}

// repeatable reports a last answer that the rest of s does not bear out.
func (t *Threshold) repeatable(s thresholdState) error {
	var wrong bool
	switch s.Verdict {
	case Pending:
		wrong = s.SourceErrors > t.o.ConsecutiveErrorLimit || s.Nothing > t.o.InconclusiveLimit || s.Failed > t.o.FailureLimit
	case Pass:
		n := s.N >= t.o.MinRequests && (s.N > 0 || t.metric.value != nil)
		wrong = !n || !t.bounds.Keeps(s.Value) || s.Mark == nil || s.Nothing > 0 || s.SourceErrors > 0 || s.Failed > t.o.FailureLimit
	case Fail:
		wrong = s.Failed <= t.o.FailureLimit
	case Inconclusive:
		wrong = s.SourceErrors <= t.o.ConsecutiveErrorLimit && s.Nothing <= t.o.InconclusiveLimit
	default:
		wrong = true
	}
	if wrong {
		return fmt.Errorf("its numbers do not bear out its verdict %v", s.Verdict)
	}
	return nil
}

// within reports whether a count is one that a limit allows to be reached.
func within(n, limit int) bool { return n >= 0 && n <= limit+1 }

// say sets the answer and its numbers.
func (s *thresholdState) say(c Check, v Verdict, sample Sample, reason string) {
	if !sample.finite() {
		sample = Sample{}
	}
	s.answer.say(c, v, reason)
	s.Value, s.Baseline, s.N, s.BaselineN = sample.Value, sample.Baseline, sample.N, sample.BaselineN
}

// finding is the last answer, as one to c, with its numbers.
func (s *thresholdState) finding(c Check) Finding {
	f := s.answer.finding(c)
	f.Value, f.Baseline, f.N, f.BaselineN = s.Value, s.Baseline, s.N, s.BaselineN
	return f
}

// describe is the measurement in words.
func (t *Threshold) describe(r reading) string {
	number := plainNumber
	what := fmt.Sprintf("%s of the candidate was %s", t.metric.name, number(r.sample.Value))
	if t.metric.share {
		number = percent
		did := t.metric.did
		if r.bound > 0 {
			did += " " + r.bound.String()
			if r.bound != t.metric.above {
				did += fmt.Sprintf(" (the bucket bound next below %v)", t.metric.above)
			}
		}
		what = fmt.Sprintf("candidate %s on %d of %d requests (%s)", did, r.bad, r.sample.N, number(r.sample.Value))
	} else if r.sample.N > 0 {
		what += fmt.Sprintf(" over %d samples", r.sample.N)
	}
	limit := "want " + t.bounds.text(number)
	if t.bounds.hasHigh && !t.bounds.hasLow {
		limit = "limit " + number(t.bounds.high)
	}
	what += ", " + limit
	if r.sample.BaselineN > 0 && !math.IsNaN(r.sample.Baseline) {
		what += ", stable " + number(r.sample.Baseline)
	}
	return what
}

// failures is how many of the allowed failures are used up, "" where it adds nothing.
func (t *Threshold) failures(s *thresholdState) string {
	switch {
	case t.o.FailureLimit == 0 || s.Failed == 0:
		return ""
	case s.Failed > t.o.FailureLimit:
		return fmt.Sprintf("; %d failures, allowed %d", s.Failed, t.o.FailureLimit)
	default:
		return fmt.Sprintf("; %d of %d allowed failures", s.Failed, t.o.FailureLimit)
	}
}
