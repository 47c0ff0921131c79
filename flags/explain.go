// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explain says in lines how a flag comes to what it serves who: which gates were passed,
// which rules did not match and which clause of theirs, and where in a split the unit
// stands. It is for people, and not for the hot path.
func (c *Client) Explain(key string, who *Context) string {
	s := c.snapshot()
	if s == nil {
		return key + ": no client"
	}
	if who == nil {
		who = &nobody
	}
	f := s.find(key)
	switch {
	case c.remote != nil:
		return key + ": evaluated elsewhere\n"
	case f == nil:
		return fmt.Sprintf("%s: %v\n", key, c.absent(s, key, who).reason)
	}
	e := explanation{s: s, who: who}
	o := f.decide(s, who)
	value := "the caller's default"
	if o.variant >= 0 {
		value = fmt.Sprintf("%s = %s", f.variants[o.variant].name, f.variants[o.variant].raw)
	}
	e.say("%s for %q: %s (%v)", key, who.key, value, o.reason)
	e.flag(f, o)
	return e.text.String()
}

// explanation collects lines.
type explanation struct {
	s    *snapshot
	who  *Context
	text strings.Builder
}

func (e *explanation) say(format string, args ...any) {
	fmt.Fprintf(&e.text, format+"\n", args...)
}

func (e *explanation) flag(f *compiled, o outcome) {
	if !f.source.Enabled {
		e.say("  not enabled")
		return
	}
	if len(f.windows) > 0 {
		e.say("  schedule: now is within a window: %v", during(f.windows, time.Now()))
	}
	for i := range f.needs {
		n := &f.needs[i]
		e.say("  prerequisite %s is %s: %v", n.flag, strings.Join(n.variants, " or "), e.s.meets(n, e.who))
	}
	if f.targets != nil && o.reason != Scheduled && o.reason != Prerequired {
		e.say("  among the targets: %v", f.targets.has(e.who.key))
	}
	if o.reason.Served() && o.reason != Targeted || slices.Contains([]Reason{HeldOut, Excluded, Anonymous, Failed}, o.reason) {
		e.drawn(f, o)
	}
}

// drawn explains what comes after targets.
func (e *explanation) drawn(f *compiled, o outcome) {
	for i, h := range f.holdouts {
		place, ok := h.place(e.who)
		e.say("  holdout %s has those below %v: %s", f.source.Holdouts[i], h.part, standing(place, ok))
	}
	if f.layer != nil {
		place, ok := f.layer.place(e.who)
		e.say("  layer %s, slice from %v to %v: %s", f.source.Layer.Layer, f.from, f.to, standing(place, ok))
	}
	if o.reason == HeldOut || o.reason == Excluded {
		return
	}
	if f.logic != nil {
		e.say("  decided by logic of its own")
		return
	}
	for i := range f.rules {
		r := &f.rules[i]
		failed := slices.IndexFunc(r.when, func(c clause) bool { return !c.holds(e.who) })
		if failed >= 0 {
			e.say("  rule %s: no, for %s", r.id, r.when[failed].words(e.who))
			continue
		}
		e.say("  rule %s: yes%s", r.id, e.split(&r.serve, f))
		if o.rule == int32(i)+1 { //nolint:gosec // a handful
			return
		}
	}
	e.say("  default%s", e.split(&f.rest, f))
}

func (e *explanation) split(s *serve, f *compiled) string {
	if s.edges == nil {
		return ""
	}
	unit := e.who.unit(s.by)
	if unit == "" {
		return ": a split, and no unit to draw for"
	}
	var text strings.Builder
	fmt.Fprintf(&text, ": %q stands at %v among", unit, s.draw.place(unit))
	from := Percent(0)
	for _, edge := range s.edges {
		fmt.Fprintf(&text, " %s %v–%v", f.variants[edge.variant].name, from, edge.below)
		from = edge.below
	}
	return text.String()
}

func standing(place Percent, ok bool) string {
	if !ok {
		return "no unit to draw for"
	}
	return fmt.Sprintf("the unit stands at %v", place)
}

// words is a clause with what the context has for it.
func (c *clause) words(who *Context) string {
	if c.test == testSegment {
		return "segment"
	}
	has := "nothing"
	if v, ok := who.Get(c.name); ok {
		has = v.String()
	}
	not := ""
	if c.not {
		not = "not "
	}
	return fmt.Sprintf("%s%s %s, which is %s", not, c.name, c.op, has)
}
