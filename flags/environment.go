// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"maps"
	"slices"
)

// environment is what flags may refer to.
type environment struct {
	segments map[string]*segment
	layers   map[string]*lottery
	holdouts map[string]*lottery
}

// lottery draws units for a layer or a holdout.
type lottery struct {
	draw draw
	by   string
	part Percent // of a holdout: below it, a unit is held out
}

func (l *lottery) place(who *Context) (Percent, bool) {
	unit := who.unit(l.by)
	if unit == "" {
		return 0, false
	}
	return l.draw.place(unit), true
}

// segment is a Segment ready to be asked.
type segment struct {
	keys, excluded *table
	rules          [][]clause
}

func (s *segment) has(who *Context) bool {
	if s.excluded.has(who.key) {
		return false
	}
	if s.keys.has(who.key) {
		return true
	}
	for _, rule := range s.rules {
		if all(rule, who) {
			return true
		}
	}
	return false
}

// compileEnvironment readies segments, layers and holdouts. Those that are not sound
// stay as they were before, if they were.
func compileEnvironment(doc *Document, before *environment, report func(Problem)) *environment {
	if before == nil {
		before = &environment{}
	}
	env := &environment{segments: map[string]*segment{}, layers: map[string]*lottery{}, holdouts: map[string]*lottery{}}
	for _, name := range slices.Sorted(maps.Keys(doc.Segments)) {
		env.segments[name] = before.segments[name]
		if s := compileSegment(name, doc.Segments[name], report); s != nil {
			env.segments[name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Layers)) {
		l := doc.Layers[name]
		if l == nil {
			report(Problem{Path: "layers." + name, Err: errNull})
			env.layers[name] = before.layers[name]
			continue
		}
		env.layers[name] = newLottery("layer", name, l.Salt, l.By, 0)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Holdouts)) {
		h := doc.Holdouts[name]
		if h == nil {
			report(Problem{Path: "holdouts." + name, Err: errNull})
			env.holdouts[name] = before.holdouts[name]
			continue
		}
		env.holdouts[name] = newLottery("holdout", name, h.Salt, h.By, h.Percent)
	}
	return env
}

// newLottery draws with a salt of its own kind, so that a layer, a holdout and a flag of one
// name do not draw the same people.
func newLottery(kind, name, salt, by string, part Percent) *lottery {
	if salt == "" {
		salt = kind + ":" + name + ":"
	}
	d, err := newDraw(Murmur3, salt)
	if err != nil {
		panic("BUG: flags: " + err.Error())
	}
	return &lottery{draw: d, by: by, part: part}
}

func compileSegment(name string, in *Segment, report func(Problem)) *segment {
	if in == nil {
		report(Problem{Path: "segments." + name, Err: errNull})
		return nil
	}
	out := &segment{keys: setOf(in.Keys), excluded: setOf(in.Excluded)}
	sound := true
	for i, when := range in.Rules {
		clauses := compileClauses(when, &environment{}, fmt.Sprintf("segments.%s.rules[%d]", name, i), func(path string, err error) {
			sound = false
			report(Problem{Path: path, Err: err})
		})
		if len(when) == 0 {
			sound = false
			report(Problem{Path: fmt.Sprintf("segments.%s.rules[%d]", name, i), Err: fmt.Errorf("has no clause, and would have everybody in")})
		}
		out.rules = append(out.rules, clauses)
	}
	if !sound {
		return nil
	}
	return out
}

func setOf(keys []string) *table {
	set := newTable(len(keys))
	for _, key := range keys {
		set.add(key, 0)
	}
	return set
}

// trusting is an environment that has whatever the flag refers to.
func trusting(f *Flag) *environment {
	env := &environment{segments: map[string]*segment{}, layers: map[string]*lottery{}, holdouts: map[string]*lottery{}}
	for _, r := range f.Rules {
		for _, c := range r.When {
			for _, v := range c.Values {
				env.segments[v.text] = &segment{}
			}
		}
	}
	for _, name := range f.Holdouts {
		env.holdouts[name] = &lottery{}
	}
	if f.Layer != nil {
		env.layers[f.Layer.Layer] = &lottery{}
	}
	return env
}
