// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

// look is what turns see, once a minute, for a number of minutes.
type look struct {
	minutes int
	change  func(*monitor.Observation)
}

// healthy is what is seen when all is well.
func healthy() monitor.Observation {
	return monitor.Observation{
		Current: v2, Judges: []string{"errors"}, Findings: map[string]analysis.Finding{"errors": {Verdict: analysis.Pass}},
		Status: &rollback.Status{Running: v2, Health: rollback.Healthy, Ready: 1},
	}
}

func is(h rollback.Health) func(*monitor.Observation) {
	return func(o *monitor.Observation) { o.Status.Health = h }
}

func verdict(v analysis.Verdict) func(*monitor.Observation) {
	return func(o *monitor.Observation) { o.Findings["errors"] = analysis.Finding{Verdict: v, Reason: "so"} }
}

func unseen(o *monitor.Observation) { o.Status = nil }

func unasked(o *monitor.Observation) { o.Current = rollback.Revision{} }

// watching is v2 watched since noon, with nothing seen yet.
func watching(t *testing.T) (monitor.State, time.Time) {
	t.Helper()
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ledger, err := rollback.Ledger{Service: "shop"}.Deployed(noon, v2)
	if err != nil {
		t.Fatal(err)
	}
	return monitor.State{Version: monitor.StateVersion, Rev: 1, Run: 1, Revision: v2, Began: noon, Ledger: ledger}, noon
}

// TestATurnIsDecidedByAllThatWasSeen has each story end a minute before something is decided,
// and then at that minute. It watches for ten minutes, is stuck after ten, and ends after forty.
func TestATurnIsDecidedByAllThatWasSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		looks []look
		// the minute after these decides, unless it is quiet for all of them.
		want      monitor.Outcome
		returning bool
		quiet     bool
	}{
		"ten minutes of health":                    {looks: []look{{minutes: 10}}, want: monitor.Passed},
		"a break begins them anew":                 {looks: []look{{minutes: 9}, {1, is(rollback.Degraded)}, {minutes: 9}}, want: monitor.Unfinished, quiet: true},
		"ten minutes after a break":                {looks: []look{{minutes: 9}, {1, is(rollback.Degraded)}, {minutes: 10}}, want: monitor.Passed},
		"ten minutes not healthy":                  {looks: []look{{10, is(rollback.Degraded)}}, returning: true},
		"health begins them anew":                  {looks: []look{{9, is(rollback.Progressing)}, {minutes: 1}, {9, is(rollback.Degraded)}}, quiet: true},
		"ten minutes not healthy after health":     {looks: []look{{9, is(rollback.Degraded)}, {minutes: 1}, {10, is(rollback.Degraded)}}, returning: true},
		"what cannot be seen counts as neither":    {looks: []look{{minutes: 5}, {8, unseen}, {minutes: 5}}, want: monitor.Passed},
		"nor what nobody knows is asked for":       {looks: []look{{minutes: 5}, {8, unasked}, {minutes: 5}}, want: monitor.Passed},
		"not healthy, and then not to be seen":     {looks: []look{{9, is(rollback.Degraded)}, {20, unseen}}, quiet: true},
		"not healthy, and then nobody knows what":  {looks: []look{{9, is(rollback.Degraded)}, {20, unasked}}, quiet: true},
		"nobody can tell for all of it":            {looks: []look{{40, unseen}}, want: monitor.Unknown},
		"a judge that never knows":                 {looks: []look{{40, verdict(analysis.Inconclusive)}}, want: monitor.Unknown},
		"a judge that knows late":                  {looks: []look{{20, verdict(analysis.Pending)}, {minutes: 1}}, want: monitor.Passed},
		"a judge that knew":                        {looks: []look{{minutes: 9}, {11, verdict(analysis.Pending)}}, quiet: true},
		"a judge that knows while nothing is seen": {looks: []look{{15, verdict(analysis.Pending)}, {15, unseen}}, quiet: true},
		"a judge that is sure":                     {looks: []look{{10, verdict(analysis.Safe)}}, want: monitor.Passed},
		"a judge that fails it":                    {looks: []look{{minutes: 3}, {1, verdict(analysis.Fail)}}, returning: true},
		"a judge that nobody listens to": {looks: []look{{9, func(o *monitor.Observation) {
			o.Findings["others"] = analysis.Finding{Verdict: analysis.Fail}
		}}}, quiet: true},
		"a judge that is sure of no number": {looks: []look{{20, func(o *monitor.Observation) {
			o.Findings["errors"] = analysis.Finding{Verdict: analysis.Safe, Value: math.NaN()}
		}}}, quiet: true},
		"a judge that says nothing":          {looks: []look{{20, func(o *monitor.Observation) { o.Findings = nil }}}, quiet: true},
		"a target that failed":               {looks: []look{{minutes: 2}, {1, is(rollback.Failed)}}, returning: true},
		"a status of another revision":       {looks: []look{{9, func(o *monitor.Observation) { o.Status.Running = v1; o.Status.Health = rollback.Failed }}}, quiet: true},
		"another revision is deployed":       {looks: []look{{minutes: 2}, {1, func(o *monitor.Observation) { o.Current = v3 }}}, want: monitor.Superseded},
		"and fails, which is nobody's fault": {looks: []look{{minutes: 2}, {1, func(o *monitor.Observation) { o.Current = v3; verdict(analysis.Fail)(o) }}}, want: monitor.Superseded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now := watching(t)
			s = step(t, s, now, healthy()) // only what comes after the first look has been watched
			var last monitor.State
			for _, l := range c.looks {
				for range l.minutes {
					if s.Outcome != monitor.Unfinished || s.Returning {
						t.Fatalf("too early, after %v: %v", now.Sub(s.Began), s)
					}
					now = now.Add(time.Minute)
					o := healthy()
					if l.change != nil {
						l.change(&o)
					}
					last, s = s, step(t, s, now, o)
				}
			}
			if s.Outcome != c.want || s.Returning != c.returning || s.Why == "" {
				t.Errorf("got %v, returning %v, after %v", s, s.Returning, last)
			}
			if decided := s.Outcome != monitor.Unfinished || s.Returning; decided == c.quiet {
				t.Errorf("decided is %v: %v", decided, s)
			}
		})
	}
}

