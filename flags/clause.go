// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/internal/semver"
)

// Op compares an attribute with the values of a clause.
type Op string

// The operators. A clause holds if the comparison holds for any value of the attribute
// with any value of the clause; what is of another type than the operator compares
// does not.
const (
	In         Op = "in"          // equal, type and all
	StartsWith Op = "starts_with" // of strings
	EndsWith   Op = "ends_with"   // of strings
	Contains   Op = "contains"    // of strings
	Matches    Op = "matches"     // a regular expression of Go, anywhere in a string
	Less       Op = "lt"          // of numbers
	AtMost     Op = "lte"         // of numbers
	Greater    Op = "gt"          // of numbers
	AtLeast    Op = "gte"         // of numbers
	SemVerEq   Op = "semver_eq"   // of versions by semver.org: build metadata does not count
	SemVerLt   Op = "semver_lt"
	SemVerLte  Op = "semver_lte"
	SemVerGt   Op = "semver_gt"
	SemVerGte  Op = "semver_gte"
	Before     Op = "before"  // of times, or strings in RFC 3339, or numbers of seconds since 1970
	After      Op = "after"   // likewise
	CIDR       Op = "cidr"    // a string that is an address within a network
	Exists     Op = "exists"  // the attribute is there; no values
	InSegment  Op = "segment" // the context is in one of the segments; no attribute
)

// Clause is one condition of a rule or a segment.
type Clause struct {
	// Attribute is its name; "key" is the unit's key.
	Attribute string `json:"attribute,omitempty"`
	Op        Op     `json:"op"`
	// Values to compare with. Regular expressions, versions, times and networks
	// are strings.
	Values []Value `json:"values,omitempty"`
	// Not turns the clause round: it then holds, too, if there is no such attribute.
	Not bool `json:"not,omitempty"`
}

// setFrom is the number of strings from which on a map beats comparing one by one.
const setFrom = 8

// clause is a Clause ready to be tested.
type clause struct {
	name string
	op   Op
	test test
	not  bool
	cost uint8 // of a test, roughly in units of a comparison

	values   []Value // of In, but for the strings in set
	set      *table
	texts    []string
	numbers  []float64
	regexps  []*regexp.Regexp
	versions []semver.Version
	networks []netip.Prefix
	segments []*segment
}

// test is an Op as a small number, which is what a switch is fast with.
type test uint8

const (
	testIn test = iota
	testSet
	testStarts
	testEnds
	testContains
	testMatches
	testLess
	testAtMost
	testGreater
	testAtLeast
	testVerEq
	testVerLt
	testVerLte
	testVerGt
	testVerGte
	testBefore
	testAfter
	testNetwork
	testExists
	testSegment
)

// tests are the operators' numbers and costs.
var tests = map[Op]struct {
	test test
	cost uint8
}{
	In: {testIn, 1}, Exists: {testExists, 0},
	Less: {testLess, 1}, AtMost: {testAtMost, 1}, Greater: {testGreater, 1}, AtLeast: {testAtLeast, 1},
	StartsWith: {testStarts, 2}, EndsWith: {testEnds, 2}, Contains: {testContains, 4},
	SemVerEq: {testVerEq, 8}, SemVerLt: {testVerLt, 8}, SemVerLte: {testVerLte, 8}, SemVerGt: {testVerGt, 8}, SemVerGte: {testVerGte, 8},
	Before: {testBefore, 10}, After: {testAfter, 10}, CIDR: {testNetwork, 12}, InSegment: {testSegment, 15}, Matches: {testMatches, 50},
}

