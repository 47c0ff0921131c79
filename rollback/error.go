// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"errors"
	"fmt"
)

var (
	// ErrConflict means that something was changed by somebody else between
	// being read and being written: look again. Targets return it from Apply,
	// and a Save function returns it for a ledger whose Rev is not the next.
	ErrConflict = errors.New("rollback: changed by somebody else")
	// ErrRefused means no, and no again next time: a target returns it from
	// Preflight and Apply, and every refusal of a plan is one.
	ErrRefused = errors.New("rollback: refused")
	// ErrOvertaken means that another revision was deployed meanwhile. It is
	// left alone: whoever deployed it knew better than an older decision.
	ErrOvertaken = errors.New("rollback: another revision was deployed meanwhile")
	// ErrDeadline means that the target was not healthy in time.
	ErrDeadline = errors.New("rollback: not healthy before the deadline")
	// ErrFailed means that the target itself says it will not get there.
	ErrFailed = errors.New("rollback: the target failed")
)

// The refusals. Each one is also an ErrRefused.
var (
	// ErrNoTarget means that there is no revision to go to.
	ErrNoTarget = refusal("no revision to return to")
	// ErrAlready means that the revision to go to is the current one.
	ErrAlready = refusal("already there")
	// ErrQuarantined means that the revision to go to was rolled back itself.
	ErrQuarantined = refusal("in quarantine")
	// ErrOneWay means that a door has closed behind the revision to go to.
	ErrOneWay = refusal("cannot be taken back")
	// ErrNeedsHuman means that the last thing that happened was a rollback, so
	// this one would take it back or repeat it: that is for a person to decide.
	ErrNeedsHuman = refusal("a rollback of a rollback needs a person")
	// ErrBudget means that the service has used up its automatic returns.
	ErrBudget = refusal("the service's automatic returns are used up")
	// ErrFleetBudget means that so many services are returning that the cause is
	// likely to be a shared one, which no rollback cures.
	ErrFleetBudget = refusal("too many services are returning at once; a shared cause is likely")
)

type refusalError struct{ text string }

func refusal(text string) error { return &refusalError{text} }

func (e *refusalError) Error() string        { return "rollback: refused: " + e.text }
func (e *refusalError) Is(target error) bool { return target == ErrRefused }

// Error is what Do returns unless the outcome is RolledBack. It says how far it
// came; errors.Is finds the cause.
type Error struct {
	Service string
	Outcome Outcome
	// Return is what was decided, zero if nothing was.
	Return Return
	// Doing is what was being done when it ended.
	Doing string
	// Applied says that the target has accepted the revision to go to, as far as
	// is known. Applies counts the times it was asked.
	Applied bool
	Applies int
	// Last is the last status that was seen.
	Last Status
	Err  error
}

// Error says what was not done, how far it came and why.
func (e *Error) Error() string {
	where := ""
	if e.Return.Key != "" {
		where = fmt.Sprintf(" from %s to %s", e.Return.From, e.Return.To)
	}
	far := "nothing was changed"
	switch {
	case e.Applied:
		far = "the target had accepted it"
	case e.Applies > 0:
		far = fmt.Sprintf("asked the target %d times", e.Applies)
	}
	return fmt.Sprintf("rollback of %s%s: %v while %s (%s): %v", e.Service, where, e.Outcome, e.Doing, far, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Page reports whether a person must be called: a return that was wanted did not
// happen. An Unfinished one is not over: call Do again.
func (e *Error) Page() bool {
	return e.Outcome == RollbackFailed || e.Outcome == Refused && !errors.Is(e.Err, ErrAlready)
}
