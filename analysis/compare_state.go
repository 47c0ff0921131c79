// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

const compareVersion = 1

// compareState is all that a Compare remembers between two questions.
type compareState struct {
	Version int    `json:"v"`
	Of      string `json:"compare"`
	Run     uint64 `json:"run"`
	// Since is the step that Gate.Safe is about.
	Since time.Time `json:"since"`
	// Next is when the source is read again, and Mark what it said last, nil before
	// the first reading.
	Next time.Time   `json:"next"`
	Mark *countsMark `json:"mark,omitempty"`
	Gate gate        `json:"gate"`
	// Idle counts the blocks in a row without a request of the candidate,
	// SourceErrors the source's errors in a row.
	Idle         int `json:"idle,omitempty"`
	SourceErrors int `json:"sourceErrors,omitempty"`

	// The last answer.
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason"`
}

// countsMark is where a block began: the totals then.
type countsMark struct {
	At        time.Time `json:"at"`
	Stable    Counts    `json:"stable"`
	Candidate Counts    `json:"candidate"`
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
func (j *Compare) recall(c Check) (s compareState, unusable error) {
	fresh := compareState{Version: compareVersion, Of: j.of, Run: c.Run, Since: c.Since}
	if c.State == "" {
		return fresh, nil
	}
	if err := recall(c.State, &s); err != nil {
		return fresh, err
	}
	if s.Run != c.Run {
		return fresh, nil
	}
	if err := j.mine(&s); err != nil {
		return fresh, err
	}
	return s, nil
}

// mine reports a state that this Compare cannot have written.
func (j *Compare) mine(s *compareState) error {
	switch {
	case s.Version != compareVersion:
		return fmt.Errorf("it has version %d, this is %d", s.Version, compareVersion)
	case s.Of != j.of:
		return errors.New("it was written with other options")
	case !within(s.Idle, maxLimit) || !within(s.SourceErrors, j.o.ConsecutiveErrorLimit):
		return errors.New("its counts are beyond the limits")
	case s.At.IsZero() || !s.Next.After(s.At) || s.Next.After(s.At.Add(j.o.Interval)):
		return errors.New("its times do not fit the interval")
	case s.Reason == "" || s.Reason != sentence(s.Reason) || s.Verdict > Inconclusive:
		return errors.New("its answer is none")
	case s.Mark == nil && (s.SourceErrors == 0 || len(s.Gate.Questions) > 0):
		return errors.New("it has evidence without a reading")
	case s.Mark == nil:
		return nil
	case s.Mark.At.After(s.At) || s.Mark.Stable.latencyError() != nil || s.Mark.Candidate.latencyError() != nil:
		return errors.New("its last reading is none")
	}
	return s.Gate.sound(j.o, s.Verdict)
}

// sound reports evidence that observe cannot have left, or that does not bear out
// the verdict.
func (g *gate) sound(o CompareOptions, v Verdict) error {
	if n := len(g.Questions); n == 0 || n > maxBounds+1 || g.Questions[0].Above != 0 || !(g.StepN >= 0) || g.Raised < 0 {
		return errors.New("its questions are not those of a compare")
	}
	for i, q := range g.Questions {
		if i > 0 && q.Above <= g.Questions[i-1].Above {
			return errors.New("its bounds do not rise")
		}
		for _, e := range [...]*eprocess{&q.Harm, &q.Safe} {
			if !(e.N >= 0 && e.Bad >= 0 && e.Bad <= e.N && e.Stable >= 0 && e.Stable <= 1) || math.IsNaN(e.evidence()) {
				return errors.New("its evidence is not a number")
			}
		}
		if !(q.StableBad >= 0 && q.StableBad <= q.StableN) {
			return errors.New("its counts of stable are none")
		}
	}
	failed := g.harm() >= -math.Log(o.Risk) && g.Raised >= 2
	if failed != (v == Fail) || v == Safe && g.safe() < -math.Log(o.SafeRisk) || v == Pass && g.StepN == 0 {
		return fmt.Errorf("its evidence does not bear out its verdict %v", v)
	}
	return nil
}

// say sets the answer.
func (s *compareState) say(c Check, v Verdict, reason string) {
	s.At, s.Verdict, s.Reason = c.Until, v, sentence(reason)
}

// idle counts a block.
func (s *compareState) idle(requests uint64) {
	if requests > 0 {
		s.Idle = 0
		return
	}
	s.Idle = min(s.Idle+1, maxLimit)
}

// finding is the last answer, as one to c, with the numbers of the question that
// speaks most against the candidate.
func (j *Compare) finding(s compareState, c Check) Finding {
	f := c.Finding(s.Verdict, s.Reason)
	f.At = s.At
	if len(s.Gate.Questions) == 0 {
		return f
	}
	q := s.Gate.worst()
	f.Evidence = s.Gate.harm()
	f.N, f.BaselineN = uint64(q.Harm.N), uint64(q.StableN)
	if q.Harm.N > 0 {
		f.Value = q.Harm.Bad / q.Harm.N
		f.Low, f.High = confidence(q.Harm.Bad, q.Harm.N, j.o.SafeRisk)
	}
	if q.StableN > 0 {
		f.Baseline = q.StableBad / q.StableN
	}
	return f
}

// tell is the evidence in words.
func (g *gate) tell(harm float64) string {
	q := g.worst()
	did := "fails"
	if q.Above > 0 {
		did = "takes longer than " + q.Above.String() + " for"
	}
	said := fmt.Sprintf("candidate %s %s of %s requests", did, percent(q.Harm.Bad/max(q.Harm.N, 1)), grouped(q.Harm.N))
	if q.StableN > 0 {
		said += fmt.Sprintf(", stable %s of %s", percent(q.StableBad/q.StableN), grouped(q.StableN))
	} else {
		said += ", and stable got none to compare with"
	}
	return said + ": " + odds(harm)
}

// odds says how strong evidence is.
func odds(nats float64) string {
	switch n := math.Exp(min(nats, 60*math.Ln10)); {
	case n >= 1e12:
		return "more than a trillion to 1 for harm"
	case n >= 10:
		return grouped(math.Floor(n)) + " to 1 for harm"
	case n >= 1:
		return strconv.FormatFloat(n, 'f', 1, 64) + " to 1 for harm"
	default:
		return "nothing speaks for harm"
	}
}

// grouped is a whole number with its thousands apart: 108,000.
func grouped(v float64) string {
	s := []byte(strconv.FormatFloat(v, 'f', 0, 64))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = slices.Insert(s, i, ',')
	}
	return string(s)
}

// confidence is between what the share behind bad of n lies, at every look at once:
// the confidence sequence of the mixture over all shares with weights Beta(½,½)
// (Robbins, "Statistical methods related to the law of the iterated logarithm", 1970).
func confidence(bad, n, risk float64) (low, high float64) {
	lbeta := func(a, b float64) float64 {
		x, _ := math.Lgamma(a)
		y, _ := math.Lgamma(b)
		z, _ := math.Lgamma(a + b)
		return x + y - z
	}
	mixture := lbeta(bad+0.5, n-bad+0.5) - lbeta(0.5, 0.5)
	inside := func(p float64) bool {
		p = clamp(p)
		return mixture-bad*math.Log(p)-(n-bad)*math.Log1p(-p) < -math.Log(risk)
	}
	edge := func(in, out float64) float64 {
		for range 40 {
			if mid := (in + out) / 2; inside(mid) {
				in = mid
			} else {
				out = mid
			}
		}
		return (in + out) / 2
	}
	at := bad / n
	low, high = 0, 1
	if bad > 0 {
		low = edge(at, 0)
	}
	if bad < n {
		high = edge(at, 1)
	}
	return low, high
}
