// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrInvalidPlan is wrapped by every *PlanError.
	ErrInvalidPlan = errors.New("strategy: invalid plan")
	// ErrInvalidRelease means that a Release does not name two different revisions on two backends.
	ErrInvalidRelease = errors.New("strategy: invalid release")
	// ErrQuarantined means that the candidate, or the revision named as stable,
	// was sent home before and nobody has lifted that.
	ErrQuarantined = errors.New("strategy: revision is quarantined")
	// ErrFlapping means that this service went home by itself a moment ago.
	ErrFlapping = errors.New("strategy: returned automatically a moment ago")
	// ErrNotHome means that a target does not serve the stable revision alone,
	// so that a run beginning now would move traffic in one jump.
	ErrNotHome = errors.New("strategy: target does not serve the stable revision alone")
	// ErrUnknown means that what has to be known to begin could not be found out.
	ErrUnknown = errors.New("strategy: target could not be observed")
	// ErrNoRun means that the service has never had a run.
	ErrNoRun = errors.New("strategy: no run")
	// ErrVersion means that a state was written by a newer release of this library.
	ErrVersion = errors.New("strategy: state is of an unknown version")
	// ErrConflict is returned by Store.Save when another writer was first.
	ErrConflict = errors.New("strategy: state was saved by another writer")
	// ErrRolledBack is wrapped by the *Outcome of a run that returned home.
	ErrRolledBack = errors.New("strategy: rolled back")
	// ErrRollbackFailed is wrapped by the *Outcome of a run that could not
	// return. A person is needed.
	ErrRollbackFailed = errors.New("strategy: rollback failed")
	// ErrPartial is wrapped by the *Outcome of a run in which some lanes were
	// promoted and some went home. A person is needed.
	ErrPartial = errors.New("strategy: partly promoted")
)

// Problem is one thing wrong with a plan.
type Problem struct {
	// Lane and Step say where; empty means the plan as a whole.
	Lane, Step string
	// Field is the name in JSON, Why what is wrong, Fix what to do.
	Field, Why, Fix string
}

// String is the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Lane != "" {
		fmt.Fprintf(&b, "lane %q: ", p.Lane)
	}
	if p.Step != "" {
		fmt.Fprintf(&b, "step %q: ", p.Step)
	}
	fmt.Fprintf(&b, "%s: %s", p.Field, p.Why)
	if p.Fix != "" {
		fmt.Fprintf(&b, "; %s", p.Fix)
	}
	return b.String()
}

// PlanError lists everything wrong with a plan, so that it is mended in one go.
type PlanError struct{ Problems []Problem }

// Error lists the problems, one a line when there are several.
func (e *PlanError) Error() string {
	if len(e.Problems) == 1 {
		return ErrInvalidPlan.Error() + ": " + e.Problems[0].String()
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "  " + p.String()
	}
	return fmt.Sprintf("%v: %d problems:\n%s", ErrInvalidPlan, len(lines), strings.Join(lines, "\n"))
}

// Is makes errors.Is(err, ErrInvalidPlan) true.
func (e *PlanError) Is(target error) bool { return target == ErrInvalidPlan }

// FlapError says until when a new departure is refused.
type FlapError struct {
	Returned time.Time
	Until    time.Time
	Why      string
}

// Error says what happened and what to do.
func (e *FlapError) Error() string {
	return fmt.Sprintf("%v: at %s because %s; start again after %s, or give Request.Override with who and why",
		ErrFlapping, e.Returned.Format(time.RFC3339), e.Why, e.Until.Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrFlapping) true.
func (e *FlapError) Is(target error) bool { return target == ErrFlapping }

// Outcome is the error of a run that did not end with the candidate promoted.
type Outcome struct {
	Service string
	Run     uint64
	Phase   Phase
	Cause   Cause
	Reason  string
}

// Error says how the run ended and why.
func (e *Outcome) Error() string {
	return fmt.Sprintf("strategy: %s: run %d ended %v (%v): %s", e.Service, e.Run, e.Phase, e.Cause, e.Reason)
}

// Is matches the sentinel of the phase.
func (e *Outcome) Is(target error) bool {
	switch target {
	case ErrRolledBack:
		return e.Phase == RolledBack
	case ErrRollbackFailed:
		return e.Phase == RollbackFailed
	case ErrPartial:
		return e.Phase == Partial
	}
	return false
}
