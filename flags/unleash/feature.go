// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash

import (
	"slices"
	"strconv"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// feature is a feature ready to be asked. It is immutable.
type feature struct {
	name       string
	enabled    bool
	child      bool // it has parents
	parents    []parent
	strategies []strategy // one must hold, if there are any
	variants   *variants  // of the feature, where the strategy has none
}

// parent is a feature that must be on, or off, or serve one of the variants. It is nil
// where nobody is to be let in.
type parent struct {
	feature  *feature
	enabled  bool
	variants []string
}

// asker is who asks, with what is found out on the way.
type asker struct {
	// who is a copy: with a pointer here the compiler would see it off to the heap with
	// whatever else is handed out.
	who flags.Context
}

// get is a field of Unleash's context as text.
func (a *asker) get(field string) (string, bool) {
	v, ok := a.value(field)
	switch v.Kind() {
	case flags.StringKind:
		return v.Text(), ok
	case flags.NumberKind:
		return strconv.FormatFloat(v.Number(), 'f', -1, 64), ok
	case flags.BoolKind:
		return strconv.FormatBool(v.Truth()), ok
	case flags.TimeKind:
		return v.Instant().Format(time.RFC3339Nano), ok
	default:
		return "", false
	}
}

func (a *asker) value(field string) (flags.Value, bool) {
	v, ok := a.who.Get(field)
	switch {
	case ok:
		return v, true
	case field == fieldUser && a.who.Key() != "":
		return flags.Text(a.who.Key()), true
	case field == fieldTime:
		return flags.Instant(time.Now()), true
	}
	return flags.Value{}, false
}

// The fields of Unleash's context that mean something here.
const (
	fieldUser    = "userId"
	fieldSession = "sessionId"
	fieldAddress = "remoteAddress"
	fieldTime    = "currentTime"
)

// decide reports whether the feature is on, by which strategy if it has any, and why.
func (f *feature) decide(a *asker) (on bool, by *strategy, reason flags.Reason) {
	if !f.enabled {
		return false, nil, flags.Disabled
	}
	for i := range f.parents {
		if !f.parents[i].meets(a) {
			return false, nil, flags.Prerequired
		}
	}
	if len(f.strategies) == 0 {
		return true, nil, flags.Static
	}
	for i := range f.strategies {
		s := &f.strategies[i]
		if !s.holds(a) {
			continue
		}
		if s.draws() {
			return true, s, flags.Split
		}
		return true, s, flags.Matched
	}
	return false, nil, flags.Fallthrough
}

func (p *parent) meets(a *asker) bool {
	if p.feature == nil {
		return false
	}
	on, by, _ := p.feature.decide(a)
	if !p.enabled {
		return !on
	}
	if !on || len(p.variants) == 0 {
		return on
	}
	name := disabled
	if v := p.feature.choose(by, a); v != nil {
		name = v.name
	}
	return slices.Contains(p.variants, name)
}

// disabled is what Unleash calls the variant of who has none.
const disabled = "disabled"

// choose is the variant for who gets the feature by that strategy, or nil.
func (f *feature) choose(by *strategy, a *asker) *variant {
	switch {
	case by != nil && by.variants != nil:
		return by.variants.choose(a)
	case f.variants != nil:
		return f.variants.choose(a)
	default:
		return nil
	}
}

// always reports whether the feature is on for everybody while it is enabled.
func (f *feature) always() bool {
	if f.child {
		return false
	}
	if len(f.strategies) == 0 {
		return true
	}
	s := &f.strategies[0]
	return s.kind == everybody && len(s.constraints) == 0
}

// toggle is a feature as a boolean flag.
type toggle feature

// Decide is "on" or "off".
func (t *toggle) Decide(who flags.Context) (string, flags.Reason, error) {
	a := asker{who: who}
	on, _, reason := (*feature)(t).decide(&a)
	if on {
		return "on", reason, nil
	}
	return "off", reason, nil
}

// chooser is a feature's variants as a flag.
type chooser feature

// Decide is the name of the variant, "" if the feature is off or has none.
func (c *chooser) Decide(who flags.Context) (string, flags.Reason, error) {
	a := asker{who: who}
	f := (*feature)(c)
	on, by, reason := f.decide(&a)
	if !on {
		return "", reason, nil
	}
	v := f.choose(by, &a)
	if v == nil {
		return "", flags.Fallthrough, nil
	}
	return v.key, flags.Split, nil
}
