// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

func (t *turn) every(int) bool { return true }

// turnAround sends lanes home: every dial back at once as far as there is room,
// in the reverse of the order in which they were turned. Nothing but the
// destination is asked.
func (t *turn) turnAround(which func(lane int) bool, cause Cause, reason, by string) {
	t.s.Seq++
	t.s.Returning, t.s.Hold = 0, Hold{}
	t.s.Cause, t.s.Reason = cause, cmp.Or(reason, cause.String())
	first, all := -1, true
	for i := range slices.Backward(t.s.Lanes) {
		if !which(i) {
			all = false
			continue
		}
		first = i
		t.sendHome(i)
	}
	if all {
		t.s.Phase = RollingBack
	}
	if all && len(t.s.Lanes) > 1 {
		first = -1
	}
	t.note(ReturnBegan, first, "", t.s.Reason, by)
}

// sendHome begins one lane's return. What never began is home already.
func (t *turn) sendHome(i int) {
	lane, x := &t.s.Lanes[i], &t.in.lanes[i]
	armed := x.target < x.targets && t.s.Targets[x.target].Fence > 0
	if lane.Status == Home || !armed && len(t.undoable(i)) == 0 {
		lane.Status = Home
		return
	}
	lane.Status, lane.Stage, lane.Waited = Returning, Shifting, 0
	if !armed {
		return
	}
	for _, name := range t.in.plan.Back.Before {
		if id := (TaskID{t.in.laneName(i), -1, name}); t.task(id) == nil {
			t.s.Tasks = append(t.s.Tasks, TaskState{TaskID: id, Fence: t.s.Seq})
		}
	}
	t.lower(i, true)
}

// lower asks each of the lane's targets for the least weight that stable has
// room for, and reports whether that is less than before. Matches and mirrors go
// at once; who is on the candidate stays there until the weight leaves.
func (t *turn) lower(i int, first bool) (lowered bool) {
	x := &t.in.lanes[i]
	for k := x.targets - 1; k >= x.target; k-- {
		target := &t.s.Targets[k]
		if target.Fence == 0 {
			continue
		}
		split := traffic.Split{Candidate: t.least(k, first)}
		if split.Candidate > 0 {
			split.Sticky = target.Route.Split.Sticky
		}
		if first || !split.Equal(target.Route.Split) {
			t.command(k, split, t.s.Seq)
			lowered = true
		}
	}
	return lowered
}

// least is the lowest weight that target k may be asked for now: no lower than
// what keeps stable within its room, no lower than the stride allows, and never
// above what it has.
func (t *turn) least(k int, first bool) traffic.Weight {
	target := &t.s.Targets[k]
	have := target.Route.Split.Candidate
	seen, ok := t.seen(k)
	ours := ok && seen.Route.Arms == target.Route.Arms
	if ours {
		have = min(have, seen.Route.Split.Candidate)
	}
	var floor traffic.Weight
	if ours && seen.Room.Known && seen.Room.Stable < traffic.Full {
		floor = ceil(traffic.Full-seen.Room.Stable, target.Caps.Granularity)
	}
	if stride := t.in.plan.Back.Stride; stride > 0 {
		floor = max(floor, ceil(have-min(have, stride), target.Caps.Granularity))
		if !first && (!target.Seen || target.Agreed < t.in.plan.Back.Pace) {
			floor = have
		}
	}
	return min(have, floor)
}

// ceil is w moved up to the router's grain: on the way home, rounding must not
// give stable more than it has room for.
func ceil(w, grain traffic.Weight) traffic.Weight {
	if grain == 0 {
		return w
	}
	return min((w+grain-1)/grain*grain, traffic.Full)
}

// goHome brings the first lane that can be brought nearer home, and ends the run
// when all are there.
func (t *turn) goHome() {
	for i := range slices.Backward(t.s.Lanes) {
		if t.s.Lanes[i].Status != Returning {
			continue
		}
		if t.returnLane(i); t.made.Kind != 0 {
			return
		}
	}
	if !t.s.returning() {
		t.arrive()
	}
}

// returnLane brings one lane a stage nearer home.
func (t *turn) returnLane(i int) {
	lane := &t.s.Lanes[i]
	switch lane.Stage {
	case Shifting:
		t.s.Seq++
		if t.lower(i, false) {
			t.note(WeightLowered, i, "", "", "")
			return
		}
		t.s.Seq--
		if t.isHome(i) {
			lane.Stage, lane.Waited = Draining, 0
			t.note(ReturnSettled, i, "", "", "")
		}
	case Draining:
		if len(t.undoable(i)) == 0 || lane.Waited >= t.in.plan.Back.Drain {
			lane.Stage = Undoing
			t.undo(i)
		}
	case Undoing:
		t.undo(i)
	case Preparing, Arming, Holding: // only on the way forward
	}
}

