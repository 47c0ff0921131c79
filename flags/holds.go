// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"net/netip"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/internal/semver"
)

func all(clauses []clause, who *Context) bool {
	for i := range clauses {
		if !clauses[i].holds(who) {
			return false
		}
	}
	return true
}

// holds reports whether the clause is true of who.
func (c *clause) holds(who *Context) bool {
	return c.any(who) != c.not
}

func (c *clause) any(who *Context) bool {
	if c.test == testSegment {
		for _, s := range c.segments {
			if s.has(who) {
				return true
			}
		}
		return false
	}
	named := false
	for i := range who.n {
		if a := &who.near[i]; a.name == c.name {
			if c.is(&a.value) {
				return true
			}
			named = true
		}
	}
	for i := range who.more {
		if a := &who.more[i]; a.name == c.name {
			if c.is(&a.value) {
				return true
			}
			named = true
		}
	}
	if named || c.name != keyAttribute || who.key == "" {
		return false
	}
	key := Value{text: who.key, kind: StringKind}
	return c.is(&key)
}

// is reports whether the test is true of one value.
func (c *clause) is(v *Value) bool {
	switch c.test {
	case testIn:
		return c.equals(v)
	case testSet:
		return v.kind == StringKind && c.set.has(v.text) || c.equals(v)
	case testExists:
		return v.kind != None
	case testLess, testAtMost, testGreater, testAtLeast:
		return v.kind == NumberKind && c.compareNumber(v.num)
	case testBefore, testAfter:
		at, ok := instant(*v)
		return ok && c.compareNumber(at)
	default:
		return v.kind == StringKind && c.isText(v.text)
	}
}

func (c *clause) equals(v *Value) bool {
	for i := range c.values {
		if w := &c.values[i]; w.kind == v.kind && w.num == v.num && w.text == v.text {
			return true
		}
	}
	return false
}

func (c *clause) compareNumber(n float64) bool {
	for _, m := range c.numbers {
		var ok bool
		switch c.test {
		case testLess, testBefore:
			ok = n < m
		case testAtMost:
			ok = n <= m
		case testGreater, testAfter:
			ok = n > m
		default:
			ok = n >= m
		}
		if ok {
			return true
		}
	}
	return false
}

func (c *clause) isText(s string) bool {
	switch c.test {
	case testMatches:
		for _, re := range c.regexps {
			if re.MatchString(s) {
				return true
			}
		}
		return false
	case testNetwork:
		return c.inNetwork(s)
	case testVerEq, testVerLt, testVerLte, testVerGt, testVerGte:
		v, ok := semver.Parse(strings.TrimPrefix(s, "v"))
		return ok && c.compareVersion(v)
	default:
		return c.matchesText(s)
	}
}

func (c *clause) matchesText(s string) bool {
	for _, t := range c.texts {
		var ok bool
		switch c.test {
		case testStarts:
			ok = strings.HasPrefix(s, t)
		case testEnds:
			ok = strings.HasSuffix(s, t)
		default:
			ok = strings.Contains(s, t)
		}
		if ok {
			return true
		}
	}
	return false
}

func (c *clause) inNetwork(s string) bool {
	address, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	for _, network := range c.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

func (c *clause) compareVersion(v semver.Version) bool {
	for i := range c.versions {
		order := v.Compare(c.versions[i])
		var ok bool
		switch c.test {
		case testVerEq:
			ok = order == 0
		case testVerLt:
			ok = order < 0
		case testVerLte:
			ok = order <= 0
		case testVerGt:
			ok = order > 0
		default:
			ok = order >= 0
		}
		if ok {
			return true
		}
	}
	return false
}

// instant is a time in seconds since 1970, of all that can be one.
func instant(v Value) (float64, bool) {
	switch v.kind {
	case TimeKind, NumberKind:
		return v.num, true
	case StringKind:
		at, err := time.Parse(time.RFC3339Nano, v.text)
		if err != nil {
			return 0, false
		}
		return Instant(at).num, true
	default:
		return 0, false
	}
}
