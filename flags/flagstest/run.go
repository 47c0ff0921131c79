// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// Subject is a source to be tried, with what the suite can do beside it. Only Source is
// required, and Write and Remove of a source that is no flags.Store. Cases that need a hook
// that is nil are skipped by name. Hooks are called one at a time.
type Subject struct {
	// Source is the source, with no flags in it. Where it is a flags.Store, it is tried as
	// one, too.
	Source flags.Source

	// Write puts a flag where the source finds it, in place of the one with its key: into
	// the file, behind the URL. It must carry Enabled and a Rollout, that is all the suite
	// uses of sources that are no stores. Where it is nil, the flag is Put.
	Write func(ctx context.Context, f *flags.Flag) error
	// Remove takes a flag away. Where it is nil, it is Deleted.
	Remove func(ctx context.Context, key string) error
	// Raw puts text where the source expects a flag in JSON, whatever it is, as somebody
	// does who goes past the source. Leave it nil where nobody could.
	Raw func(ctx context.Context, key, text string) error

	// Another makes one more instance over the same flags, as a second process would
	// have. Leave it nil for a source that only one can have.
	Another func(ctx context.Context) (flags.Source, error)

	// Break makes the flags not to be had until mend is called: the server is gone, the file
	// unreadable. It returns when that is so, and mend when it is over. The flags
	// survive. Leave it nil for what cannot break.
	Break func(ctx context.Context) (mend func(), err error)
	// Restart kills what the flags are kept in and starts it again with the
	// same flags. Leave it nil where nothing can be killed.
	Restart func(ctx context.Context) error

	// Settle is how long a change, an error or the end of a context may take to be
	// seen. 0 is 10 s. It is no measurement: only what never comes waits for so long.
	Settle time.Duration
}

// caseTimeout bounds one case, so that a source that hangs fails by name.
const caseTimeout = 2 * time.Minute

// Run tries the source that newSubject makes against the whole contract, one subtest
// a case and a fresh subject for each. It fails t with an explanation for whoever writes
// the source. It does not try what a source is configured with, how it gets at its flags
// or how soon.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.try(t, newSubject(t)) })
	}
}

// cases is the contract, in the order in which a source is best written.
func cases() []testCase {
	return slices.Concat(watchCases, endCases, garbageCases, outageCases, storeCases, writerCases, keepCases)
}

// reporter is what a case needs of a *testing.T. The suite's own tests give it
// another one, to see cases fail.
type reporter interface {
	Helper()
	Context() context.Context
	Failed() bool
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
	met  func(s Subject) bool
}

var (
	needStore   = need{"a source that is a flags.Store", func(s Subject) bool { _, ok := s.Source.(flags.Store); return ok }}
	needRaw     = need{"Subject.Raw", func(s Subject) bool { return s.Raw != nil }}
	needAnother = need{"Subject.Another", func(s Subject) bool { return s.Another != nil }}
	needBreak   = need{"Subject.Break", func(s Subject) bool { return s.Break != nil }}
	needRestart = need{"Subject.Restart", func(s Subject) bool { return s.Restart != nil }}
)

// try runs the case against s, and explains it if it fails.
func (c testCase) try(t reporter, s Subject) {
	t.Helper()
	store, isStore := s.Source.(flags.Store)
	if s.Source == nil || !isStore && (s.Write == nil || s.Remove == nil) {
		t.Fatalf("the subject needs a Source, and Write and Remove unless that is a flags.Store")
	}
	for _, n := range c.needs {
		if !n.met(s) {
			t.Skipf("skipped for want of %s", n.what)
		}
	}
	if s.Settle == 0 {
		s.Settle = 10 * time.Second
	}
	defer func() {
		if t.Failed() {
			t.Errorf("the law: %s", c.why)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	r := &run{reporter: t, Subject: s, store: store, ctx: ctx}
	defer r.end()
	c.run(r)
}

// run is one case under way.
type run struct {
	reporter
	Subject
	store flags.Store     // nil if the source is none
	ctx   context.Context //nolint:containedctx // it lives as long as one case

	hooks   sync.Mutex // Write, Remove and Raw are called one at a time
	watches []*watch

	running     *flags.Client // that r.client started
	stopRunning func()
	ran         chan struct{}
}

// end ends the watches that are left, and says what was wrong with them.
func (r *run) end() {
	r.Helper()
	if r.stopRunning != nil {
		r.stopRunning()
	}
	for _, w := range r.watches {
		w.stop()
	}
}

// form is a flag in its n-th form. It is such as the simplest source can carry: a
// percentage that says n.
func form(key string, n int) *flags.Flag {
	return &flags.Flag{Key: key, Enabled: true, Rollout: &flags.Rollout{Type: "percentage", Percentage: flags.Percent(n)}} //nolint:gosec // small
}

// formOf is the n that a flag was made with, and -1 of another flag or none.
func formOf(f *flags.Flag) int {
	if f == nil || !f.Enabled || f.Rollout == nil || f.Rollout.Type != "percentage" {
		return -1
	}
	return int(f.Rollout.Percentage)
}

// write makes the flag stand in its n-th form. It may be called by many goroutines,
// one for each key.
func (r *run) write(key string, n int) {
	r.Helper()
	if err := r.tryWrite(key, n); err != nil {
		r.Fatalf("writing %q: %v", key, err)
	}
}

func (r *run) tryWrite(key string, n int) error {
	f := form(key, n)
	if r.Write != nil {
		r.hooks.Lock()
		defer r.hooks.Unlock()
		f.Version = int64(n)
		return r.Write(r.ctx, f)
	}
	for {
		stands, err := r.store.Get(r.ctx, key)
		switch {
		case errors.Is(err, flags.ErrNotFound):
			f.Version = 0
		case err != nil:
			return err
		default:
			f.Version = stands.Version
		}
		if _, err = r.store.Put(r.ctx, f); !errors.Is(err, flags.ErrConflict) {
			return err
		}
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
	}
}

// remove takes the flag away.
func (r *run) remove(key string) {
	r.Helper()
	if err := r.tryRemove(key); err != nil {
		r.Fatalf("removing %q: %v", key, err)
	}
}

func (r *run) tryRemove(key string) error {
	if r.Remove != nil {
		r.hooks.Lock()
		defer r.hooks.Unlock()
		return r.Remove(r.ctx, key)
	}
	f, err := r.store.Get(r.ctx, key)
	if err != nil {
		return err
	}
	return r.store.Delete(r.ctx, key, f.Version)
}

// raw puts text in the place of the flag a.
func (r *run) raw(text string) {
	r.Helper()
	r.hooks.Lock()
	defer r.hooks.Unlock()
	if err := r.Raw(r.ctx, "a", text); err != nil {
		r.Fatalf("Raw(%q): %v", text, err)
	}
}
