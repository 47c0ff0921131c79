// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"time"
)

// answer is what a judge said last and repeats until it looks again: a part of its
// state.
type answer struct {
	// Next is when it looks again.
	Next time.Time `json:"next"`

	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason"`
}

// given reports whether there is an answer to repeat.
func (a *answer) given() bool { return !a.At.IsZero() }

// early reports whether the moment lies before the next look. A clock that was set
// back by more than an interval does not count as early: it would keep an old verdict
// alive for as long.
func (a *answer) early(now time.Time, interval time.Duration) bool {
	return now.Before(a.Next) && !now.Before(a.At.Add(-interval))
}

// say sets the answer.
func (a *answer) say(c Check, v Verdict, reason string) {
	a.At, a.Verdict, a.Reason = c.Until, v, sentence(reason)
}

// finding is the answer as one to c, without numbers.
func (a *answer) finding(c Check) Finding {
	f := c.Finding(a.Verdict, a.Reason)
	f.At = a.At
	return f
}

// sound reports an answer that a judge cannot have given who looks once in an interval.
func (a *answer) sound(interval time.Duration) error {
	switch {
	case a.At.IsZero() || !a.Next.After(a.At) || a.Next.After(a.At.Add(interval)):
		return errors.New("its times do not fit the interval")
	case a.Reason == "" || a.Reason != sentence(a.Reason) || a.Verdict > Inconclusive:
		return errors.New("its answer is none")
	}
	return nil
}
