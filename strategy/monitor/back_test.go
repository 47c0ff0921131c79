// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

// odd is a target and a store that refuse, or answer wrongly, when it is said how.
type odd struct {
	*rollback.Memory
	monitor.Store
	down, mute, refuses atomic.Bool
	// saving may refuse a state.
	saving func(prev uint64, next monitor.State) error
}

var errDown = errors.New("it is down")

func (d *odd) Current(ctx context.Context) (rollback.Revision, rollback.Token, error) {
	if d.down.Load() {
		return v3, "", errDown // what comes with an error is not to be used
	}
	return d.Memory.Current(ctx)
}

func (d *odd) Observe(ctx context.Context) (rollback.Status, error) {
	if d.down.Load() || d.mute.Load() {
		return rollback.Status{Running: v2, Health: rollback.Failed}, errDown
	}
	return d.Memory.Observe(ctx)
}

func (d *odd) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
	if d.refuses.Load() {
		return "", rollback.ErrRefused
	}
	return d.Memory.Apply(ctx, to, expect, key)
}

func (d *odd) Save(ctx context.Context, service string, prev uint64, next monitor.State) error {
	if d.saving != nil {
		if err := d.saving(prev, next); err != nil {
			return err
		}
	}
	return d.Store.Save(ctx, service, prev, next)
}

// oddSite is a site whose target and store are odd, with v2 being watched.
func oddSite(t *testing.T, f func(s *site, d *odd, m *monitor.Monitor)) {
	t.Helper()
	in(t, func(s *site) {
		d := &odd{Memory: s.target, Store: s.store}
		s.watch.Target = d
		m, err := monitor.New(d, s.watch)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := m.Begin(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		f(s, d, m)
	})
}

// turns makes some, a minute apart, and returns the last state.
func (s *site) turns(m *monitor.Monitor, n int) (st monitor.State, err error) {
	s.t.Helper()
	for range n {
		st, _, err = m.Reconcile(s.t.Context())
		time.Sleep(time.Minute)
	}
	return st, err
}

// TestATargetThatIsDownIsNotGivenUp: it fails, and for half an hour nobody can reach it to take
// it back.
func TestATargetThatIsDownIsNotGivenUp(t *testing.T) {
	t.Parallel()
	oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
		s.judge.verdict = analysis.Fail
		d.down.Store(true)
		if st, err := s.turns(m, 30); err == nil || !st.Returning || st.Outcome != monitor.Unfinished {
			s.t.Fatalf("down: %v, %v", st, err)
		}
		d.down.Store(false)
		if st, err := m.Run(s.t.Context()); err != nil || st.Outcome != monitor.RolledBack || s.current() != v1 {
			s.t.Errorf("up again: %v, %v", st, err)
		}
	})
}

// TestWhatComesWithAnErrorIsNotSeen: neither another revision nor a failure.
func TestWhatComesWithAnErrorIsNotSeen(t *testing.T) {
	t.Parallel()
	oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
		for _, half := range []*atomic.Bool{&d.down, &d.mute} {
			half.Store(true)
			st, err := s.turns(m, 5)
			if err != nil || st.Outcome != monitor.Unfinished || st.Returning || !strings.Contains(st.Why, "cannot be looked at") {
				s.t.Fatalf("%v, %v", st, err)
			}
			half.Store(false)
		}
		if st, err := m.Run(s.t.Context()); err != nil || st.Outcome != monitor.Passed {
			s.t.Errorf("%v, %v", st, err)
		}
		d.down.Store(true)
		if st, err := m.Begin(s.t.Context()); !errors.Is(err, errDown) || st.Run != 0 {
			s.t.Errorf("begun with %v, %v", st, err)
		}
	})
}

// TestARefusalThatCannotBeSavedIsOfTheReturn, not of the decision: the target refuses, and the
// store is down when that is to be noted.
func TestARefusalThatCannotBeSavedIsOfTheReturn(t *testing.T) {
	t.Parallel()
	oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
		s.judge.verdict = analysis.Fail
		d.refuses.Store(true)
		left := 8 // as often as it is tried
		d.saving = func(_ uint64, next monitor.State) error {
			if next.Ledger.Open == nil && len(next.Ledger.Returns) > 0 && left > 0 {
				left--
				return errDown
			}
			return nil
		}
		if st, err := s.turns(m, 1); err == nil || st.Outcome != monitor.Unfinished || st.Ledger.Open == nil {
			s.t.Fatalf("not saved: %v, %v", st, err)
		}
		st, err := s.turns(m, 1)
		if err != nil || st.Outcome != monitor.RollbackFailed || st.Ledger.Open != nil || len(st.Ledger.Returns) != 1 {
			s.t.Errorf("%v, %v", st, err)
		}
	})
}

