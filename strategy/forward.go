// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

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

// order does what the operator asks, strongest first.
func (t *turn) order() bool {
	wanted, superseded := t.superseded()
	switch {
	case t.intent.Abort && !t.s.Committed:
		t.turnAround(t.every, CauseAbort, t.intent.Why, t.intent.By)
	case t.intent.Abort && t.s.Hold.ID == 0:
		t.page(-1, "asked to abort past a commit: home is the candidate; resume, or promote, to complete", t.intent.By)
	case superseded && !t.s.Committed && !t.bound():
		t.turnAround(t.every, CauseSuperseded, "wanted instead: "+wanted, t.s.Next.Override.By)
	case t.s.Hold.ID != 0 && t.intent.Resume == t.s.Hold.ID:
		t.resume()
	case t.known && t.intent.Hold != t.s.Paused:
		t.s.Paused = t.intent.Hold
		kind := HoldEnded
		if t.s.Paused {
			kind = HoldBegan
		}
		t.note(kind, -1, "", t.intent.Why, t.intent.By)
	}
	return t.made.Kind != 0
}

func (t *turn) superseded() (by string, yes bool) {
	switch {
	case !t.s.Next.Plan.IsZero():
		return t.s.Next.Release.Candidate.Version, true
	case t.intent.Want != Revision{} && !t.intent.Want.Is(t.s.Release.Candidate):
		return t.intent.Want.Version, true
	}
	return "", false
}

// bound reports whether any lane has begun a one-way step.
func (t *turn) bound() bool {
	return slices.ContainsFunc(t.s.Lanes, func(l LaneState) bool { return l.Bound })
}

// resume releases the machine's own hold. Deadlines and repairs start anew:
// somebody has looked.
func (t *turn) resume() {
	t.note(Resumed, -1, "", t.s.Hold.Reason, t.intent.By)
	t.s.Hold = Hold{}
	for i := range t.s.Lanes {
		t.s.Lanes[i].Spent, t.s.Lanes[i].Waited = 0, 0
	}
	for i := range t.s.Targets {
		t.s.Targets[i].Repaired = 0
	}
}

// page stops and calls for a person. It never keeps anybody from going home.
func (t *turn) page(lane int, reason, by string) {
	if t.s.Hold.ID != 0 {
		return
	}
	t.s.Hold = Hold{ID: t.s.Rev + 1, Since: t.now, Reason: reason}
	if lane >= 0 {
		t.s.Hold.Lane = t.in.laneName(lane)
	}
	t.note(Paged, lane, "", reason, by)
}

