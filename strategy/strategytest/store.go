// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
)

// Subject is a store to be tried, with what the suite can do beside it. Only
// Store is required; cases that need a hook that is nil are skipped by name.
type Subject struct {
	// Store is the store, without any service.
	Store strategy.Store

	// Reopen ends this store and opens another over the same durable data, as
	// after a restart. What it returns takes the subject's place. Leave it nil
	// for a store that forgets.
	Reopen func(ctx context.Context) (Subject, error)

	// Journal reads the transitions that were saved with a service's states,
	// oldest first. Leave it nil for a store that drops them.
	Journal func(ctx context.Context, service string) ([]strategy.Transition, error)
}

// storeTimeout bounds one case, so that a store that hangs fails by name.
const storeTimeout = 2 * time.Minute

// TestStore tries the store that newStore makes against the whole contract, one
// subtest a case and a fresh subject for each. It fails t with an explanation
// for whoever writes the store.
func TestStore(t *testing.T, newStore func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range storeLaw() {
		t.Run(c.name, func(t *testing.T) { c.try(t, newStore(t)) })
	}
}

// storeLaw is the contract, in the order in which a store is best written.
func storeLaw() []storeCase {
	return slices.Concat(loadCases, compareCases, apartCases, lastingCases)
}

// storeReporter is what a case needs of a *testing.T. The suite's own tests give
// it another one, to see cases fail.
type storeReporter interface {
	Helper()
	Context() context.Context
	Failed() bool
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// storeCase is one behaviour.
type storeCase struct {
	name string
	// why is the explanation for implementers.
	why string
	// reopen and journal say which hooks the case needs.
	reopen, journal bool
	run             func(r *storeRun)
}

// try runs the case against s, and explains it if it fails.
func (c storeCase) try(t storeReporter, s Subject) {
	t.Helper()
	switch {
	case s.Store == nil:
		t.Fatalf("the subject has no Store")
	case c.reopen && s.Reopen == nil:
		t.Skipf("skipped for want of Subject.Reopen")
	case c.journal && s.Journal == nil:
		t.Skipf("skipped for want of Subject.Journal")
	}
	defer func() {
		if t.Failed() {
			t.Errorf("the law: %s", c.why)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), storeTimeout)
	defer cancel()
	c.run(&storeRun{storeReporter: t, Subject: s, ctx: ctx})
}

// storeRun is one case under way.
type storeRun struct {
	storeReporter
	Subject
	ctx context.Context //nolint:containedctx // it lives as long as one case
}

func (r *storeRun) load(service string) strategy.State {
	r.Helper()
	s, err := r.Store.Load(r.ctx, service)
	if err != nil {
		r.Fatalf("Load(%q): %v", service, err)
	}
	return s
}

// save stores the full state of this rev behind the one before it.
func (r *storeRun) save(service string, rev uint64) {
	r.Helper()
	if err := r.Store.Save(r.ctx, service, rev-1, FullState(service, rev), entries(rev)...); err != nil {
		r.Fatalf("Save(%q, %d, rev %d): %v", service, rev-1, rev, err)
	}
}

// holds checks that the full state of this rev is stored, or with 0 that none is.
func (r *storeRun) holds(service string, rev uint64) {
	r.Helper()
	want := strategy.State{}
	if rev > 0 {
		want = FullState(service, rev)
	}
	r.same("the state of "+service, r.load(service), want)
}

// same compares two values as JSON, which is all that must survive.
func (r *storeRun) same(what string, got, want any) {
	r.Helper()
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if err := errors.Join(errA, errB); err != nil {
		r.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(a, b) {
		r.Fatalf("%s is\n%s\nwant\n%s", what, a, b)
	}
}

// journalUpTo checks that the journal has the entries of all revs up to last.
func (r *storeRun) journalUpTo(service string, last uint64) {
	r.Helper()
	if r.Journal == nil {
		return
	}
	got, err := r.Journal(r.ctx, service)
	if err != nil {
		r.Fatalf("Journal(%q): %v", service, err)
	}
	want := []strategy.Transition{}
	for rev := uint64(1); rev <= last; rev++ {
		want = append(want, entries(rev)...)
	}
	r.same("the journal of "+service, append([]strategy.Transition{}, got...), want)
}

func (r *storeRun) names() []string {
	r.Helper()
	var names []string
	for name, err := range r.Store.List(r.ctx) {
		if err != nil {
			r.Fatalf("List: %v", err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *storeRun) reopen() {
	r.Helper()
	s, err := r.Reopen(r.ctx)
	if err != nil {
		r.Fatalf("Reopen: %v", err)
	}
	r.Subject = s
}

// entries are the transitions saved with a rev: one, two or none.
func entries(rev uint64) []strategy.Transition {
	var all []strategy.Transition
	for n := range (rev + 1) % 3 {
		all = append(all, strategy.Transition{
			Rev: rev, Seq: rev, Run: 3, At: moment(rev), Kind: strategy.DialsTurned,
			Lane: "web", Step: "5%", Subject: "errors", Weight: 50_001, Verdict: analysis.Fail, Reason: "reason \"" + string(rune('a'+n)) + "\"\n", By: "ada",
		})
	}
	return all
}
