// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
)

// snapshot is all flags at one instant, ready to be evaluated. It never changes.
type snapshot struct {
	id uint64 // never the same twice in this process
	// index are the places of keys in flags. Snapshots share it while no key is new,
	// so that an update copies pointers and no map.
	index *table
	flags []*compiled // nil where a flag is gone
	env   *environment
	doc   Document // segments, layers and holdouts as written
	live  int      // how many flags there are
	fresh bool     // something is not as it was in the snapshot before
	// given are the source's own problems, groups those of segments, layers and holdouts.
	given, groups []Problem
	// refused are flags that were not sound when they came.
	refused map[string]refusal
	// replaced is closed when another snapshot takes over.
	replaced chan struct{}
}

// refusal is a flag that is not sound, and why.
type refusal struct {
	flag     *Flag
	problems []Problem
}

var snapshots atomic.Uint64

// find is the flag of that key, or nil.
func (s *snapshot) find(key string) *compiled {
	if i, ok := s.index.find(key); ok {
		return s.flags[i]
	}
	return nil
}

// with is the snapshot after an update. What is not sound in the update keeps the
// last form that was, and is reported.
func (s *snapshot) with(u Update) (*snapshot, []Problem) {
	next := &snapshot{id: snapshots.Add(1), index: s.index, env: s.env, groups: s.groups, replaced: make(chan struct{})}
	next.given = append(s.standing(u), u.Problems...)
	problems := slices.Clone(u.Problems)
	moved := next.environ(s, u)
	if moved {
		problems = append(problems, next.groups...)
	}
	if u.Full {
		next.start(s, u)
	} else {
		next.flags, next.live = slices.Clone(s.flags), s.live
		for _, key := range u.Removed {
			next.remove(key)
		}
	}
	next.fresh = moved || next.live != s.live
	problems = append(problems, next.insert(next.pending(s, u, moved), s.refused, moved)...)
	next.compact()
	return next, problems
}

// remove takes a flag away.
func (s *snapshot) remove(key string) {
	if i, ok := s.index.find(key); ok && s.flags[i] != nil {
		s.flags[i] = nil
		s.live--
	}
}

// compact forgets the keys of flags that are gone, once they are most of all.
func (s *snapshot) compact() {
	if len(s.flags) <= 2*s.live+compactFrom {
		return
	}
	flags := s.flags
	s.index, s.flags, s.live = newTable(s.live), nil, 0
	for _, f := range flags {
		if f != nil {
			s.put(f)
		}
	}
}

// compactFrom is how many keys of flags that are gone are no burden.
const compactFrom = 64

// pending are the flags to be looked at: those that have changed, those that were
// refused before, since what they lacked may have come, and all others, too, if
// what they refer to has moved.
func (s *snapshot) pending(before *snapshot, u Update, moved bool) map[string]*Flag {
	pending := make(map[string]*Flag, len(u.Flags)+len(before.refused))
	if !u.Full {
		for key, r := range before.refused {
			pending[key] = r.flag
		}
		for _, key := range u.Removed {
			delete(pending, key)
		}
		for _, p := range u.Problems { // what has come last cannot even be read
			delete(pending, p.Flag)
		}
	}
	if moved {
		for _, f := range s.flags {
			if f != nil && pending[f.source.Key] == nil {
				pending[f.source.Key] = f.source
			}
		}
	}
	maps.Copy(pending, u.Flags)
	return pending
}

// start lays out the flags that survive a full update: those it has, and those that
// it could not read.
func (s *snapshot) start(before *snapshot, u Update) {
	s.index = newTable(len(u.Flags))
	keep := func(key string) {
		if f := before.find(key); f != nil {
			s.put(f)
		}
	}
	for key := range u.Flags {
		keep(key)
	}
	for _, p := range u.Problems {
		if !s.index.has(p.Flag) {
			keep(p.Flag)
		}
	}
}

// put stores a flag under its key. The index must be this snapshot's own if the
// key is new.
func (s *snapshot) put(f *compiled) {
	if i, ok := s.index.add(f.source.Key, int32(len(s.flags))); ok { //nolint:gosec // fewer than two billion flags
		if s.flags[i] == nil {
			s.live++
		}
		s.flags[i] = f
		return
	}
	s.flags = append(s.flags, f)
	s.live++
}

