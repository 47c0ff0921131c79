// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// Other is the label value of everything that found no place of its own.
	Other = "other"
	// unknown stands for an empty value, which Prometheus cannot tell from a
	// label that is not there.
	unknown = "unknown"
	// maxLabelBytes bounds one value. Digests and names are far shorter.
	maxLabelBytes = 128
)

// clean makes any text a label value: valid UTF-8, not empty, bounded.
func clean(s string) string {
	if s == "" {
		return unknown
	}
	if len(s) > maxLabelBytes {
		s = s[:maxLabelBytes]
		// Cutting inside of a character must not add a wrong one.
		for i := 1; i < utf8.UTFMax && len(s) >= i; i++ {
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if s == "" {
		return unknown
	}
	return s
}

// known is s if it is one of the values that a label can have.
func known(s string, values []string) string {
	if slices.Contains(values, s) {
		return s
	}
	return Other
}

// firsts gives the first limit values places of their own and Other to the rest:
// for labels whose values stay, such as services.
type firsts struct {
	limit int
	has   map[string]bool
	// full is called for every use of a value that found no place.
	full func()
}

func newFirsts(limit int, full func()) *firsts {
	return &firsts{limit: limit, has: make(map[string]bool), full: full}
}

func (f *firsts) value(s string) string {
	s = clean(s)
	switch {
	case f.has[s] || s == Other:
		return s
	case len(f.has) < f.limit:
		f.has[s] = true
		return s
	}
	f.full()
	return Other
}

// lasts keeps the limit values used last: for labels whose values come and go,
// such as versions. It is small, so a slice in order of use will do.
type lasts struct {
	limit int
	order []string
	// forget is called with a value that lost its place.
	forget func(string)
}

func (l *lasts) value(s string) string {
	s = clean(s)
	if i := slices.Index(l.order, s); i >= 0 {
		l.order = append(slices.Delete(l.order, i, i+1), s)
		return s
	}
	if len(l.order) >= l.limit {
		l.forget(l.order[0])
		l.order = slices.Delete(l.order, 0, 1)
	}
	l.order = append(l.order, s)
	return s
}
