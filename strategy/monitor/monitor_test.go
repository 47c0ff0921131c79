// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

var (
	v1 = rollback.Revision{ID: "v1", Digest: "sha-1"}
	v2 = rollback.Revision{ID: "v2", Digest: "sha-2"}
	v3 = rollback.Revision{ID: "v3", Digest: "sha-3"}
)

// says is a judge that says what it is told to.
type says struct {
	verdict analysis.Verdict
	value   float64
	err     error
}

func (j *says) Judge(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	f := c.Finding(j.verdict, "fails "+j.verdict.String())
	f.Value = j.value
	return f, j.err
}

// site is v2 just deployed after v1, which is known to be good.
type site struct {
	t      *testing.T
	target *rollback.Memory
	store  *monitor.MemoryStore
	judge  *says
	told   []monitor.State
	watch  monitor.Watch
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, target: rollback.NewMemory(20*time.Second, v1), store: &monitor.MemoryStore{}, judge: &says{verdict: analysis.Pass}}
	s.watch = monitor.Watch{
		Service: "shop", Target: s.target, Judges: map[string]analysis.Judge{"errors": s.judge},
		Observe: func(_ context.Context, st monitor.State) {
			if n := len(s.told); n > 0 && st.Rev <= s.told[n-1].Rev {
				t.Errorf("told of rev %d after %d", st.Rev, s.told[n-1].Rev)
			}
			s.told = append(s.told, st)
		},
	}
	if st := s.run(); st.Outcome != monitor.Passed {
		t.Fatalf("v1: %v", st)
	}
	s.deploy(v2)
	return s
}

func (s *site) monitor() *monitor.Monitor {
	s.t.Helper()
	m, err := monitor.New(s.store, s.watch)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// deploy does so a while later, in which nobody has a budget left to use up.
func (s *site) deploy(r rollback.Revision) {
	time.Sleep(2 * time.Hour)
	s.target.Deploy(r)
}

// run begins a watch and sees it end.
func (s *site) run() monitor.State {
	s.t.Helper()
	m := s.monitor()
	if _, err := m.Begin(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 24*time.Hour)
	defer cancel()
	st, err := m.Run(ctx)
	if err != nil {
		s.t.Fatalf("%v: %v", st, err)
	}
	return st
}

// current is what runs.
func (s *site) current() rollback.Revision {
	r, _, _ := s.target.Current(s.t.Context())
	return r
}

// returns counts what the target was asked for by a return.
func (s *site) returns() (n int) {
	for _, a := range s.target.Applied() {
		if a.Key != "" {
			n++
		}
	}
	return n
}

func in(t *testing.T, f func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newSite(t)) })
}

func TestAGoodRevisionPassesAndIsKnownToBeGood(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		st := s.run()
		good, _ := st.Ledger.LastKnownGood()
		if st.Outcome != monitor.Passed || good.Digest != v2.Digest || s.returns() != 0 {
			s.t.Errorf("%v, good is %v, %d returns", st, good, s.returns())
		}
		if took := st.Ended.Sub(st.Began); took < 10*time.Minute {
			s.t.Errorf("it was watched for %v only", took)
		}
	})
}

// TestTheSeedsCounterOfNameCollisionsDecidesNothing is bug 2: status.collisionCount is
// about names, and never falls again. What a target notes beside its health decides nothing.
func TestTheSeedsCounterOfNameCollisionsDecidesNothing(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.watch.Target = noting{s.target}
		if st := s.run(); st.Outcome != monitor.Passed {
			s.t.Error(st)
		}
	})
}

type noting struct{ *rollback.Memory }

func (n noting) Observe(ctx context.Context) (rollback.Status, error) {
	st, err := n.Memory.Observe(ctx)
	st.Notes = append(st.Notes, "collisionCount is 1")
	return st, err
}

// TestAStatusOfBeforeTheChangeIsNoSuccess is bug 3: right after the write the old status
// still says that all is well.
func TestAStatusOfBeforeTheChangeIsNoSuccess(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.target.Becomes(v2.Digest, rollback.Progressing) // it never gets there
		s.watch.Limits = monitor.Limits{For: time.Second, Stuck: 5 * time.Minute}
		s.watch.Every = time.Second
		if st := s.run(); st.Outcome != monitor.RolledBack || s.current() != v1 || !strings.Contains(st.Why, "has not been healthy for 5m0s") {
			s.t.Errorf("%v, running is %v", st, s.current())
		}
	})
}

