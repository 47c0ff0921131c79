// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/semver"
)

// op is an operator. The cheap ones come first.
type op uint8

const (
	opIn op = iota
	opNumber
	opStarts
	opEnds
	opContains
	opVersion
	opDate
	opCIDR
	opRegex
)

// order is what a comparison may come out as.
type order uint8

const (
	below order = 1 << iota
	same
	above
)

// operators are Unleash's, by name.
var operators = map[string]struct {
	op    op
	order order
	not   bool
}{
	"IN": {op: opIn}, "NOT_IN": {op: opIn, not: true},
	"STR_STARTS_WITH": {op: opStarts}, "STR_ENDS_WITH": {op: opEnds}, "STR_CONTAINS": {op: opContains},
	"NUM_EQ": {op: opNumber, order: same}, "NUM_GT": {op: opNumber, order: above}, "NUM_GTE": {op: opNumber, order: above | same},
	"NUM_LT": {op: opNumber, order: below}, "NUM_LTE": {op: opNumber, order: below | same},
	"DATE_AFTER": {op: opDate, order: above}, "DATE_BEFORE": {op: opDate, order: below},
	"SEMVER_EQ": {op: opVersion, order: same}, "SEMVER_GT": {op: opVersion, order: above}, "SEMVER_GTE": {op: opVersion, order: above | same},
	"SEMVER_LT": {op: opVersion, order: below}, "SEMVER_LTE": {op: opVersion, order: below | same},
	"REGEX": {op: opRegex}, "IN_CIDR": {op: opCIDR},
}

// setFrom is the number of values from which on a map beats comparing one by one.
const setFrom = 8

// constraint is a condition on one field.
type constraint struct {
	field string
	op    op
	order order
	not   bool
	fold  bool
	never bool // it could not be understood, and so does not hold, turned round or not

	values   []string
	set      map[string]struct{}
	number   float64
	version  semver.Version
	instant  time.Time
	regex    *regexp.Regexp
	networks []netip.Prefix
}

// constraint compiles a constraint. One that cannot be understood lets nobody in.
func (b *builder) constraint(key, path string, in *jsonConstraint) constraint {
	kind, ok := operators[in.Operator]
	c := constraint{field: in.ContextName, op: kind.op, order: kind.order, not: kind.not != in.Inverted, fold: in.CaseInsensitive}
	if !ok {
		b.warn(key, path+".operator", fmt.Errorf("the operator %q is not known, so it never holds", in.Operator))
		c.never = true
		return c
	}
	c.values = texts(in.Values)
	if err := c.ready(string(in.Value), func(text string) {
		b.warn(key, path+".values", fmt.Errorf("%q is no address or network", text))
	}); err != nil {
		b.warn(key, path+".value", fmt.Errorf("%w, so it never holds", err))
		c.never = true
	}
	return c
}

func (c *constraint) ready(value string, report func(string)) (err error) {
	switch c.op {
	case opIn:
		c.gather()
		return nil
	case opStarts, opEnds, opContains:
		if c.fold {
			for i := range c.values {
				c.values[i] = strings.ToLower(c.values[i])
			}
		}
		return nil
	case opNumber:
		c.number, err = strconv.ParseFloat(strings.TrimSpace(value), 64)
	case opDate:
		c.instant, err = time.Parse(time.RFC3339, value)
	case opVersion:
		var ok bool
		if c.version, ok = semver.Parse(value); !ok {
			err = fmt.Errorf("%q is no semantic version such as 1.4.0", value)
		}
	case opCIDR:
		if c.networks = networks(c.values, report); len(c.networks) == 0 {
			err = errors.New("there is no address or network")
		}
	case opRegex:
		if c.fold {
			value = "(?i)" + value
		}
		c.regex, err = regexp.Compile(value)
	}
	return err
}

// gather puts many values into a set.
func (c *constraint) gather() {
	if len(c.values) <= setFrom {
		return
	}
	c.set = make(map[string]struct{}, len(c.values))
	for _, v := range c.values {
		c.set[v] = struct{}{}
	}
}

// holds reports whether the constraint is true of who asks.
func (c *constraint) holds(a *asker) bool {
	if c.never {
		return false
	}
	return c.is(a) != c.not
}

func (c *constraint) is(a *asker) bool {
	switch c.op {
	case opDate:
		at, ok := a.instant(c.field)
		return ok && c.allows(at.Compare(c.instant))
	case opNumber:
		n, ok := a.number(c.field)
		return ok && (n < c.number && c.order&below != 0 || n == c.number && c.order&same != 0 || n > c.number && c.order&above != 0)
	default:
		text, ok := a.get(c.field)
		return ok && c.isText(text)
	}
}

func (c *constraint) isText(text string) bool {
	switch c.op {
	case opIn:
		if c.set != nil {
			_, ok := c.set[text]
			return ok
		}
		return slices.Contains(c.values, text)
	case opVersion:
		v, ok := semver.Parse(text)
		return ok && c.allows(v.Compare(c.version))
	case opCIDR:
		return within(c.networks, text)
	case opRegex:
		return c.regex.MatchString(text)
	default:
		return c.matches(text)
	}
}

func (c *constraint) matches(text string) bool {
	if c.fold {
		text = strings.ToLower(text)
	}
	for _, v := range c.values {
		var ok bool
		switch c.op {
		case opStarts:
			ok = strings.HasPrefix(text, v)
		case opEnds:
			ok = strings.HasSuffix(text, v)
		default:
			ok = strings.Contains(text, v)
		}
		if ok {
			return true
		}
	}
	return false
}

func (c *constraint) allows(came int) bool {
	switch {
	case came < 0:
		return c.order&below != 0
	case came == 0:
		return c.order&same != 0
	default:
		return c.order&above != 0
	}
}

// number is a field as a number.
func (a *asker) number(field string) (float64, bool) {
	v, ok := a.value(field)
	switch {
	case !ok:
		return 0, false
	case v.Kind() == flags.NumberKind:
		return v.Number(), true
	case v.Kind() == flags.StringKind:
		n, err := strconv.ParseFloat(strings.TrimSpace(v.Text()), 64)
		return n, err == nil
	default:
		return 0, false
	}
}

// instant is a field as a time.
func (a *asker) instant(field string) (time.Time, bool) {
	v, ok := a.value(field)
	switch {
	case !ok:
		return time.Time{}, false
	case v.Kind() == flags.TimeKind:
		return v.Instant(), true
	case v.Kind() == flags.StringKind:
		at, err := time.Parse(time.RFC3339, v.Text())
		return at, err == nil
	default:
		return time.Time{}, false
	}
}