// overdue ends a return that has outlived the plan's bound. It comes before
// everything else on the way home, so that nothing can put it off.
func (t *turn) overdue() bool {
	if !t.s.homeward() || t.s.Returning < t.in.plan.Back.Bound {
		return false
	}
	why := "it is not seen to be"
	for i := range t.s.Lanes {
		if t.s.Lanes[i].Status == Returning {
			why = t.tell(i)
			break
		}
	}
	t.strand(fmt.Sprintf("not home within %v: %s", t.in.plan.Back.Bound, why))
	return true
}

// isHome reports whether every target of the lane shows that nothing goes to
// the candidate.
func (t *turn) isHome(i int) bool {
	x := &t.in.lanes[i]
	for k := x.target; k < x.targets; k++ {
		if t.s.Targets[k].Fence > 0 && t.s.Targets[k].Route.Split.Touches() {
			return false
		}
	}
	return t.settled(i).kind == lacksNothing
}

// undoable are the indices of the lane's tasks that were started and not yet
// taken back. The tasks of the way home itself stay.
func (t *turn) undoable(i int) []int {
	var found []int
	for k := range t.s.Tasks {
		if task := &t.s.Tasks[k]; task.Lane == t.in.laneName(i) && task.Step >= 0 && !task.Undone {
			found = append(found, k)
		}
	}
	return found
}

// undo takes the lane's tasks back, the last one first. One that cannot be taken
// back does not keep the others from being.
func (t *turn) undo(i int) {
	left := t.undoable(i)
	if len(left) == 0 {
		t.s.Lanes[i].Status = Home
		t.note(LaneHome, i, "", "", "")
		return
	}
	task := &t.s.Tasks[left[len(left)-1]]
	if !task.Undoing {
		t.s.Seq++
		task.Undoing, task.Fence = true, t.s.Seq
		t.note(UndoStarted, i, task.Name, "", "")
		return
	}
	switch status := t.o.Tasks[task.TaskID]; status {
	case TaskDone, TaskFailed:
		task.Undone, task.Stuck = true, status == TaskFailed
		reason := ""
		if task.Stuck {
			reason = "it could not be taken back"
		}
		t.note(TaskUndone, i, task.Name, reason, "")
	case TaskUnknown, TaskTodo, TaskRunning:
	}
}

// arrive ends a run at home, if this turn shows that it is there: a lane that
// was home may have been moved since.
func (t *turn) arrive() {
	for i := range t.s.Lanes {
		if !t.isHome(i) {
			return
		}
	}
	for k := range t.s.Tasks {
		if task := &t.s.Tasks[k]; task.Stuck {
			t.strand(fmt.Sprintf("traffic is home, but task %q of lane %q could not be taken back", task.Name, task.Lane))
			return
		}
	}
	t.quarantine()
	t.end(RolledBack, RunRolledBack, t.s.Reason)
}

// quarantine notes a candidate that was sent home. One that was only superseded
// has done nothing wrong.
func (t *turn) quarantine() {
	if t.s.Cause.Automatic() {
		t.s.Returned, t.s.ReturnedWhy = t.now, t.s.Reason
	}
	if t.s.Cause == CauseSuperseded {
		return
	}
	q := Quarantined{Revision: t.s.Release.Candidate, Run: t.s.Run, At: t.now, Cause: t.s.Cause, Reason: t.s.Reason}
	rest := slices.DeleteFunc(t.s.Quarantine, func(o Quarantined) bool {
		return o.Revision.Identity() == q.Revision.Identity()
	})
	t.s.Quarantine = append([]Quarantined{q}, rest[:min(len(rest), maxQuarantine-1)]...)
}

// strand ends a return that cannot arrive. The last safe route stays.
func (t *turn) strand(reason string) {
	t.s.Hold = Hold{ID: t.s.Rev + 1, Since: t.now, Reason: reason}
	t.quarantine()
	t.end(RollbackFailed, RunStranded, reason)
}

// rescue lets a person end what the machine could not.
func (t *turn) rescue() {
	switch {
	case t.s.Phase == RollbackFailed && t.intent.Resume == t.s.Hold.ID:
		for k := range t.s.Tasks {
			if task := &t.s.Tasks[k]; task.Stuck {
				task.Undone, task.Stuck = false, false
			}
		}
		t.restart(t.s.Cause, t.s.Reason, t.intent.By)
	case t.s.Phase == Partial && t.intent.Abort:
		t.restart(CauseAbort, t.intent.Why, t.intent.By)
	case t.s.Phase == Partial && !t.s.Next.Plan.IsZero():
		t.restart(CauseSuperseded, "wanted instead: "+t.s.Next.Release.Candidate.Version, t.s.Next.Override.By)
	}
}

// restart begins the way home again, from wherever the dials are.
func (t *turn) restart(cause Cause, reason, by string) {
	t.s.Ended = time.Time{}
	t.turnAround(t.every, cause, reason, by)
}
