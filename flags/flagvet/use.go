// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"fmt"
	"go/token"
)

// Type is what a use takes a flag for.
type Type string

// The types of handles and of the methods of a client. Untyped is what takes any flag, such
// as flags.Client.Explain.
const (
	Untyped Type = ""
	Bool    Type = "bool"
	String  Type = "string"
	Int     Type = "int"
	Float   Type = "float"
	JSON    Type = "json"
)

// Use is a place in code that asks for a flag.
type Use struct {
	// Key is the flag's key, "" where it is not constant.
	Key string
	// Type is what the flag is taken for.
	Type Type
	// Fallback is the fallback as Go writes it, "" if it is none or not constant.
	Fallback string
	// Func is what is called, such as flags.Bool.
	Func string
	// Problem says why the key cannot be checked, "" if it can.
	Problem string
	// Pos is where the key stands.
	Pos token.Position
}

// Rule is what a finding is about. Its value is stable, for baselines and exclusions.
type Rule string

// The rules.
const (
	// Unknown is a key that the document lacks.
	Unknown Rule = "unknown-flag"
	// Unused is a flag of the document that no code asks for.
	Unused Rule = "unused-flag"
	// Stale is code around a flag that everybody gets one variant of.
	Stale Rule = "stale-flag"
	// Mismatch is a use whose type the flag's variants do not have.
	Mismatch Rule = "type-mismatch"
	// Conflict is two uses of one flag with different types.
	Conflict Rule = "type-conflict"
	// Fallback is two uses of one flag with different fallbacks.
	Fallback Rule = "fallback-conflict"
	// Unchecked is a key that is not constant.
	Unchecked Rule = "unchecked-key"
	// Unreadable is a flag of the document that cannot be read.
	Unreadable Rule = "unreadable-flag"
)

// Rules are all rules, in the order in which they are documented.
func Rules() []Rule {
	return []Rule{Unknown, Unused, Stale, Mismatch, Conflict, Fallback, Unchecked, Unreadable}
}

// about says what a rule finds, and how much it matters in SARIF's words.
func (r Rule) about() (text, level string) {
	switch r {
	case Unknown:
		return "Code asks for a flag that does not exist, and always gets its fallback.", "error"
	case Unused:
		return "A flag exists that no code asks for.", "warning"
	case Stale:
		return "Everybody gets one variant of the flag, and has for long: the code around it can go.", "warning"
	case Mismatch:
		return "Code asks for another type than the flag's variants have, and always gets its fallback.", "error"
	case Conflict:
		return "Two places take one flag for different types.", "error"
	case Fallback:
		return "Two places disagree about what happens where the flag cannot be had.", "warning"
	case Unchecked:
		return "A key is not constant, so that nothing can be said of its flag.", "note"
	case Unreadable:
		return "A flag of the document cannot be read.", "error"
	default:
		return string(r), "warning"
	}
}

// Finding is one thing that is wrong.
type Finding struct {
	// Rule is what it is about.
	Rule Rule
	// Key is the flag's key, "" if it is not known.
	Key string
	// Message is a sentence without an end, for people.
	Message string
	// Pos is where it is: in code, or in the document.
	Pos token.Position
	// Other is the place that Pos disagrees with; it is not valid if there is none.
	Other token.Position
}

// String is the finding as compilers print theirs: file, line, column, message, rule.
func (f Finding) String() string { return fmt.Sprintf("%s: %s (%s)", f.Pos, f.Message, f.Rule) }
