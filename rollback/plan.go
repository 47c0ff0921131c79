// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Trigger says who wants to return. The zero Trigger is Automatic, which has
// the limits.
type Trigger uint8

const (
	// Automatic is a verdict's doing.
	Automatic Trigger = iota
	// Human is a person's doing. By and Why say whose and why.
	Human
)

var triggerNames = []string{"automatic", "human"}

// String is the name.
func (t Trigger) String() string { return name(triggerNames, t) }

// MarshalText writes the name.
func (t Trigger) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name.
func (t *Trigger) UnmarshalText(text []byte) error { return parse("trigger", triggerNames, t, text) }

// Outcome says how a return ended. The zero Outcome is Unfinished.
type Outcome uint8

const (
	// Unfinished means that it has not ended: call Do again with the ledger that
	// was saved.
	Unfinished Outcome = iota
	// Refused means that nothing was begun.
	Refused
	// RolledBack means that the target was seen healthy at the revision to go to.
	RolledBack
	// RollbackFailed means that it was not, and that nothing more will be done
	// about it without a person. It is final.
	RollbackFailed
)

var outcomeNames = []string{"unfinished", "refused", "rolledBack", "rollbackFailed"}

// String is the name.
func (o Outcome) String() string { return name(outcomeNames, o) }

// MarshalText writes the name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name.
func (o *Outcome) UnmarshalText(text []byte) error { return parse("outcome", outcomeNames, o, text) }

// Ask is the wish to return, with the limits that it is held to. The zero Ask is
// an automatic return to the last known good revision.
type Ask struct {
	Trigger Trigger
	// By is a person or a check, and Why one sentence. A person must give both.
	By, Why string
	// To is the ID of the revision to go to. Empty is the last known good one,
	// which is the only one that an automatic return may name.
	To string
	// Budget, Fleet and FleetBudget limit automatic returns and nothing else.
	Budget      Budget
	Fleet       Fleet
	FleetBudget FleetBudget
	// Doors are the changes that cannot be taken back. Accept names those that a
	// person goes through knowingly; an automatic return accepts none.
	Doors  []Door
	Accept []string
}

// Return is a decision to go from one revision to another, and what became of it.
type Return struct {
	// Key names the decision. It follows from the decision alone, so that whoever
	// carries it out, and however often, uses the same one.
	Key     string    `json:"key"`
	From    Revision  `json:"from"`
	To      Revision  `json:"to"`
	Trigger Trigger   `json:"trigger"`
	By      string    `json:"by,omitempty"`
	Why     string    `json:"why,omitempty"`
	At      time.Time `json:"at"`

	Outcome Outcome   `json:"outcome,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	// End is why it ended as it did.
	End string `json:"end,omitempty"`
}

// Plan decides on a return from current, given what the target has in its
// history. Every refusal is an ErrRefused, and most have an error of their own.
// It is pure: the ledger notes the decision only with Begin.
func (l Ledger) Plan(now time.Time, current Revision, history []Revision, ask Ask) (Return, error) {
	if ask.Trigger == Human && (ask.By == "" || ask.Why == "") {
		return Return{}, fmt.Errorf("a person's rollback needs By and Why: %w", ErrRefused)
	}
	if err := current.validate(); err != nil {
		return Return{}, fmt.Errorf("current: %w", err)
	}
	to, err := l.resolve(history, ask)
	if err != nil {
		return Return{}, err
	}
	if i := l.find(to.Digest); i >= 0 {
		// The ledger's word on the level holds if the target does not know it.
		to.Level = max(to.Level, l.Records[i].Revision.Level)
	}
	if to.Digest == current.Digest {
		return Return{}, fmt.Errorf("%s: %w", to, ErrAlready)
	}
	if q, bad := l.Quarantined(to.Digest); bad {
		return Return{}, fmt.Errorf("%s since %v (%s); lift it first: %w", to, q.At.Format(time.RFC3339), q.Why, ErrQuarantined)
	}
	accepted := ask.Accept
	if ask.Trigger != Human {
		accepted = nil
		if err := l.limits(now, current, ask); err != nil {
			return Return{}, err
		}
	}
	if err := Guard(to, ask.Doors, accepted); err != nil {
		return Return{}, err
	}
	return l.decide(now, current, to, ask), nil
}

// limits are what an automatic return has to respect and a person has not.
func (l Ledger) limits(now time.Time, current Revision, ask Ask) error {
	if n := len(l.Returns); l.Returned && n > 0 {
		// Nothing was deployed since. Still being where it came from means that it
		// failed, and the same again would not do better.
		if end := l.Returns[n-1]; current.Digest == end.To.Digest || current.Digest == end.From.Digest {
			return fmt.Errorf("the last return, to %s, ended as %v: %w", end.To, end.Outcome, ErrNeedsHuman)
		}
	}
	return errors.Join(ask.Budget.Allows(now, l), ask.FleetBudget.Allows(now, ask.Fleet, l.Service))
}

// resolve finds the revision to go to among those that the target has.
func (l Ledger) resolve(history []Revision, ask Ask) (Revision, error) {
	good, ok := l.LastKnownGood()
	if ask.Trigger == Human && ask.To != "" {
		to, found := pick(history, func(r Revision) bool { return r.ID == ask.To })
		if !found {
			return Revision{}, fmt.Errorf("the target has no revision %q: %w", ask.To, ErrNoTarget)
		}
		return to, to.validate()
	}
	if !ok {
		return Revision{}, fmt.Errorf("no revision has finished its bake and is out of quarantine; a person can name one: %w", ErrNoTarget)
	}
	to, found := pick(history, func(r Revision) bool { return r.Digest == good.Digest })
	switch {
	case !found:
		return Revision{}, fmt.Errorf("the last known good revision %s is no longer in the target's history; a person can name another: %w", good, ErrNoTarget)
	case ask.To != "" && ask.To != to.ID:
		return Revision{}, fmt.Errorf("an automatic return goes to the last known good revision %s, not to %q: %w", to, ask.To, ErrRefused)
	}
	return to, to.validate()
}

// pick is the newest revision that matches.
func pick(history []Revision, match func(Revision) bool) (Revision, bool) {
	for _, r := range slices.Backward(history) {
		if match(r) {
			return r, true
		}
	}
	return Revision{}, false
}

func (l Ledger) decide(now time.Time, from, to Revision, ask Ask) Return {
	// Quotes keep two decisions apart whose parts run together.
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %q %q %q", l.Service, l.Seq, from.Digest, to.Digest, to.ID))
	return Return{
		Key: hex.EncodeToString(sum[:16]), From: from, To: to,
		Trigger: ask.Trigger, By: ask.By, Why: ask.Why, At: stamp(now),
	}
}
