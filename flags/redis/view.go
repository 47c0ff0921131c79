// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// view is what a watcher knows of Redis. Its flags are those that were published, so that what
// has not changed is the same pointer in the next update, and costs nothing there.
type view struct {
	stamp  stamp
	loaded time.Time
	flags  map[string]standing
	groups [len(groups)]group
	doc    flags.Document // segments, layers and holdouts
}

// group is what is known of one of the keys that are no flag's.
type group struct {
	known  bool // it is there, or was and is lost
	lost   bool
	sum    sum
	faults []flags.Problem
}

// whole is all of it.
func (v *view) whole() flags.Update {
	u := flags.Update{Full: true, Document: flags.Document{Flags: make(map[string]*flags.Flag, len(v.flags))}}
	for key, st := range v.flags {
		if st.flag != nil {
			u.Flags[key] = st.flag
		}
		if p, is := st.problem(key); is {
			u.Problems = append(u.Problems, p)
		}
	}
	v.regroup(&u)
	return u
}

// regroup adds the segments, layers and holdouts to an update.
func (v *view) regroup(u *flags.Update) {
	u.Segments, u.Layers, u.Holdouts = maps.Clone(v.doc.Segments), maps.Clone(v.doc.Layers), maps.Clone(v.doc.Holdouts)
	if u.Segments == nil {
		u.Segments = make(map[string]*flags.Segment)
	}
	if u.Layers == nil {
		u.Layers = make(map[string]*flags.Layer)
	}
	if u.Holdouts == nil {
		u.Holdouts = make(map[string]*flags.Holdout)
	}
	for _, g := range v.groups {
		u.Problems = append(u.Problems, g.faults...)
	}
}

// delta is what a fetch has found to be different.
type delta struct {
	flags.Update
	gone       []string // flags that are not there any more
	goneGroups []int    // likewise, of groups
	grouped    bool     // segments, layers or holdouts have changed
}

func newDelta() *delta {
	return &delta{Update: flags.Update{Document: flags.Document{Flags: make(map[string]*flags.Flag)}}}
}

func (d *delta) empty() bool {
	return len(d.Flags) == 0 && len(d.Problems) == 0 && len(d.Removed) == 0 && !d.grouped
}

// take compares a value with what is known.
func (v *view) take(s *Store, name string, val value, d *delta) {
	if group, ok := strings.CutPrefix(name, s.o.Meta); ok {
		for i, g := range groups {
			if g == group {
				v.takeGroup(i, val, d)
				return
			}
		}
	}
	key := strings.TrimPrefix(name, s.o.Prefix)
	old, known := v.flags[key]
	if val.absent {
		if known {
			d.gone = append(d.gone, key)
		}
		return
	}
	if val.err == nil && known && !old.lost && old.sum == sumOf(val.text) {
		return
	}
	next := s.read(key, val)
	if known && val.err != nil && old.err != nil && old.err.Error() == next.err.Error() {
		return
	}
	if next.flag == nil {
		next.flag = old.flag
	} else {
		d.Flags[key] = next.flag
	}
	if p, is := next.problem(key); is {
		d.Problems = append(d.Problems, p)
	}
	v.flags[key] = next
}

func (v *view) takeGroup(i int, val value, d *delta) {
	old := v.groups[i]
	switch {
	case val.absent:
		if old.known {
			d.goneGroups = append(d.goneGroups, i)
		}
		return
	case val.err == nil && old.known && !old.lost && old.sum == sumOf(val.text):
		return
	case val.err != nil && len(old.faults) == 1 && old.faults[0].Err.Error() == val.err.Error():
		return
	}
	doc, problems := readGroup(groups[i], val)
	v.groups[i] = group{known: true, faults: problems}
	if val.err == nil {
		v.groups[i].sum = sumOf(val.text)
	}
	d.grouped = true
	if doc.Flags != nil { // it could be read
		v.set(i, doc)
	}
}

// set takes one group of a document over.
func (v *view) set(i int, doc flags.Document) {
	switch i {
	case 0:
		v.doc.Segments = doc.Segments
	case 1:
		v.doc.Layers = doc.Layers
	case 2:
		v.doc.Holdouts = doc.Holdouts
	}
}

var errLost = errors.New("is gone although nobody deleted it: Redis has lost data; it is kept until it is written, or deleted by name")

// settle decides on what is gone. What was lost is kept, and a Problem.
func (v *view) settle(d *delta, how departure) {
	for _, key := range d.gone {
		st := v.flags[key]
		switch {
		case how == deleted || how == missing && !st.lost:
			delete(v.flags, key)
			d.Removed = append(d.Removed, key)
		case !st.lost:
			st.lost, st.err = true, errLost
			v.flags[key] = st
			d.Problems = append(d.Problems, flags.Problem{Flag: key, Err: errLost})
		}
	}
	for _, i := range d.goneGroups {
		switch g := &v.groups[i]; {
		case how == deleted || how == missing && !g.lost:
			*g = group{}
			v.set(i, flags.Document{})
			d.grouped = true
		case !g.lost:
			g.lost, g.faults = true, []flags.Problem{{Path: groups[i], Err: errLost}}
			d.grouped = true
		}
	}
}

// departure is how something went that is not there any more.
type departure int

const (
	deleted departure = iota // somebody said so
	missing                  // nobody did, but then other programs never do
	taken                    // Redis has lost data
)