// step is a turn, which changes nothing but what it returns, and says the same twice.
func step(t *testing.T, s monitor.State, now time.Time, o monitor.Observation) monitor.State {
	t.Helper()
	had, rev := len(s.Findings), s.Rev
	before := s.Findings["errors"]
	next, err := monitor.Step(now, s, o, monitor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := monitor.Step(now, s, o, monitor.Limits{})
	if err != nil || again.String() != next.String() || len(s.Findings) != had || s.Findings["errors"] != before || s.Rev != rev {
		t.Errorf("the same turn again: %v, %v; its state became %v", again, err, s)
	}
	if next.Rev != rev+1 {
		t.Errorf("rev %d follows %d", next.Rev, rev)
	}
	return next
}

// TestOnlyTimeBetweenLooksIsWatched: not that before the first look, not that of a hold, none
// of a clock that was set back, and of a long pause a minute.
func TestOnlyTimeBetweenLooksIsWatched(t *testing.T) {
	t.Parallel()
	s, now := watching(t)
	for _, turn := range []struct {
		after time.Duration
		held  string
		want  time.Duration
	}{
		{after: 30 * time.Second, want: 0},
		{after: 10 * time.Second, want: 10 * time.Second},
		{after: 20 * time.Second, held: "lunch", want: 10 * time.Second},
		{after: 20 * time.Second, held: "lunch", want: 10 * time.Second},
		{after: 5 * time.Second, want: 15 * time.Second},
		{after: -time.Hour, want: 15 * time.Second},
		{after: time.Hour, want: 15*time.Second + monitor.Attention},
	} {
		now = now.Add(turn.after)
		s.Held = turn.held
		if s = step(t, s, now, healthy()); s.Watched != turn.want || s.Healthy != turn.want {
			t.Errorf("at %v: %v was watched, and %v healthy; want %v", now, s.Watched, s.Healthy, turn.want)
		}
	}
}

func TestWhatIsHeldCanBeSuperseded(t *testing.T) {
	t.Parallel()
	s, now := watching(t)
	s.Held, s.By = "lunch", "ann"
	o := healthy()
	o.Current = v3
	if s = step(t, s, now, o); s.Outcome != monitor.Superseded || s.Held != "" {
		t.Errorf("%v, held is %q", s, s.Held)
	}
}

// TestAnEarlierLookDecidesNothing: it was stuck for less than is allowed, a program with a
// shorter limit goes on, and cannot look.
func TestAnEarlierLookDecidesNothing(t *testing.T) {
	t.Parallel()
	for name, blind := range map[string]func(*monitor.Observation){"the status": unseen, "what is asked for": unasked} {
		s, now := watching(t)
		s.Unhealthy, s.Health = 5*time.Minute, rollback.Degraded
		o := healthy()
		blind(&o)
		limits := monitor.Limits{Stuck: time.Minute}
		if next, err := monitor.Step(now, s, o, limits); err != nil || next.Returning {
			t.Errorf("%s is not known: %v, %v", name, next, err)
		}
		o = healthy()
		is(rollback.Degraded)(&o)
		if next, err := monitor.Step(now, s, o, limits); err != nil || !next.Returning {
			t.Errorf("all is known: %v, %v", next, err)
		}
	}
}

// TestWhatIsOverOrDecidedStaysSo whatever is seen.
func TestWhatIsOverOrDecidedStaysSo(t *testing.T) {
	t.Parallel()
	s, now := watching(t)
	o := healthy()
	verdict(analysis.Fail)(&o)
	back := step(t, s, now, o)
	if !back.Returning {
		t.Fatal(back)
	}
	o.Current = v3
	ended := s
	ended.Outcome = monitor.Aborted
	for _, s := range []monitor.State{back, ended, {}} {
		if next, err := monitor.Step(now.Add(time.Minute), s, o, monitor.Limits{}); err != nil || next.Rev != s.Rev || next.Outcome != s.Outcome || next.String() != s.String() {
			t.Errorf("%v became %v, %v", s, next, err)
		}
	}
}

// TestWhatTheLedgerDoesNotKnowIsNotGood is a state that was put together by hand.
func TestWhatTheLedgerDoesNotKnowIsNotGood(t *testing.T) {
	t.Parallel()
	s, now := watching(t)
	s.Ledger, s.Seen, s.Healthy = rollback.Ledger{}, now, time.Hour
	if next, err := monitor.Step(now, s, healthy(), monitor.Limits{}); err == nil || next.Outcome != monitor.Unfinished {
		t.Errorf("%v, %v", next, err)
	}
}

func TestAStoreKeepsWhatFollows(t *testing.T) {
	t.Parallel()
	store, ctx := &monitor.MemoryStore{}, t.Context()
	first := monitor.State{Rev: 1, Run: 1, Why: "first"}
	if err := errors.Join(store.Save(ctx, "shop", 0, first), store.Save(ctx, "cart", 0, monitor.State{Rev: 1, Why: "another"})); err != nil {
		t.Fatal(err)
	}
	for _, prev := range []uint64{0, 2} {
		if err := store.Save(ctx, "shop", prev, monitor.State{Rev: prev + 1, Why: "second"}); !errors.Is(err, rollback.ErrConflict) {
			t.Errorf("after rev %d: %v", prev, err)
		}
	}
	if s, err := store.Load(ctx, "shop"); err != nil || s.Why != "first" {
		t.Errorf("%v, %v", s, err)
	}
}