// TestNothingIsWhatWasNotSaved: neither an outcome nor a wish to go back.
func TestNothingIsWhatWasNotSaved(t *testing.T) {
	t.Parallel()
	for _, verdict := range []analysis.Verdict{analysis.Pass, analysis.Fail} {
		oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
			s.judge.verdict = verdict
			told := len(s.told)
			d.saving = func(uint64, monitor.State) error { return errDown }
			st, err := s.turns(m, 30)
			if !errors.Is(err, errDown) || st.Rev != s.told[told-1].Rev || st.Outcome != monitor.Unfinished || st.Returning || len(s.told) != told || s.returns() != 0 {
				s.t.Errorf("%v, %v; %d were told", st, err, len(s.told)-told)
			}
		})
	}
}

// TestWhatIsOverIsLeftAlone by further turns, however it ended, and by what is seen.
func TestWhatIsOverIsLeftAlone(t *testing.T) {
	t.Parallel()
	for want, end := range map[monitor.Outcome]func(s *site, d *odd){
		monitor.Passed:         func(*site, *odd) {},
		monitor.RolledBack:     func(s *site, _ *odd) { s.judge.verdict = analysis.Fail },
		monitor.RollbackFailed: func(s *site, d *odd) { s.judge.verdict = analysis.Fail; d.refuses.Store(true) },
		monitor.Refused:        func(s *site, _ *odd) { s.judge.verdict = analysis.Fail; s.target.Prune(v1.Digest) },
		monitor.Unknown:        func(s *site, _ *odd) { s.judge.verdict = analysis.Pending },
	} {
		t.Run(want.String(), func(t *testing.T) {
			t.Parallel()
			oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
				end(s, d)
				st, err := m.Run(s.t.Context())
				if err != nil || st.Outcome != want {
					s.t.Fatalf("%v, %v", st, err)
				}
				// All that kept it from going back is mended.
				s.judge.verdict = analysis.Fail
				d.refuses.Store(false)
				s.deploy(v1)
				s.deploy(v2)
				returns := s.returns()
				again, wake, err := m.Reconcile(s.t.Context())
				if err != nil || !wake.IsZero() || again.Rev != st.Rev || again.String() != st.String() || s.returns() != returns {
					s.t.Errorf("%v became %v, %v, to be looked at %v", st, again, err, wake)
				}
			})
		})
	}
}

// TestAHoldComesBeforeTheReturn: it is saved between the decision and the first thing done
// about it, and what was decided is done when it ends.
func TestAHoldComesBeforeTheReturn(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		s.watch.Observe = func(ctx context.Context, st monitor.State) {
			if st.Returning && st.Ledger.Open == nil && st.Held == "" && st.By == "" {
				if err := s.monitor().Hold(ctx, "ann", "let me look"); err != nil {
					s.t.Error(err)
				}
			}
		}
		m := s.monitor()
		if _, err := m.Begin(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if st, err := s.turns(m, 100); err != nil || st.Held == "" || st.Outcome != monitor.Unfinished || s.returns() != 0 {
			s.t.Fatalf("held: %v, %v, %d returns", st, err, s.returns())
		}
		if err := m.Resume(s.t.Context(), "ann", "it is so"); err != nil {
			s.t.Fatal(err)
		}
		if st, err := m.Run(s.t.Context()); err != nil || st.Outcome != monitor.RolledBack || s.returns() != 1 {
			s.t.Errorf("resumed: %v, %v, %d returns", st, err, s.returns())
		}
	})
}

// TestAReturnThatHasBegunTakesNoOrders, and no new watch is begun beside it.
func TestAReturnThatHasBegunTakesNoOrders(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		asked := 0
		s.watch.Observe = func(ctx context.Context, st monitor.State) {
			if st.Ledger.Open == nil {
				return
			}
			if asked++; asked > 1 {
				return
			}
			m := s.monitor()
			for what, err := range map[string]error{"hold": m.Hold(ctx, "ann", "wait"), "abort": m.Abort(ctx, "ann", "stop")} {
				if !errors.Is(err, rollback.ErrRefused) {
					s.t.Errorf("%s: %v", what, err)
				}
			}
			s.target.Deploy(v1) // as the return is about to
			if again, err := m.Begin(ctx); err != nil || again.Rev != st.Rev {
				s.t.Errorf("begun: %v, %v", again, err)
			}
		}
		if st := s.run(); st.Outcome != monitor.RolledBack || asked != 1 {
			s.t.Errorf("%v, asked %d times", st, asked)
		}
	})
}

