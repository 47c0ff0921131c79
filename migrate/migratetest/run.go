// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// caseTimeout bounds one case, so that a database that hangs fails by name.
const caseTimeout = 4 * time.Minute

// Run tries the database that newSubject makes against the whole contract, one subtest a
// case and a fresh subject for each. It fails t with an explanation for whoever writes
// the database.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			s := newSubject(t)
			if s.Races == 0 && testing.Short() {
				s.Races = 100
			}
			if s.Stride == 0 && testing.Short() {
				s.Stride = 3
			}
			c.try(t, s)
		})
	}
}

// cases is the contract, in the order in which a database is best written.
func cases() []testCase {
	return slices.Concat(recordCases, orderCases, leaseCases, doCases, instanceCases, guardCases, contextCases, sqlCases, walkCases, storyCases)
}

// reporter is what a case needs of a *testing.T. The suite's own tests give it another
// one, to see cases fail.
type reporter interface {
	Helper()
	Context() context.Context
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// testCase is one behaviour.
type testCase struct {
	name string
	// why is the explanation for implementers.
	why   string
	needs []need
	run   func(r *run)
}

// need is something that a subject may lack.
type need struct {
	what string
	met  func(Subject) bool
}

var (
	needDB      = need{"Subject.DB", func(s Subject) bool { return s.DB != nil }}
	needAtomic  = need{"DDL within a transaction (Subject.Piecemeal)", func(s Subject) bool { return !s.Piecemeal }}
	needRestart = need{"Subject.Restart", func(s Subject) bool { return s.Restart != nil }}
)

// run is a case being tried.
type run struct {
	reporter
	Subject
	ctx   context.Context
	names int
}

// try runs the case against s, and explains it if it fails.
func (c testCase) try(t reporter, s Subject) {
	t.Helper()
	s = s.withDefaults()
	if s.Database == nil {
		t.Fatalf("the subject has no Database")
	}
	for _, n := range c.needs {
		if !n.met(s) {
			t.Skipf("skipped for want of %s", n.what)
		}
	}
	defer func() {
		if t.Failed() {
			t.Errorf("the law: %s", c.why)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	r := &run{reporter: t, Subject: s, ctx: ctx}
	r.must("Setup", s.Database.Setup(ctx))
	c.run(r)
}

// must ends the case if err is one.
func (r *run) must(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// is fails the case unless err is want.
func (r *run) is(what string, err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// other is the second process, or the same Database where there is none.
func (r *run) other() migrate.Database {
	if r.Another == nil {
		return r.Database
	}
	return r.Another()
}

// eventually polls until f is true. It bounds nothing but a failure.
func (r *run) eventually(what string, f func() bool) {
	r.Helper()
	for began := time.Now(); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second || r.ctx.Err() != nil {
			r.Fatalf("%s: not within 30 s", what)
		}
	}
}

// lease is long enough that none runs out by itself.
const lease = time.Minute

// lock takes the lease of a change.
func (r *run) lock(db migrate.Database, id, owner string) migrate.Session {
	r.Helper()
	s, err := db.Lock(r.ctx, "change:"+id, owner, lease)
	if err != nil {
		r.Fatalf("Lock of %s by %s: %v", id, owner, err)
	}
	return s
}

// record is a record of a change of app shop, with two steps.
func (r *run) record(id string) migrate.Record {
	r.Helper()
	change := migrate.Change{
		ID: id, App: "shop", New: []string{"v2", "v3"}, Soak: time.Hour,
		Ops: []migrate.Op{migrate.SQL{Name: "nothing", Do: []string{"SELECT 1"}, Undo: []string{"SELECT 2"}}},
	}
	digest, err := change.Digest()
	r.must("Digest", err)
	return migrate.Record{
		ID: id, Kind: migrate.Coupled, Digest: digest, App: change.App, New: change.New, Change: change,
		Script: migrate.Script{Steps: []migrate.Step{
			{Phase: migrate.Expanding, Name: "one: \"quoted\", 'quoted' \\ and ünicode", Do: []string{"SELECT 1"}, Undo: []string{"SELECT 2"}},
			{Phase: migrate.Contracting, Name: "two", Do: []string{"SELECT 3"}},
		}},
		State: migrate.State{Version: migrate.StateVersion, Steps: make([]migrate.StepState, 2)},
		Order: migrate.Order{Want: migrate.Ready, By: "ann", Why: "it's \"time\""},
	}
}

// create saves a record of that name.
func (r *run) create(id string) migrate.Record {
	r.Helper()
	rec := r.record(id)
	r.must("Create "+id, r.Database.Create(r.ctx, rec))
	return rec
}

// load reads a record.
func (r *run) load(id string) migrate.Record {
	r.Helper()
	rec, err := r.Database.Load(r.ctx, id)
	r.must("Load "+id, err)
	return rec
}

// save saves the record's state, changed by f, and returns it as it is then.
func (r *run) save(s migrate.Session, id string, w migrate.Work, f func(*migrate.State)) error {
	r.Helper()
	return s.Do(r.ctx, id, w, following(r.load(id).State, f))
}

// following is the state after this one.
func following(s migrate.State, f func(*migrate.State)) migrate.State {
	s.Steps = slices.Clone(s.Steps)
	s.Rev++
	if f != nil {
		f(&s)
	}
	return s
}

// name is a new one.
func (r *run) name(prefix string) string {
	r.names++
	return fmt.Sprintf("%s%d", prefix, r.names)
}
