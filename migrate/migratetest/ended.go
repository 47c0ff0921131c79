// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"errors"

	"github.com/rheostat-go/rheostat/migrate"
)

// everything checks every row, as a version.
func (l *life) everything(v version, who string) {
	for _, c := range l.clients {
		c.check(v, who, 0)
	}
}

// shape checks the columns of the tables.
func (l *life) shape(columns []string, missing string) {
	l.r.Helper()
	var want []string
	for _, c := range columns {
		want = append(want, l.names[c])
	}
	l.r.same(l.String()+": the columns", l.r.columns(l.names["t"]), want)
	if missing != "" {
		l.r.same(l.String()+": the columns of the table that should not be there", l.r.columns(l.names[missing]), []string(nil))
	}
}

// ended checks what is left of a change that was done, or rolled back.
func (l *life) ended(p migrate.Phase) {
	r := l.r
	r.Helper()
	l.reached = p
	if got := r.load(l.change.ID).State; got.Phase != p {
		r.Errorf("%s: the record is in phase %v (%s), want %v", l, got.Phase, got.Failed, p)
		return
	}
	if p == migrate.Done {
		l.shape(l.after, l.gone)
		l.clients[2].act(l.new, "the new version")
		l.everything(l.new, "the new version")
		l.refuses()
		return
	}
	l.shape(l.before, l.made)
	l.clients[1].act(l.old, "the old version")
	l.everything(l.old, "the old version")
	if got := r.catalog(); got != l.catalog {
		r.Errorf("%s: the catalog is not as it was before\n got %s\nwant %s", l, got, l.catalog)
	}
}

// refuses tries the statements that must fail.
func (l *life) refuses() {
	l.r.Helper()
	for _, statement := range l.refused {
		text := l.r.sql(l.names, statement)
		if err := l.r.try(text); err == nil {
			l.r.Errorf("%s: %s is accepted", l, text)
		}
	}
}

// finish drops the tables.
func (l *life) finish() {
	for _, table := range []string{"t", "u"} { // t may refer to u
		if name := l.names[table]; l.r.columns(name) != nil {
			if err := l.r.try("DROP TABLE " + l.r.Quote(name)); err != nil {
				l.r.Logf("drop %s: %v", name, err)
			}
		}
	}
}

// safe says whether the database does the operations. If it is said not to, it must say so
// itself.
func (l *life) safe() bool {
	r := l.r
	r.Helper()
	unsafe := false
	for _, op := range l.change.Ops {
		unsafe = unsafe || r.Unsafe(op)
	}
	script, err := r.Database.Compile(r.ctx, l.change)
	if unsafe {
		var u *migrate.UnsafeError
		switch {
		case !errors.As(err, &u):
			r.Errorf("%s: Compile: got error %v, want an *UnsafeError, since Subject.Unsafe says so", l, err)
		case u.Op == "" || u.Why == "":
			r.Errorf("%s: the *UnsafeError does not say of what, or why: %+v", l, *u)
		}
		return false
	}
	r.must(l.String()+": Compile", err)
	r.orderly(script)
	if got := r.catalog(); got != l.catalog {
		r.Errorf("%s: Compile wrote something\n got %s\nwant %s", l, got, l.catalog)
	}
	return true
}

// orderly checks what can be told from a script alone.
func (r *run) orderly(script migrate.Script) {
	r.Helper()
	phase := migrate.Expanding
	for i, s := range script.Steps {
		switch {
		case s.Phase < phase:
			r.Errorf("step %d, %s, is of %v and follows one of %v", i+1, s.Name, s.Phase, phase)
		case s.Phase > migrate.Contracting || s.Phase == migrate.Ready || s.Phase == migrate.Switched:
			r.Errorf("step %d, %s, is of %v, in which nothing runs", i+1, s.Name, s.Phase)
		case s.Name == "":
			r.Errorf("step %d has no name", i+1)
		case s.Alone && s.Holds == "":
			r.Errorf("step %d, %s, is Alone and has no Holds", i+1, s.Name)
		case s.Walk == nil && len(s.Do) == 0:
			r.Errorf("step %d, %s, does nothing", i+1, s.Name)
		}
		phase = s.Phase
	}
}