// TestThereAlwaysIsAVerdict is bug 4: the seed's loop ends after five minutes and says nothing.
func TestThereAlwaysIsAVerdict(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Inconclusive
		st := s.run()
		if st.Outcome != monitor.Unknown || !strings.Contains(st.Why, "errors is inconclusive") || s.returns() != 0 {
			s.t.Errorf("%v, %d returns", st, s.returns())
		}
		if good, _ := st.Ledger.LastKnownGood(); good != v1 {
			s.t.Errorf("good is %v", good)
		}
	})
}

// TestWhatIsNotKnownIsNeitherGoodNorBad is bug 5: no data, NaN and an outage of the metrics.
func TestWhatIsNotKnownIsNeitherGoodNorBad(t *testing.T) {
	t.Parallel()
	for name, judge := range map[string]says{
		"no data": {verdict: analysis.Pending}, "an outage": {err: errors.New("no answer")},
		"an error that passes": {verdict: analysis.Pass, err: errors.New("half an answer")}, "an error that fails": {verdict: analysis.Fail, err: errors.New("half an answer")},
		"NaN that passes": {verdict: analysis.Pass, value: math.NaN()}, "NaN that is safe": {verdict: analysis.Safe, value: math.NaN()}, "NaN that fails": {verdict: analysis.Fail, value: math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(s *site) {
				*s.judge = judge
				if st := s.run(); st.Outcome != monitor.Unknown || s.returns() != 0 {
					s.t.Errorf("%v, %d returns", st, s.returns())
				}
			})
		})
	}
}

// TestItGoesBackOnceToWhatIsKnownToBeGood is bugs 1 and 6: an explicit revision, seen healthy
// there, counted, with a reason; and not again.
func TestItGoesBackOnceToWhatIsKnownToBeGood(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		st := s.run()
		if st.Outcome != monitor.RolledBack || s.current() != v1 || s.returns() != 1 || st.Why != "errors: fails fail; v1 (sha-1) is healthy in its place" {
			s.t.Fatalf("%v, running is %v, %d returns", st, s.current(), s.returns())
		}
		if n := len(st.Ledger.Returns); n != 1 || st.Ledger.Returns[0].From != v2 || st.Ledger.Returns[0].Outcome != rollback.RolledBack {
			s.t.Errorf("the ledger has %+v", st.Ledger.Returns)
		}
		if _, bad := st.Ledger.Quarantined(v2.Digest); !bad {
			s.t.Error("v2 is not in quarantine")
		}
		// The metrics still say that all fails: the release was not the cause.
		if st = s.run(); st.Outcome != monitor.Refused || s.current() != v1 || s.returns() != 1 || !st.Outcome.Page() {
			s.t.Errorf("%v, running is %v, %d returns", st, s.current(), s.returns())
		}
	})
}

// TestAReturnThatDoesNotHelpIsSaid is bug 6, too: the seed never looks at what it went back to.
func TestAReturnThatDoesNotHelpIsSaid(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		s.target.Becomes(v1.Digest, rollback.Failed)
		if st := s.run(); st.Outcome != monitor.RollbackFailed || !st.Outcome.Page() {
			s.t.Error(st)
		}
	})
}

func TestWithoutAGoodRevisionAPersonIsCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, target: rollback.NewMemory(0, v1, v2), store: &monitor.MemoryStore{}}
		s.watch = monitor.Watch{Service: "shop", Target: s.target, Judges: map[string]analysis.Judge{"errors": &says{verdict: analysis.Fail}}}
		if st := s.run(); st.Outcome != monitor.Refused || !strings.Contains(st.Why, "no revision has finished its bake") || s.returns() != 0 {
			t.Errorf("%v, %d returns", st, s.returns())
		}
	})
}

// TestAFailedTargetDoesNotWait: ProgressDeadlineExceeded is its own word.
func TestAFailedTargetDoesNotWait(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.target.Becomes(v2.Digest, rollback.Failed)
		if st := s.run(); st.Outcome != monitor.RolledBack || st.Ended.Sub(st.Began) > 2*time.Minute {
			s.t.Errorf("%v after %v", st, st.Ended.Sub(st.Began))
		}
	})
}