// judge takes in what the judges found. What they remember is kept as it
// changes; a new verdict is a transition; Fail turns around.
func (t *turn) judge() bool {
	failed := -1
	for c := range t.in.checks {
		f, ok := t.answer(c)
		if !ok {
			continue
		}
		check := &t.s.Checks[c]
		news := f.Verdict != check.Finding.Verdict
		if news || f.State != check.Finding.State {
			check.Finding = f
			t.changed = true
		}
		if f.Verdict == analysis.Fail && failed < 0 {
			failed = c
		}
		if news && t.made.Kind == 0 {
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
		seen := t.o.Seen[target.Name]
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
		t.command(i, target.Route.Split, t.s.Seq)
		if lane.Stage == Holding {
			lane.Stage, lane.Held, lane.Settled = Shifting, 0, time.Time{}
		}
		t.note(DriftRepaired, t.in.targets[i].lane, target.Name, reason, seen.Writer)
		return true
	}
	return false
}

func writerOf(seen traffic.Seen) string {
	if seen.Writer == "" {
		return "somebody else"
	}
	return seen.Writer
}

// progress moves the first lane that can be moved.
func (t *turn) progress() {
	for i := range t.s.Lanes {
		switch t.s.Lanes[i].Status {
		case Waiting:
			if t.mayBegin(i).kind == lacksNothing {
				t.s.Lanes[i].Status = Moving
				t.enter(i, 0)
			}
		case Moving:
			t.move(i)
		case Returning:
			t.returnLane(i)
		case Done, Home:
		}
		if t.made.Kind != 0 {
			return
		}
	}
	t.finish()
}

// mayBegin is what a waiting lane lacks to begin.
func (t *turn) mayBegin(i int) lack {
	if l := t.forward(); l.kind != lacksNothing {
		return l
	}
	for _, after := range t.in.lanes[i].after {
		if t.s.Lanes[after].Status != Done {
			return lack{kind: lacksLane, subject: t.in.laneName(after)}
		}
	}
	moving := 0
	for k := range t.s.Lanes {
		if t.s.Lanes[k].Status == Moving || t.s.Lanes[k].Status == Returning {
			moving++
		}
	}
	if moving >= t.in.plan.MaxParallel || t.s.Stopped {
		return lack{kind: lacksTurn}
	}
	return ready
}

// enter brings a lane to a step, and turns its dials at once if nothing has to
// be done before.
func (t *turn) enter(i, step int) {
	lane := &t.s.Lanes[i]
	lane.Step, lane.Stage, lane.Task = step, Preparing, 0
	lane.Spent, lane.Held, lane.Waited, lane.Settled = 0, 0, 0, time.Time{}
	if t.prepare(i); t.made.Kind == 0 {
		t.note(StepEntered, i, "", "", "")
	}
}

// move brings a moving lane one stage on.
func (t *turn) move(i int) {
	lane := &t.s.Lanes[i]
	switch lane.Stage {
	case Preparing:
		t.prepare(i)
	case Arming:
		if t.settled(i).kind == lacksNothing {
			t.turnDials(i)
		}
	case Shifting:
		if t.settled(i).kind == lacksNothing {
			lane.Stage, lane.Held, lane.Settled = Holding, 0, t.now
			t.note(StepSettled, i, "", "", "")
		}
	case Holding:
		if t.gates(i).kind == lacksNothing && t.forward().kind == lacksNothing {
			t.leave(i)
		}
	case Draining, Undoing: // only on the way home
	}
	if t.made.Kind == 0 {
		t.deadline(i)
	}
}

// leave goes on to the next step, or ends the lane.
func (t *turn) leave(i int) {
	lane := &t.s.Lanes[i]
	if lane.Step+1 < t.in.lanes[i].steps {
		t.enter(i, lane.Step+1)
		return
	}
	lane.Status = Done
	t.note(LaneDone, i, "", "", "")
}

// prepare does the step's tasks one after the other, then arms, then turns the dials.
func (t *turn) prepare(i int) {
	lane, step := &t.s.Lanes[i], t.step(i)
	if lane.Task == len(step.Before) {
		if t.armed(i) {
			t.turnDials(i)
		} else {
			t.arm(i)
		}
		return
	}
	id := TaskID{t.in.laneName(i), lane.Step, step.Before[lane.Task]}
	task := t.task(id)
	if task == nil {
		if t.forward().kind == lacksNothing {
			t.startTask(i, id)
		}
		return
	}
	switch t.o.Tasks[id] {
	case TaskDone:
		task.Done = true
		lane.Task++
		t.note(TaskFinished, i, id.Name, "", "")
	case TaskFailed:
		t.fail(i, CauseTask, fmt.Sprintf("task %q failed before step %q", id.Name, step.Name))
	case TaskUnknown, TaskTodo, TaskRunning:
	}
}

func (t *turn) startTask(i int, id TaskID) {
	t.s.Seq++
	t.s.Tasks = append(t.s.Tasks, TaskState{TaskID: id, Fence: t.s.Seq})
	t.s.Lanes[i].Bound = t.s.Lanes[i].Bound || t.step(i).OneWay
	t.note(TaskStarted, i, id.Name, "", "")
}

func (t *turn) task(id TaskID) *TaskState {
	for k := range t.s.Tasks {
		if t.s.Tasks[k].TaskID == id {
			return &t.s.Tasks[k]
		}
	}
	return nil
}

// armed reports whether the lane's targets have been told this run's arms.
func (t *turn) armed(i int) bool {
	x := &t.in.lanes[i]
	return x.target == x.targets || t.s.Targets[x.target].Fence > 0
}

// arm asks the lane's targets for 0% between this run's arms. Nothing moves by
// that; it fences whoever came before.
func (t *turn) arm(i int) {
	x := &t.in.lanes[i]
	if t.forward().kind != lacksNothing {
		return
	}
	for k := x.target; k < x.targets; k++ {
		if t.room(k, traffic.Split{}, false).kind != lacksNothing {
			return
		}
	}
	t.s.Seq++
	for k := x.target; k < x.targets; k++ {
		t.command(k, traffic.Split{}, t.s.Seq)
	}
	t.s.Lanes[i].Stage = Arming
	t.note(LaneArmed, i, "", "", "")
}

// turnDials asks for the step's splits, if there is room for all of them now. A
// step that leaves every dial where it is asks for nothing.
func (t *turn) turnDials(i int) {
	lane, x, step := &t.s.Lanes[i], &t.in.lanes[i], t.step(i)
	if t.mayTurn(i).kind != lacksNothing {
		return
	}
	fence, kind := t.s.Seq+1, StepEntered
	for k := x.target; k < x.targets; k++ {
		split := t.in.targets[k].splits[lane.Step]
		if split.Touches() && lane.Exposed.IsZero() {
			lane.Exposed = t.now
		}
		if !split.Equal(t.s.Targets[k].Route.Split) {
			t.command(k, split, fence)
			t.s.Seq, kind = fence, DialsTurned
		}
	}
	t.s.Committed = t.s.Committed || step.Commit
	lane.Bound = lane.Bound || step.OneWay
	lane.Stage = Shifting
	t.note(kind, i, "", "", "")
}

// mayTurn is what the step's splits lack to be asked for.
func (t *turn) mayTurn(i int) lack {
	if l := t.forward(); l.kind != lacksNothing {
		return l
	}
	x := &t.in.lanes[i]
	for k := x.target; k < x.targets; k++ {
		if l := t.room(k, t.in.targets[k].splits[t.s.Lanes[i].Step], false); l.kind != lacksNothing {
			return l
		}
	}
	return ready
}

// deadline ends a step that has taken too long, as the plan says.
func (t *turn) deadline(i int) {
	lane, step := &t.s.Lanes[i], t.step(i)
	var reason string
	switch {
	case lane.Spent >= step.Deadline:
		reason = fmt.Sprintf("step %q was not over within %v: %s", step.Name, step.Deadline, t.tell(i))
	case step.Approval != nil && lane.Waited >= step.Approval.Timeout && t.onlyWaits(i) && t.gates(i).kind == lacksApproval:
		reason = fmt.Sprintf("step %q was not approved within %v", step.Name, step.Approval.Timeout)
	default:
		return
	}
	if t.in.plan.OnTimeout == HoldAndPage {
		t.page(i, reason, "")
		return
	}
	t.fail(i, CauseDeadline, reason)
}

// finish ends the run once no lane can do anything more.
func (t *turn) finish() {
	done, home := 0, 0
	for i := range t.s.Lanes {
		switch t.s.Lanes[i].Status {
		case Done:
			done++
		case Home:
			home++
		case Waiting:
			if !t.s.Stopped {
				return
			}
			home++
		case Moving, Returning:
			return
		}
	}
	switch {
	case home == 0:
		t.end(Promoted, RunPromoted, "")
		t.s.LastGood = t.s.Release.Candidate
		t.s.Quarantine = slices.DeleteFunc(t.s.Quarantine, func(q Quarantined) bool {
			return q.Revision.Identity() == t.s.Release.Candidate.Identity()
		})
	case done == 0:
		t.arrive()
	default:
		t.quarantine()
		t.end(Partial, RunPartial, t.s.Reason)
	}
}

func (t *turn) end(phase Phase, kind TransitionKind, reason string) {
	t.s.Phase, t.s.Ended = phase, t.now
	t.note(kind, -1, "", reason, "")
}
