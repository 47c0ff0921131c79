// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"strings"
)

// version is a semantic version. Numbers stay text, so that none is too large.
type version struct {
	major, minor, patch string
	pre                 string
}

// parseVersion reads a version by semver.org 2.0.0, with a leading v allowed. It
// does not allocate.
func parseVersion(s string) (v version, ok bool) {
	s = strings.TrimPrefix(s, "v")
	if i := strings.IndexByte(s, '+'); i >= 0 {
		if !identifiers(s[i+1:], false) {
			return version{}, false
		}
		s = s[:i]
	}
	if i := strings.IndexByte(s, '-'); i >= 0 {
		v.pre = s[i+1:]
		if !identifiers(v.pre, true) {
			return version{}, false
		}
		s = s[:i]
	}
	var rest string
	v.major, rest, ok = strings.Cut(s, ".")
	if !ok {
		return version{}, false
	}
	v.minor, v.patch, ok = strings.Cut(rest, ".")
	return v, ok && numeric(v.major) && numeric(v.minor) && numeric(v.patch)
}

// numeric reports whether s is a number without leading zeros.
func numeric(s string) bool {
	return digits(s) && (len(s) == 1 || s[0] != '0')
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// identifiers reports whether s is identifiers with dots between. Those of a
// pre-release that are numbers have no leading zeros.
func identifiers(s string, strict bool) bool {
	for {
		id, rest, more := strings.Cut(s, ".")
		if id == "" || strict && digits(id) && !numeric(id) {
			return false
		}
		for i := range len(id) {
			c := id[i]
			if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' {
				return false
			}
		}
		if !more {
			return true
		}
		s = rest
	}
}

// compare orders by precedence: -1, 0 or 1.
func (v *version) compare(w *version) int {
	if c := compareNumeric(v.major, w.major); c != 0 {
		return c
	}
	if c := compareNumeric(v.minor, w.minor); c != 0 {
		return c
	}
	if c := compareNumeric(v.patch, w.patch); c != 0 {
		return c
	}
	switch {
	case v.pre == w.pre:
		return 0
	case v.pre == "":
		return 1
	case w.pre == "":
		return -1
	}
	return comparePre(v.pre, w.pre)
}

func compareNumeric(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

func comparePre(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		var c int
		switch nx, ny := digits(x), digits(y); {
		case nx && ny:
			c = compareNumeric(x, y)
		case nx:
			c = -1
		case ny:
			c = 1
		default:
			c = cmp.Compare(x, y)
		}
		switch {
		case c != 0:
			return c
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
