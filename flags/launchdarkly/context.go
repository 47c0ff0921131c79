// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly

import (
	"strings"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldattr"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"

	"github.com/rheostat-go/rheostat/flags"
)

// context is who as LaunchDarkly has it, and false for nobody.
func (e *Evaluator) context(who *flags.Context) (ldcontext.Context, bool) {
	key := who.Key()
	if key == "" {
		key = e.options.Nobody
	}
	if key == "" {
		return ldcontext.Context{}, false
	}
	b := ldcontext.NewBuilder(key).Kind(ldcontext.Kind(e.options.Kind))
	if e.nested(who) {
		for name, value := range who.Map() {
			set(b, name, ldvalue.CopyArbitraryValue(written(value)))
		}
	} else {
		e.fill(b, who)
	}
	if who.Key() == "" {
		b.Anonymous(true)
	}
	return b.Build(), true
}

// nested reports whether names with dots are to become objects.
func (e *Evaluator) nested(who *flags.Context) bool {
	if e.options.Flat {
		return false
	}
	for name := range who.All() {
		if strings.Contains(name, ".") {
			return true
		}
	}
	return false
}

// fill sets attributes by their names.
func (e *Evaluator) fill(b *ldcontext.Builder, who *flags.Context) {
	seen := 0
	for name, value := range who.All() {
		n, first := count(who, name, seen)
		seen++
		switch {
		case !first: // it came with the first of its name
		case n == 1:
			set(b, name, valueOf(value))
		default:
			set(b, name, gather(who, name, n))
		}
	}
}

// count is how often a name is given, and whether the one at that place is the first.
func count(who *flags.Context, name string, at int) (n int, first bool) {
	first = true
	place := 0
	for other := range who.All() {
		if other == name {
			n++
			first = first && place >= at
		}
		place++
	}
	return n, first
}

// gather is all values of a name.
func gather(who *flags.Context, name string, n int) ldvalue.Value {
	list := ldvalue.ArrayBuildWithCapacity(n)
	for other, value := range who.All() {
		if other == name {
			list.Add(valueOf(value))
		}
	}
	return list.Build()
}

// set sets an attribute, unless its name would change whose context it is.
func set(b *ldcontext.Builder, name string, value ldvalue.Value) {
	switch name {
	case ldattr.KeyAttr, ldattr.KindAttr, targetingKey:
		return
	}
	b.TrySetValue(name, value) // what has the wrong type for its name does not count
}

// targetingKey is where flags.Context.Map has the key.
const targetingKey = "targetingKey"

func valueOf(v flags.Value) ldvalue.Value {
	switch v.Kind() {
	case flags.StringKind:
		return ldvalue.String(v.Text())
	case flags.BoolKind:
		return ldvalue.Bool(v.Truth())
	case flags.TimeKind:
		return ldvalue.String(v.Instant().Format(time.RFC3339Nano))
	case flags.NumberKind, flags.None, flags.ObjectKind:
		return ldvalue.Float64(v.Number())
	default:
		return ldvalue.Float64(v.Number())
	}
}

// written has times as strings, wherever they are.
func written(value any) any {
	switch v := value.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []any:
		for i := range v {
			v[i] = written(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = written(v[name])
		}
	}
	return value
}
