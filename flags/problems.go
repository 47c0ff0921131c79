// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"errors"
	"slices"
)

// errNull is what is wrong with nothing in the place of something.
var errNull = errors.New("null: leave it out, or give an object")

// standing are the source's own problems that an update says nothing new of.
func (s *snapshot) standing(u Update) []Problem {
	if u.Full {
		return nil
	}
	named := make(map[string]bool)
	for _, p := range u.Problems {
		named[p.Flag] = true
	}
	for _, key := range u.Removed {
		named[key] = true
	}
	if u.Segments != nil || u.Layers != nil || u.Holdouts != nil {
		named[""] = true
	}
	return slices.DeleteFunc(slices.Clone(s.given), func(p Problem) bool {
		_, given := u.Flags[p.Flag]
		return given || named[p.Flag]
	})
}

// problems are all that stand, in the order of the flags' keys: first those of what
// flags refer to.
func (s *snapshot) problems() []Problem {
	problems := slices.Concat(s.given, s.groups)
	open := make(map[string]bool, len(problems))
	for _, p := range problems {
		open[p.Flag] = true
	}
	for key, r := range s.refused {
		problems = append(problems, r.problems...)
		open[key] = true
	}
	// Warnings are of the form in force, which is not what the source has while there
	// is something to mend.
	for _, f := range s.flags {
		if f != nil && !open[f.source.Key] {
			problems = append(append(problems, f.warnings...), s.missing(f)...)
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Flag, b.Flag) })
	return problems
}