func TestWhatNobodyWatchedIsLeftAlone(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		m := s.monitor()
		if _, err := m.Begin(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.target.Deploy(v3)
		s.judge.verdict = analysis.Fail
		st, err := m.Run(s.t.Context())
		if err != nil || st.Outcome != monitor.Superseded || s.current() != v3 || s.returns() != 0 {
			s.t.Errorf("%v, %v, running is %v", st, err, s.current())
		}
	})
}

// TestADeployBetweenTheDecisionAndTheReturnIsLeftAlone: the state says that v2 goes back when
// v3 is deployed.
func TestADeployBetweenTheDecisionAndTheReturnIsLeftAlone(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		s.watch.Observe = func(_ context.Context, st monitor.State) {
			if st.Returning && st.Ledger.Open == nil && s.current() == v2 {
				s.target.Deploy(v3)
			}
		}
		if st := s.run(); st.Outcome != monitor.Superseded || s.current() != v3 || s.returns() != 0 {
			s.t.Errorf("%v, running is %v", st, s.current())
		}
	})
}

func TestAnOperatorHoldsAndAborts(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		m, ctx := s.monitor(), s.t.Context()
		if _, err := m.Begin(ctx); err != nil {
			s.t.Fatal(err)
		}
		if err := m.Hold(ctx, "ann", ""); err == nil {
			s.t.Error("a hold without a reason")
		}
		if err := m.Hold(ctx, "ann", "looking into it"); err != nil {
			s.t.Fatal(err)
		}
		s.judge.verdict = analysis.Fail
		for range 200 {
			if st, _, err := m.Reconcile(ctx); err != nil || st.Outcome != monitor.Unfinished || st.Watched != 0 {
				s.t.Fatalf("held: %v, %v", st, err)
			}
			time.Sleep(time.Minute)
		}
		if err := m.Abort(ctx, "ann", "known"); err != nil {
			s.t.Fatal(err)
		}
		if st, err := m.Run(ctx); err != nil || st.Outcome != monitor.Aborted || s.returns() != 0 {
			s.t.Errorf("%v, %v", st, err)
		}
		if err := m.Resume(ctx, "ann", "late"); !errors.Is(err, rollback.ErrRefused) {
			s.t.Errorf("after its end: %v", err)
		}
	})
}

// TestTimeInWhichNobodyLooksDoesNotCount: the process was down for most of the watch.
func TestTimeInWhichNobodyLooksDoesNotCount(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		m := s.monitor()
		if _, err := m.Begin(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		for range 9 {
			st, _, err := m.Reconcile(s.t.Context())
			if err != nil || st.Outcome != monitor.Unfinished {
				s.t.Fatalf("%v, %v", st, err)
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestWhatCannotBeMeantIsNamed(t *testing.T) {
	t.Parallel()
	good := monitor.Watch{Service: "shop", Target: rollback.NewMemory(0, v1)}
	for field, change := range map[string]func(*monitor.Watch){
		"Service": func(w *monitor.Watch) { w.Service = "" },
		"Target":  func(w *monitor.Watch) { w.Target = nil },
		"Every":   func(w *monitor.Watch) { w.Every = time.Hour },
		"For":     func(w *monitor.Watch) { w.For = -1 },
		"Stuck":   func(w *monitor.Watch) { w.Stuck = -1 },
		"Within":  func(w *monitor.Watch) { w.Within = 1 },
		"Judges":  func(w *monitor.Watch) { w.Judges = map[string]analysis.Judge{"a": nil} },
	} {
		w := good
		change(&w)
		if _, err := monitor.New(&monitor.MemoryStore{}, w); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got error %v", field, err)
		}
	}
	if _, err := monitor.New(nil, good); err == nil {
		t.Error("no store")
	}
}

func TestAStateSurvivesJSON(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.judge.verdict = analysis.Fail
		st := s.run()
		text, err := json.Marshal(st)
		if err != nil {
			s.t.Fatal(err)
		}
		var again monitor.State
		if err := json.Unmarshal(text, &again); err != nil || again.String() != st.String() || len(again.Ledger.Returns) != 1 {
			s.t.Errorf("%v: %v became %v", err, st, again)
		}
		var o monitor.Outcome
		if o.UnmarshalText([]byte("maybe")) == nil {
			s.t.Error("an outcome that is none")
		}
	})
}
