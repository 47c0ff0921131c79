// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategytest

import (
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// FullState is a state in which every field that a store must keep has a value,
// different from rev to rev. It is one that a store may be given; it is not one
// that a rollout would come to. Each call makes a new one.
func FullState(service string, rev uint64) strategy.State {
	plan := fullPlan()
	at, tick := moment(rev), time.Duration(rev)*time.Millisecond
	stable := strategy.Revision{Version: "v1.0.0", Digest: "sha256:1", Backend: "blue"}
	candidate := strategy.Revision{Version: fmt.Sprintf("v2.%d.0", rev), Digest: "sha256:2", Backend: "green"}
	route := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}, Split: fullSplit()}
	caps := traffic.Caps{
		Granularity: 1, Mirror: true, Match: true, Query: true, Sticky: true, Fencing: true, Room: true,
		Evidence: traffic.Effective, Lag: time.Second + 1, Toggle: true, Drops: true,
	}
	task := strategy.TaskID{Lane: "eu", Step: 1, Name: "scale"}
	s := strategy.State{
		Version: strategy.StateVersion, Service: service, Run: 3, Rev: rev, Seq: rev + 1,
		Release: strategy.Release{Stable: stable, Candidate: candidate}, Plan: plan,
		Phase: strategy.RollingBack, Cause: strategy.CauseCheck, Reason: fmt.Sprintf("rev %d: 5 > 4 & \"errors\" <failed>\u2028", rev),
		Began: at, Ended: at.Add(1), Watched: at.Add(2), Returning: tick,
		Lanes: []strategy.LaneState{
			{Status: strategy.Returning, Step: 1, Stage: strategy.Draining, Task: 1, Spent: tick, Held: tick + 1, Waited: tick + 2, Settled: at, Exposed: at.Add(3), Bound: true},
			{Status: strategy.Moving, Stage: strategy.Holding},
		},
		Targets: []strategy.TargetState{
			{Name: "eu", Caps: caps, Route: route, Fence: rev, Seen: true, Agreed: tick, Repaired: 2},
			{Name: "us", Caps: caps, Route: route},
		},
		Checks: []strategy.CheckState{
			{Lane: "eu", Name: "errors", Finding: analysis.Finding{
				Run: 3, Step: 1, Since: at, At: at.Add(4), Verdict: analysis.Fail, Value: 0.1, Baseline: 1.0 / 3, Low: 1e-9, High: 1e21,
				N: 1<<53 + 1, BaselineN: rev, Evidence: -2.5, Reason: "too many", State: `{"seen":[1,2,3]}`,
			}},
			{Lane: "us", Name: "errors"},
		},
		Tasks:     []strategy.TaskState{{TaskID: task, Fence: rev, Done: true, Undoing: true, Undone: true, Stuck: true}},
		Committed: true, Stopped: true, Paused: true,
		Hold: strategy.Hold{ID: rev, Since: at, Lane: "eu", Reason: "somebody else turned it"},
		Intent: strategy.Intent{
			Run: 3, Want: candidate, Hold: true, Abort: true, Promote: true, Waive: []strategy.StepRef{{Lane: "eu", Step: "5%"}},
			Approvals: []strategy.Grant{{StepRef: strategy.StepRef{Lane: "eu", Step: "100%"}, Digest: plan.Digest(), By: "ada", Why: "seen"}},
			Resume:    7, By: "ben", Why: "because",
		},
		Next: strategy.Next{
			Release: strategy.Release{Stable: stable, Candidate: candidate}, Plan: plan,
			Caps: map[string]traffic.Caps{"eu": caps, "us": caps}, Override: strategy.Override{By: "ada", Why: "urgent"},
		},
		LastGood:   stable,
		Quarantine: []strategy.Quarantined{{Revision: candidate, Run: 2, At: at, Cause: strategy.CauseTask, Reason: "bad"}},
		Returned:   at.Add(5), ReturnedWhy: "errors failed",
	}
	for i := range s.Recent {
		s.Recent[i] = strategy.Transition{
			Rev: rev, Seq: rev, Run: 3, At: at, Kind: strategy.ReturnBegan,
			Lane: "eu", Step: "5%", Subject: "errors", Weight: 1, Verdict: analysis.Fail, Reason: "failed", By: "ben",
		}
	}
	return s
}

// moment has nanoseconds, which a store may not round.
func moment(rev uint64) time.Time {
	return time.Date(2026, 2, 28, 23, 59, 59, 123_456_789, time.UTC).Add(time.Duration(rev) * time.Hour)
}

func fullSplit() traffic.Split {
	return traffic.Split{
		Candidate: 50_001, Mirror: 2,
		Match:  []traffic.Match{{Header: "x-ring", Value: "internal"}, {Cookie: "preview"}, {Query: "preview"}},
		Sticky: traffic.Sticky{Cookie: "side"},
	}
}

// fullPlan is a plan with two lanes and a bit of everything.
func fullPlan() strategy.Frozen {
	lane := func(name string, after ...string) strategy.Lane {
		return strategy.Lane{Name: name, After: after, Steps: []strategy.Step{
			{Name: "5%", Set: []strategy.Dial{{Target: name, Split: fullSplit()}}, Hold: time.Minute, Min: time.Second, Checks: []string{"errors"}},
			{
				Name: "100%", Before: []string{"scale"}, Set: []strategy.Dial{{Target: name, Split: traffic.Split{Candidate: traffic.Full}}},
				Approval: &strategy.Approval{Need: 2, Timeout: time.Hour},
			},
		}}
	}
	frozen, err := strategy.Freeze(strategy.Plan{
		Name: "rings", Lanes: []strategy.Lane{lane("eu"), lane("us", "eu")}, OnFail: strategy.ThisLane,
		Back: strategy.Back{Before: []string{"room"}, Stride: traffic.Percent(25), Pace: time.Second},
	})
	if err != nil {
		panic("BUG: strategytest: " + err.Error())
	}
	return frozen
}