func compileClause(c Clause, env *environment) (clause, string, error) {
	kind, ok := tests[c.Op]
	if !ok {
		return clause{}, "op", fmt.Errorf("there is no operator %q", string(c.Op))
	}
	out := clause{name: c.Attribute, op: c.Op, test: kind.test, cost: kind.cost, not: c.Not}
	switch {
	case c.Op == InSegment && c.Attribute != "":
		return clause{}, "attribute", fmt.Errorf("%s asks for the whole context: leave it out", InSegment)
	case c.Op != InSegment && c.Attribute == "":
		return clause{}, "attribute", fmt.Errorf("missing: name the attribute, or %q", keyAttribute)
	case c.Op == Exists && len(c.Values) > 0:
		return clause{}, "values", fmt.Errorf("%s takes none", Exists)
	case c.Op != Exists && len(c.Values) == 0:
		return clause{}, "values", fmt.Errorf("missing: without any the clause would never hold")
	}
	for i, v := range c.Values {
		if err := out.add(v, env); err != nil {
			return clause{}, fmt.Sprintf("values[%d]", i), err
		}
	}
	if out.test == testIn {
		out.gather()
	}
	return out, "", nil
}

// add readies one value.
func (c *clause) add(v Value, env *environment) error {
	if math.IsNaN(v.num) || math.IsInf(v.num, 0) {
		return fmt.Errorf("%v is no number that could be written", v)
	}
	switch c.test {
	case testIn:
		if v.kind == None {
			return fmt.Errorf("null is no value: use %s", Exists)
		}
		c.values = append(c.values, v)
		return nil
	case testLess, testAtMost, testGreater, testAtLeast:
		if v.kind != NumberKind {
			return fmt.Errorf("%v is no number", v)
		}
		c.numbers = append(c.numbers, v.num)
		return nil
	case testBefore, testAfter:
		at, ok := instant(v)
		if !ok {
			return fmt.Errorf("%v is no time: write it as 2026-01-31T12:00:00Z", v)
		}
		c.numbers = append(c.numbers, at)
		return nil
	default:
		return c.addText(v, env)
	}
}

// addText readies a value of an operator that compares strings.
func (c *clause) addText(v Value, env *environment) error {
	if v.kind != StringKind {
		return fmt.Errorf("%v is no string", v)
	}
	switch c.test {
	case testMatches:
		re, err := regexp.Compile(v.text)
		if err != nil {
			return err
		}
		c.regexps = append(c.regexps, re)
	case testVerEq, testVerLt, testVerLte, testVerGt, testVerGte:
		ver, ok := semver.Parse(strings.TrimPrefix(v.text, "v"))
		if !ok {
			return fmt.Errorf("%v is no semantic version such as 1.4.0", v)
		}
		c.versions = append(c.versions, ver)
	case testNetwork:
		network, err := netip.ParsePrefix(v.text)
		if err != nil {
			address, err2 := netip.ParseAddr(v.text)
			if err2 != nil {
				return err
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		c.networks = append(c.networks, network.Masked())
	case testSegment:
		s := env.segments[v.text]
		if s == nil {
			return fmt.Errorf("there is no segment %v", v)
		}
		c.segments = append(c.segments, s)
	default:
		c.texts = append(c.texts, v.text)
	}
	return nil
}

// gather puts many strings into a set.
func (c *clause) gather() {
	if len(c.values) <= setFrom {
		return
	}
	var others []Value
	c.set = newTable(len(c.values))
	for _, v := range c.values {
		if v.kind == StringKind && v.text != "" {
			c.set.add(v.text, 0)
		} else {
			others = append(others, v)
		}
	}
	c.values, c.test, c.cost = others, testSet, c.cost+2
}

// compileClauses readies clauses that must all hold, the cheap ones first.
func compileClauses(in []Clause, env *environment, path string, fail func(string, error)) []clause {
	out := make([]clause, 0, len(in))
	for i := range in {
		compiled, field, err := compileClause(in[i], env)
		if err != nil {
			fail(fmt.Sprintf("%s[%d].%s", path, i, field), err)
			continue
		}
		out = append(out, compiled)
	}
	slices.SortStableFunc(out, func(a, b clause) int { return cmp.Compare(a.cost, b.cost) })
	return out
}