// insert compiles flags and stores those that are sound. A flag that is the one it has
// is left alone, unless what it refers to has moved.
func (s *snapshot) insert(pending map[string]*Flag, refused map[string]refusal, moved bool) []Problem {
	var problems []Problem
	var ready []*compiled
	own := false
	s.refused = make(map[string]refusal)
	for _, key := range slices.Sorted(maps.Keys(pending)) {
		f := pending[key]
		old := s.find(key)
		if old != nil && !moved && old.source == f {
			continue
		}
		next, found := compileAs(key, f, s.env)
		if next == nil {
			s.refused[key] = refusal{f, found}
			if !refused[key].is(f, found) {
				problems = append(problems, found...)
			}
			continue
		}
		problems, next.warnings = append(problems, found...), found
		if old != nil {
			next.seen = old.seen
		}
		if !own && !s.index.has(key) {
			s.index, own = s.index.clone(), true
		}
		ready = append(ready, next)
	}
	return append(problems, s.link(ready, refused)...)
}

// is reports whether the flag has been refused for the same reasons already.
func (r refusal) is(f *Flag, problems []Problem) bool {
	return r.flag == f && slices.EqualFunc(r.problems, problems, func(p, q Problem) bool { return p.Error() == q.Error() })
}

// compileAs readies the flag that came under key.
func compileAs(key string, f *Flag, env *environment) (*compiled, []Problem) {
	switch {
	case f == nil:
		return nil, []Problem{{Flag: key, Err: errNull}}
	case f.Key != key:
		return nil, []Problem{{Flag: key, Path: "key", Err: fmt.Errorf("says %q", f.Key)}}
	}
	return compile(f, env)
}

// link stores flags one by one, and refuses those that would close a circle of
// prerequisites. Others may have to go first: it goes round until nothing moves.
func (s *snapshot) link(ready []*compiled, refused map[string]refusal) []Problem {
	var linked []*compiled
	for {
		var circular []*compiled
		for _, f := range ready {
			if s.reaches(f.needs, f.source.Key, make(map[string]bool)) {
				circular = append(circular, f)
				continue
			}
			s.put(f)
			s.fresh, linked = true, append(linked, f)
		}
		if len(circular) == 0 {
			return s.missing(linked...)
		}
		if len(circular) == len(ready) {
			problems := s.missing(linked...)
			for _, f := range circular {
				key := f.source.Key
				why := []Problem{{Flag: key, Path: "prerequisites", Err: fmt.Errorf("the flag needs itself, by way of others")}}
				if s.refused[key] = (refusal{f.source, why}); !refused[key].is(f.source, why) {
					problems = append(problems, why...)
				}
			}
			return problems
		}
		ready = circular
	}
}

// reaches reports whether prerequisites lead to the flag of that key.
func (s *snapshot) reaches(needs []need, key string, seen map[string]bool) bool {
	for _, n := range needs {
		if n.flag == key {
			return true
		}
		if f := s.find(n.flag); f != nil && !seen[n.flag] {
			seen[n.flag] = true
			if s.reaches(f.needs, key, seen) {
				return true
			}
		}
	}
	return false
}

// missing warns of prerequisites that do not exist.
func (s *snapshot) missing(flags ...*compiled) []Problem {
	var problems []Problem
	for _, f := range flags {
		for i, n := range f.needs {
			if s.find(n.flag) == nil {
				problems = append(problems, Problem{
					Flag: f.source.Key, Path: fmt.Sprintf("prerequisites[%d].flag", i), Warning: true,
					Err: fmt.Errorf("there is no flag %q, so nobody is let in", n.flag),
				})
			}
		}
	}
	return problems
}

// environ takes over or compiles what flags refer to, and reports whether it moved.
func (s *snapshot) environ(before *snapshot, u Update) bool {
	s.doc = Document{Segments: before.doc.Segments, Layers: before.doc.Layers, Holdouts: before.doc.Holdouts}
	if u.Full || u.Segments != nil {
		s.doc.Segments = u.Segments
	}
	if u.Full || u.Layers != nil {
		s.doc.Layers = u.Layers
	}
	if u.Full || u.Holdouts != nil {
		s.doc.Holdouts = u.Holdouts
	}
	if s.env != nil && reflect.DeepEqual(s.doc.Segments, before.doc.Segments) &&
		reflect.DeepEqual(s.doc.Layers, before.doc.Layers) && reflect.DeepEqual(s.doc.Holdouts, before.doc.Holdouts) {
		return false
	}
	s.groups = nil
	s.env = compileEnvironment(&s.doc, before.env, func(p Problem) { s.groups = append(s.groups, p) })
	return true
}

// document is the flags as they were written.
func (s *snapshot) document() Document {
	doc := s.doc
	doc.Flags = make(map[string]*Flag, len(s.flags))
	for _, f := range s.flags {
		if f != nil {
			doc.Flags[f.source.Key] = f.source
		}
	}
	return doc
}
