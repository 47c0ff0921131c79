// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

import (
	"cmp"
	"fmt"
	"go/token"
	"maps"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// Options are what [Check] holds uses against. The zero value is code alone.
type Options struct {
	// Document are the flags that there are; nil is not known.
	Document *Document
	// Now is the time, by which flags are stale.
	Now time.Time
	// StaleAfter is how long a flag serves everybody one variant before it is stale, 0
	// meaning flags.StaleAfter.
	StaleAfter time.Duration
	// Evaluated is when flags were last evaluated, by key, where that is known.
	Evaluated map[string]time.Time
	// Ignore are rules that are left out.
	Ignore []Rule
}

// Check is what is wrong with the uses of flags, in the order of files. Uses at one place
// count once: a package is analysed with and without its tests.
func Check(uses []Use, options Options) []Finding {
	uses = sorted(uses)
	findings := disagreements(uses)
	if options.Document != nil {
		c := audit{Options: options, uses: uses, stale: make(map[string]flags.Stale)}
		for _, s := range options.Document.Flags.Stale(options.Now, options.StaleAfter) {
			c.stale[s.Flag.Key] = s
		}
		findings = append(findings, c.code()...)
		findings = append(findings, c.document()...)
	}
	findings = slices.DeleteFunc(findings, func(f Finding) bool { return slices.Contains(options.Ignore, f.Rule) })
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(order(a.Pos, b.Pos), cmp.Compare(a.Rule, b.Rule))
	})
	return findings
}

// sorted are the uses in the order of files, each once.
func sorted(uses []Use) []Use {
	uses = slices.Clone(uses)
	slices.SortFunc(uses, func(a, b Use) int { return cmp.Or(order(a.Pos, b.Pos), cmp.Compare(a.Func, b.Func)) })
	return slices.Compact(uses)
}

func order(a, b token.Position) int {
	return cmp.Or(cmp.Compare(a.Filename, b.Filename), cmp.Compare(a.Offset, b.Offset))
}

// disagreements are what code tells by itself. Of two uses that disagree, the later one
// is reported, against the first of its key.
func disagreements(uses []Use) []Finding {
	var findings []Finding
	typed, fallback := make(map[string]Use), make(map[string]Use)
	for _, u := range uses {
		if u.Problem != "" {
			findings = append(findings, Finding{
				Rule: Unchecked, Pos: u.Pos,
				Message: fmt.Sprintf("the flag of this %s cannot be checked: %s", u.Func, u.Problem),
			})
			continue
		}
		if u.Type == Untyped {
			continue
		}
		first, ok := typed[u.Key]
		if !ok {
			typed[u.Key] = u
		} else if first.Type != u.Type {
			findings = append(findings, Finding{
				Rule: Conflict, Key: u.Key, Pos: u.Pos, Other: first.Pos,
				Message: fmt.Sprintf("flag %q is taken for %s here and for %s at %s", u.Key, u.Type, first.Type, first.Pos),
			})
			continue // of other types, fallbacks differ anyway
		}
		if u.Fallback == "" {
			continue
		}
		first, ok = fallback[u.Key]
		if !ok {
			fallback[u.Key] = u
		} else if first.Fallback != u.Fallback {
			findings = append(findings, Finding{
				Rule: Fallback, Key: u.Key, Pos: u.Pos, Other: first.Pos,
				Message: fmt.Sprintf("flag %q falls back to %s here and to %s at %s", u.Key, u.Fallback, first.Fallback, first.Pos),
			})
		}
	}
	return findings
}

// audit holds uses against a document.
type audit struct {
	Options
	uses  []Use
	stale map[string]flags.Stale
}

// code is what is wrong at the uses.
func (c *audit) code() []Finding {
	known := slices.Sorted(maps.Keys(c.Document.places))
	var findings []Finding
	for _, u := range c.uses {
		if u.Problem != "" {
			continue
		}
		place, ok := c.Document.places[u.Key]
		if !ok {
			message := fmt.Sprintf("flag %q does not exist", u.Key)
			if near := nearest(u.Key, known); near != "" {
				message += fmt.Sprintf(": is it %q?", near)
			}
			findings = append(findings, Finding{Rule: Unknown, Key: u.Key, Pos: u.Pos, Message: message})
			continue
		}
		f := c.Document.Flags.Flags[u.Key]
		if f == nil { // it cannot be read, which is a finding of its own
			continue
		}
		if why := mismatch(f, u.Type); why != "" {
			findings = append(findings, Finding{
				Rule: Mismatch, Key: u.Key, Pos: u.Pos, Other: place,
				Message: fmt.Sprintf("flag %q is taken for %s, but %s: this always gives the fallback", u.Key, u.Type, why),
			})
			continue
		}
		if s, ok := c.stale[u.Key]; ok {
			message := fmt.Sprintf("flag %q has served everybody %s: replace it by %s, then retire the flag",
				u.Key, c.since(s), value(s))
			findings = append(findings, Finding{Rule: Stale, Key: u.Key, Pos: u.Pos, Other: place, Message: message})
		}
	}
	return findings
}

// document is what is wrong with flags, and at no use of them.
func (c *audit) document() []Finding {
	used := make(map[string]bool, len(c.uses))
	unchecked := 0
	for _, u := range c.uses {
		if u.Problem != "" {
			unchecked++
		}
		used[u.Key] = true
	}
	for _, f := range c.Document.Flags.Flags {
		for _, need := range f.Prerequisites {
			used[need.Flag] = true
		}
	}
	var findings []Finding
	for _, p := range c.Document.Flags.Problems {
		if p.Flag != "" {
			findings = append(findings, Finding{Rule: Unreadable, Key: p.Flag, Pos: c.Document.places[p.Flag], Message: fmt.Sprintf("flag %q cannot be read: %v", p.Flag, p.Err)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Document.Flags.Flags)) {
		if used[key] || c.Document.Flags.Flags[key].Permanent {
			continue
		}
		message := fmt.Sprintf("no code asks for flag %q", key)
		if s, ok := c.stale[key]; ok {
			message += fmt.Sprintf(", which has served everybody %s: retire it", c.since(s))
		} else {
			message += c.evaluated(key)
		}
		if unchecked > 0 {
			message += fmt.Sprintf(" (unless one of the %d keys that cannot be checked is its)", unchecked)
		}
		findings = append(findings, Finding{Rule: Unused, Key: key, Pos: c.Document.places[key], Message: message})
	}
	return findings
}

// since says what everybody gets of a stale flag, and for how long.
func (c *audit) since(s flags.Stale) string {
	days := int(c.Now.Sub(s.Since) / (24 * time.Hour))
	return fmt.Sprintf("%q for %d days, since %s%s", s.Variant, days, s.Since.UTC().Format(time.DateOnly), c.evaluated(s.Flag.Key))
}

func (c *audit) evaluated(key string) string {
	if at, ok := c.Evaluated[key]; ok && !at.IsZero() {
		return ", last evaluated " + at.UTC().Format(time.DateOnly)
	}
	return ""
}
