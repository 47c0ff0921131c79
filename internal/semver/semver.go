// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package semver reads and orders versions by semver.org 2.0.0, without heap.
package semver

import (
	"cmp"
	"strings"
)

// Version is a version without its build metadata. Numbers stay text, so that none is too
// large.
type Version struct{ Major, Minor, Patch, Pre string }

// Parse reads a version of three numbers. A leading v is none.
func Parse(s string) (Version, bool) {
	v, parts := parse(s)
	return v, parts == 3
}

// ParseShort reads a version that may lack the patch, or the minor number too: they
// are 0 then, and there is no pre-release.
func ParseShort(s string) (Version, bool) {
	v, parts := parse(s)
	return v, parts > 0
}

// parse says how many numbers there are, 0 if s is no version.
func parse(s string) (v Version, parts int) {
	s, build, tagged := strings.Cut(s, "+")
	if tagged && !identifiers(build, false) {
		return Version{}, 0
	}
	s, pre, early := strings.Cut(s, "-")
	if early && !identifiers(pre, true) {
		return Version{}, 0
	}
	v = Version{Minor: "0", Patch: "0", Pre: pre}
	var more bool
	for parts, more = 1, true; more; parts++ {
		var number string
		number, s, more = strings.Cut(s, ".")
		if !numeric(number) {
			return Version{}, 0
		}
		switch parts {
		case 1:
			v.Major = number
		case 2:
			v.Minor = number
		case 3:
			v.Patch = number
		default:
			return Version{}, 0
		}
	}
	parts--
	if parts < 3 && (early || tagged) {
		return Version{}, 0
	}
	return v, parts
}

// numeric reports whether s is a number without leading zeros.
func numeric(s string) bool { return digits(s) && (len(s) == 1 || s[0] != '0') }

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// identifiers reports whether s is identifiers with dots between. Strict ones have no
// leading zeros if they are numbers.
func identifiers(s string, strict bool) bool {
	for more := true; more; {
		var id string
		id, s, more = strings.Cut(s, ".")
		if id == "" || strict && digits(id) && !numeric(id) {
			return false
		}
		for i := range len(id) {
			c := id[i]
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' {
				return false
			}
		}
	}
	return true
}

// Compare orders by precedence: -1, 0 or 1.
func (v Version) Compare(w Version) int {
	switch c := cmp.Or(compareNumbers(v.Major, w.Major), compareNumbers(v.Minor, w.Minor), compareNumbers(v.Patch, w.Patch)); {
	case c != 0:
		return c
	case v.Pre == w.Pre:
		return 0
	case v.Pre == "":
		return 1
	case w.Pre == "":
		return -1
	}
	return comparePre(v.Pre, w.Pre)
}

func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func comparePre(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		if c := compareIdentifiers(x, y); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}

// compareIdentifiers orders numbers by size, texts as texts, and numbers before texts.
func compareIdentifiers(x, y string) int {
	switch nx, ny := digits(x), digits(y); {
	case nx && ny:
		return compareNumbers(x, y)
	case nx:
		return -1
	case ny:
		return 1
	default:
		return cmp.Compare(x, y)
	}
}
