// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

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
	case step.Approval != nil && lane.Stage == Holding && lane.Waited >= step.Approval.Timeout && t.gates(i).kind == lacksApproval:
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
		t.s.LastGood = t.s.Serving()
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
