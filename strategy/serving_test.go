// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// TestTheNextReleaseBeginsWithWhatServes ends a run in every way there is, and begins the
// next one with what the state says that serves: a run refuses to begin where that is not so.
func TestTheNextReleaseBeginsWithWhatServes(t *testing.T) {
	t.Parallel()
	v1 := strategy.Revision{Version: "v1", Backend: "prod"}
	v2 := strategy.Revision{Version: "v2", Backend: "preview"}
	to := func(split traffic.Split) strategy.Step {
		return strategy.Step{Set: []strategy.Dial{{Target: "web", Split: split}}, Hold: time.Minute}
	}
	all, none := to(traffic.Split{Candidate: traffic.Full}), to(traffic.Split{})
	judged := all
	judged.Checks = []string{"errors"}
	for name, tt := range map[string]struct {
		steps []strategy.Step
		phase strategy.Phase
		want  strategy.Revision
	}{
		"switched":          {[]strategy.Step{all}, strategy.Promoted, v2},
		"for good":          {[]strategy.Step{all, {Name: "commit", Commit: true}}, strategy.Promoted, v2},
		"promoted in place": {[]strategy.Step{all, {Name: "commit", Commit: true}, none}, strategy.Promoted, strategy.Revision{Version: "v2", Backend: "prod"}},
		"only mirrored":     {[]strategy.Step{to(traffic.Split{Mirror: traffic.Full}), none}, strategy.Promoted, v1},
		"sent home":         {[]strategy.Step{judged}, strategy.RolledBack, v1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.says(analysis.Fail)
				plan := strategy.Plan{Lanes: []strategy.Lane{{Name: "web", Steps: tt.steps}}}
				if _, err := r.runner.Start(t.Context(), "shop", strategy.Request{Release: strategy.Release{Stable: v1, Candidate: v2}, Plan: plan}); err != nil {
					t.Fatal(err)
				}
				s, _ := r.runner.Run(t.Context(), "shop") // its error says how the run ended, as the phase does
				if s.Phase != tt.phase || s.Serving() != tt.want {
					t.Errorf("%v, and %+v serves; want %v and %+v", s.Phase, s.Serving(), tt.phase, tt.want)
				}
				if s.Phase == strategy.Promoted && s.LastGood != tt.want {
					t.Errorf("the last known good is %+v, want %+v", s.LastGood, tt.want)
				}
				time.Sleep(strategy.DefaultFlapWindow)
				next := strategy.Release{Stable: s.Serving(), Candidate: strategy.Revision{Version: "v3", Backend: "third"}}
				if _, err := r.runner.Start(t.Context(), "shop", strategy.Request{Release: next, Plan: plan}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNothingServesBeforeTheFirstRun(t *testing.T) {
	t.Parallel()
	if got := (strategy.State{}).Serving(); got != (strategy.Revision{}) {
		t.Errorf("%+v serves", got)
	}
}
