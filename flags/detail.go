// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import "errors"

// Reason says why a value is what it is.
type Reason uint8

// The reasons. Whatever comes before Fallthrough is served because somebody was not
// let in or nothing could be decided; see [Reason.Served].
const (
	// Unknown is the zero Reason.
	Unknown Reason = iota
	// NotReady: the client has had no flags yet. The caller's default.
	NotReady
	// NotFound: there is no such flag. The caller's default.
	NotFound
	// TypeMismatch: the flag is of another type than the caller asks for. The
	// caller's default.
	TypeMismatch
	// Failed: the flag's logic failed. The caller's default.
	Failed
	// Disabled: the flag is not enabled.
	Disabled
	// Scheduled: it is outside of the flag's schedule.
	Scheduled
	// Prerequired: a prerequisite does not hold.
	Prerequired
	// HeldOut: the unit is in a holdout.
	HeldOut
	// Excluded: the unit is outside of the flag's slice of its layer.
	Excluded
	// Anonymous: a split needs a unit, and the context has none.
	Anonymous
	// Fallthrough: no rule matched, and everybody gets the default.
	Fallthrough
	// Static: the flag serves everybody one variant.
	Static
	// Targeted: the unit is among the flag's targets.
	Targeted
	// Matched: a rule matched.
	Matched
	// Split: the unit's place in a split decided, of the default or of a rule.
	Split
)

var reasons = [...]string{
	"unknown", "not ready", "not found", "type mismatch", "failed", "disabled", "scheduled", "prerequisite",
	"held out", "excluded by layer", "anonymous", "fallthrough", "static", "targeted", "rule", "split",
}

// String is the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return reasons[Unknown]
}

// OpenFeature is the reason in the words of OpenFeature's specification: STATIC,
// DEFAULT, TARGETING_MATCH, SPLIT, DISABLED, ERROR or UNKNOWN.
func (r Reason) OpenFeature() string {
	switch r {
	case Disabled:
		return "DISABLED"
	case Static:
		return "STATIC"
	case Targeted, Matched:
		return "TARGETING_MATCH"
	case Split:
		return "SPLIT"
	case Fallthrough, Scheduled, Prerequired, HeldOut, Excluded, Anonymous:
		return "DEFAULT"
	case NotReady, NotFound, TypeMismatch, Failed:
		return "ERROR"
	default:
		return "UNKNOWN"
	}
}

// Served reports whether the flag's targets, rules, splits or default decided.
func (r Reason) Served() bool { return r >= Fallthrough }

// Failure reports whether the value is the caller's default because the flag could
// not be had.
func (r Reason) Failure() bool { return r > Unknown && r < Disabled }

// Detail is a value and how it came about.
type Detail[T any] struct {
	Value T
	// Variant is the name of the variant, "" for the caller's default.
	Variant string
	Reason  Reason
	// Rule is the ID or number of the rule that matched, "" if none did.
	Rule string
	// Version of the flag, 0 if not known.
	Version int64
}

var (
	// ErrNotFound is returned where a flag is asked for that is not there.
	ErrNotFound = errors.New("flag not found")
	// ErrConflict is returned where a write is based on a version that is not the
	// newest any more. Nothing was written.
	ErrConflict = errors.New("flag has changed meanwhile")
	// ErrInvalid is what every Problem is that keeps a flag from being used.
	ErrInvalid = errors.New("invalid flag")
)

// Problem is something wrong with a flag, or with what it refers to.
type Problem struct {
	// Flag is the key, or "" of a problem with the document.
	Flag string
	// Path is the field, such as rules[2].when[0].values[1].
	Path string
	// Err says what is wrong and what would be right.
	Err error
	// Warning is true of a flag that is used nevertheless.
	Warning bool
}

// Error is the problem in one line.
func (p Problem) Error() string {
	text := "flags: "
	if p.Flag != "" {
		text += p.Flag + ": "
	}
	if p.Path != "" {
		text += p.Path + ": "
	}
	return text + p.Err.Error()
}

// Unwrap is Err, and ErrInvalid unless it is a warning.
func (p Problem) Unwrap() []error {
	if p.Warning {
		return []error{p.Err}
	}
	return []error{ErrInvalid, p.Err}
}
