// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// judge takes in what the judges found. What they remember is kept as it
// changes; a new verdict is a transition; Fail turns around.
func (t *turn) judge() bool {
	failed := -1
	for c := range t.in.checks {
		f := t.answered(c)
		if f == nil {
			continue
		}
		check := &t.s.Checks[c]
		news := f.Verdict != check.Finding.Verdict
		if news || f.State != check.Finding.State {
			check.Finding = *f
			t.changed = true
		}
		if f.Verdict == analysis.Fail && failed < 0 {
			failed = c
		}
		// That nothing is known yet is kept, and no news to anybody.
		if news && f.Verdict != analysis.Pending && t.made.Kind == 0 {
			t.note(VerdictChanged, t.in.checks[c].lane, check.Name, f.Reason, "")
			t.made.Verdict = f.Verdict
		}
	}
	if failed >= 0 {
		reason := fmt.Sprintf("check %q failed: %s", t.in.checks[failed].name, t.s.Checks[failed].Finding.Reason)
		t.fail(t.in.checks[failed].lane, CauseCheck, reason)
	}
	return t.made.Kind != 0
}

// fail turns around as far as the plan says, unless there is no way back.
func (t *turn) fail(lane int, cause Cause, reason string) {
	alone := t.in.plan.OnFail == ThisLane && len(t.in.lanes) > 1
	bound := t.s.Lanes[lane].Bound || !alone && t.bound()
	switch {
	case t.s.Committed:
		t.page(lane, reason+"; past a commit home is the candidate", "")
	case bound:
		t.page(lane, reason+"; a one-way step has begun, so nothing returns by itself", "")
	case alone:
		t.s.Stopped = true
		t.turnAround(func(i int) bool { return i == lane }, cause, reason, "")
	default:
		t.turnAround(t.every, cause, reason, "")
	}
}

// repair puts back a route that somebody else changed. The hold restarts; the
// deadline does not. Past the plan's limit it stops fighting and pages.
func (t *turn) repair() bool {
	for i := range t.s.Targets {
		if !t.foreign(i) {
			continue
		}
		target := &t.s.Targets[i]
		lane := &t.s.Lanes[t.in.targets[i].lane]
		seen, _ := t.seen(i)
		reason := fmt.Sprintf("%s set %v", writerOf(seen), seen.Route)
		if target.Repaired >= t.in.plan.Repairs && lane.Status != Returning {
			t.page(t.in.targets[i].lane, fmt.Sprintf("target %q: %s, again after %d repairs", target.Name, reason, target.Repaired), "")
			if t.made.Kind != 0 {
				return true
			}
			continue
		}
		t.s.Seq++
		target.Repaired++
		t.putBack(i, lane, seen.Route.Arms)
		t.note(DriftRepaired, t.in.targets[i].lane, target.Name, reason, seen.Writer)
		return true
	}
	return false
}

// putBack asks for target i's route again. One that shows other arms, or none
// because it has forgotten everything, has nothing of ours in force and says
// nothing about room for our arms: it is armed anew, and the step begins again.
func (t *turn) putBack(i int, lane *LaneState, shown traffic.Arms) {
	target := &t.s.Targets[i]
	if shown != target.Route.Arms && (lane.Status == Moving || lane.Status == Done) {
		t.command(i, traffic.Split{}, t.s.Seq)
		lane.Status, lane.Stage, lane.Held, lane.Settled = Moving, Arming, 0, time.Time{}
		return
	}
	t.command(i, target.Route.Split, t.s.Seq)
	if lane.Stage == Holding {
		lane.Stage, lane.Held, lane.Settled = Shifting, 0, time.Time{}
	}
}

func writerOf(seen *traffic.Seen) string {
	if seen.Writer == "" {
		return "somebody else"
	}
	return seen.Writer
}

// catchUp raises Seq to the highest fence that any target remembers. It is
// behind only when the state was restored from an older copy; a runner that was
// overtaken fails to save this.
func (t *turn) catchUp() bool {
	for i := range t.s.Targets {
		if seen := t.o.Seen[t.s.Targets[i].Name]; seen.Fence > t.s.Seq && t.s.Targets[i].Caps.Fencing {
			t.s.Seq++
			t.note(FenceRaised, -1, t.s.Targets[i].Name, fmt.Sprintf("it remembers fence %d", seen.Fence), "")
			return true
		}
	}
	return false
}
