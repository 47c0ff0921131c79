// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

func TestNothingIsDoneUntilItIsBegun(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		s.watch.Service = "cart"
		s.judge.verdict = analysis.Fail
		st, wake, err := s.monitor().Reconcile(s.t.Context())
		if saved, _ := s.store.Load(s.t.Context(), "cart"); err != nil || !wake.IsZero() || st.Rev != 0 || saved.Rev != 0 {
			s.t.Errorf("%v, %v, again at %v", st, err, wake)
		}
	})
}

// TestAWatchIsBegunOnceForEachDeployment: a pipeline that says so twice does not lengthen it,
// and one that deploys the same again has it watched again.
func TestAWatchIsBegunOnceForEachDeployment(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		m, ctx := s.monitor(), s.t.Context()
		first, err := m.Begin(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		st, err := s.turns(m, 5)
		if err != nil {
			s.t.Fatal(err)
		}
		if again, err := m.Begin(ctx); err != nil || again.Rev != st.Rev || again.Run != first.Run || again.Watched != st.Watched {
			s.t.Errorf("begun again: %v, %v", again, err)
		}
		if st = s.run(); st.Outcome != monitor.Passed || st.Ended.Sub(first.Began) > 12*time.Minute {
			s.t.Errorf("%v after %v", st, st.Ended.Sub(first.Began))
		}
		if again := s.run(); again.Outcome != monitor.Passed || again.Run != first.Run+1 || again.Ended.Sub(again.Began) < 10*time.Minute {
			s.t.Errorf("the same again: run %d, %v", again.Run, again)
		}
		if st.Ledger.Service != "shop" {
			s.t.Errorf("the ledger is of %q", st.Ledger.Service)
		}
	})
}

// TestADeploymentThatIsBegunTakesTheWatchOver while the one before is being watched.
func TestADeploymentThatIsBegunTakesTheWatchOver(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		m, ctx := s.monitor(), s.t.Context()
		if _, err := m.Begin(ctx); err != nil {
			s.t.Fatal(err)
		}
		before, err := s.turns(m, 5)
		if err != nil {
			s.t.Fatal(err)
		}
		s.target.Deploy(v3)
		if st, err := m.Begin(ctx); err != nil || st.Revision != v3 || st.Run != before.Run+1 || st.Watched != 0 || st.Healthy != 0 {
			s.t.Errorf("%v, %v", st, err)
		}
	})
}

// counting is a judge that knows at its third look, and notes the checks it was asked.
type counting struct{ asked []analysis.Check }

func (j *counting) Judge(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	j.asked = append(j.asked, c)
	n, _ := strconv.Atoi(string(c.State))
	f := c.Finding(analysis.Pending, "it is early")
	f.State = analysis.State(fmt.Sprint(n + 1))
	if n >= 2 {
		f.Verdict = analysis.Pass
	}
	return f, nil
}

// TestAJudgeIsAskedAboutThisWatch, and gets back what it remembered, from another process, too.
func TestAJudgeIsAskedAboutThisWatch(t *testing.T) {
	t.Parallel()
	in(t, func(s *site) {
		j := &counting{}
		s.watch.Judges = map[string]analysis.Judge{"counting": j}
		s.watch.Arm = "canary"
		began, err := s.monitor().Begin(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for range 2 {
			if _, err := s.turns(s.monitor(), 1); err != nil {
				s.t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Hour)
		defer cancel()
		if st, err := s.monitor().Run(ctx); err != nil || st.Outcome != monitor.Passed {
			s.t.Fatalf("%v, %v", st, err)
		}
		for _, c := range j.asked {
			if c.Run != began.Run || c.Service != "shop" || c.Name != "counting" || c.Candidate != "canary" || !c.Since.Equal(began.Began) || c.Until.Before(c.Since) {
				s.t.Fatalf("asked about %+v", c)
			}
		}
	})
}

// astray is a judge that answers another question.
type astray func(*analysis.Finding)

func (a astray) Judge(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	f := c.Finding(analysis.Fail, "of another watch")
	a(&f)
	return f, nil
}

func TestAnAnswerToAnotherQuestionIsNone(t *testing.T) {
	t.Parallel()
	for what, a := range map[string]astray{
		"another run":  func(f *analysis.Finding) { f.Run-- },
		"an old start": func(f *analysis.Finding) { f.Since = f.Since.Add(-time.Hour) },
	} {
		in(t, func(s *site) {
			s.watch.Judges["errors"] = a
			if st := s.run(); st.Outcome != monitor.Unknown || s.returns() != 0 || st.Watched < 40*time.Minute || st.Watched > 41*time.Minute {
				s.t.Errorf("%s: %v", what, st)
			}
		})
	}
}