// TestOrdersAreSavedWhateverElseIs and need a name and a reason.
func TestOrdersAreSavedWhateverElseIs(t *testing.T) {
	t.Parallel()
	oddSite(t, func(s *site, d *odd, m *monitor.Monitor) {
		ctx := s.t.Context()
		if m.Hold(ctx, "", "lunch") == nil || m.Hold(ctx, "ann", "") == nil {
			s.t.Error("a hold of nobody, or without a reason")
		}
		crossed := 0
		d.saving = func(uint64, monitor.State) error {
			if crossed++; crossed == 1 { // another process makes a turn at this moment
				if _, _, err := s.monitor().Reconcile(ctx); err != nil {
					s.t.Error(err)
				}
			}
			return nil
		}
		if err := m.Hold(ctx, "ann", "lunch"); err != nil || crossed != 2 {
			s.t.Fatalf("%v, saved %d times", err, crossed)
		}
		if st, err := s.turns(m, 20); err != nil || st.Held != "lunch" || st.By != "ann" {
			s.t.Errorf("%v, %v", st, err)
		}
		if err := m.Resume(ctx, "bob", "back"); err != nil {
			s.t.Fatal(err)
		}
		if st, err := m.Run(ctx); err != nil || st.Outcome != monitor.Passed || st.By != "bob" {
			s.t.Errorf("%v, %v", st, err)
		}
		gone, stop := context.WithCancel(ctx)
		stop()
		if err := m.Abort(gone, "ann", "late"); !errors.Is(err, context.Canceled) {
			s.t.Errorf("without a store: %v", err)
		}
	})
}

// TestAnAutomaticReturnAsksForNothingElse: what a person may want in rollback.Options is not the
// monitor's to do.
func TestAnAutomaticReturnAsksForNothingElse(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.target.Deploy(v3)
		time.Sleep(time.Hour)
		s.target.Deploy(v2)
		s.watch.Return.Ask = rollback.Ask{Trigger: rollback.Human, By: "ann", Why: "I like v3", To: "v3"}
		s.judge.verdict = analysis.Fail
		st := s.run()
		if st.Outcome != monitor.RolledBack || s.current() != v1 {
			s.t.Fatalf("%v, running is %v", st, s.current())
		}
		if r := st.Ledger.Returns[0]; r.Trigger != rollback.Automatic || r.By != "monitor" || r.Why != "errors: fails fail" {
			s.t.Errorf("noted is %+v", r)
		}
	})
}

// TestEachReturnHasItsOwnEnd: a second bad revision goes back as the first one did, and when
// that does not help the first one's success is not its own.
func TestEachReturnHasItsOwnEnd(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		if st := s.run(); st.Outcome != monitor.RolledBack {
			s.t.Fatal(st)
		}
		s.deploy(v3)
		s.target.Becomes(v1.Digest, rollback.Failed)
		s.told = nil
		if st := s.run(); st.Outcome != monitor.RollbackFailed || st.Revision != v3 || len(st.Ledger.Returns) != 2 || s.returns() != 2 {
			s.t.Errorf("%v, %d returns", st, s.returns())
		}
		for _, st := range s.told {
			if st.Ledger.Open != nil && st.Outcome != monitor.Unfinished {
				s.t.Errorf("it is under way and %v", st)
			}
		}
	})
}

// TestARollbackOfARollbackIsAPersons: what was gone back to fails as well, and a person has said
// that it is not good. There is an older one that is, and nobody has deployed anything.
func TestARollbackOfARollbackIsAPersons(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		if st := s.run(); st.Outcome != monitor.Passed {
			s.t.Fatal(st)
		}
		s.deploy(v3)
		s.judge.verdict = analysis.Fail
		st := s.run()
		if st.Outcome != monitor.RolledBack || s.current() != v2 {
			s.t.Fatalf("%v, running is %v", st, s.current())
		}
		time.Sleep(2 * time.Hour)
		next := st
		next.Rev++
		next.Ledger = st.Ledger.Quarantine(time.Now(), v2.Digest, "ann", "it was never good")
		if err := s.store.Save(s.t.Context(), "shop", st.Rev, next); err != nil {
			s.t.Fatal(err)
		}
		if st = s.run(); st.Outcome != monitor.Refused || s.current() != v2 || !strings.Contains(st.Why, "the last return") {
			s.t.Errorf("%v, running is %v", st, s.current())
		}
	})
}
