// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// assert lists what the world does not show and should. It goes by the state
// and what was seen alone, so the same effects are asked for after a crash, and
// every turn until they are seen.
func (t *turn) assert() {
	if !t.s.Active() {
		return
	}
	t.assertTasks(false)
	if t.s.Phase == RollingBack {
		for i := range slices.Backward(t.s.Lanes) {
			t.assertRoutes(i)
		}
	} else {
		for i := range t.s.Lanes {
			t.assertRoutes(i)
		}
	}
	t.assertTasks(true)
}

// assertRoutes asks for a lane's routes in the order of its dials, or in the
// reverse of it on the way home.
func (t *turn) assertRoutes(i int) {
	x, lane := &t.in.lanes[i], &t.s.Lanes[i]
	home := lane.Status == Returning || lane.Status == Home
	for n := range x.targets - x.target {
		k := x.target + n
		if home {
			k = x.targets - 1 - n
		}
		t.assertRoute(k, home)
	}
}

// assertRoute asks for target k's route unless it is there already. This is the
// one place where a route is asked for, so room is looked at here, in the turn
// of the write.
func (t *turn) assertRoute(k int, home bool) {
	target := &t.s.Targets[k]
	if target.Fence == 0 || t.foreign(k) {
		return
	}
	seen, ok := t.seen(k)
	if ok && seen.Route.Equal(target.Route) && seen.Fence >= target.fence() {
		return
	}
	if t.room(k, target.Route.Split, home).kind != lacksNothing {
		return
	}
	route := target.Route
	route.Split = route.Split.Clone()
	t.effects = append(t.effects, &SetRoute{Target: target.Name, Fence: target.Fence, Route: route, Home: home})
}

// assertTasks asks for tasks to be begun, or taken back: those that say that
// they have not been, and the one that this turn decided on.
func (t *turn) assertTasks(back bool) {
	for k := range t.s.Tasks {
		task := &t.s.Tasks[k]
		if task.Undoing != back || !task.open() {
			continue
		}
		decided := t.changed && task.Fence == t.s.Seq && (t.made.Kind == TaskStarted || t.made.Kind == UndoStarted || t.made.Kind == ReturnBegan)
		if !decided && t.o.Tasks[task.TaskID] != TaskTodo {
			continue
		}
		if back {
			t.effects = append(t.effects, &UndoTask{t.s.ref(*task)})
		} else {
			t.effects = append(t.effects, &DoTask{t.s.ref(*task)})
		}
	}
}

// wake is when something can have changed without anybody saying so.
func (t *turn) wake() time.Time {
	queued := !t.s.Next.Plan.IsZero()
	switch {
	case !t.s.Active() && !queued:
		return time.Time{}
	case t.made.Kind != 0:
		return t.now
	}
	wait := Attention / 2
	sooner := func(d time.Duration) {
		if d > 0 {
			wait = min(wait, d)
		}
	}
	for i := range t.s.Lanes {
		t.wakeLane(i, sooner)
	}
	for i := range t.s.Targets {
		sooner(t.confirmed(i).after)
	}
	for _, block := range t.o.Blocks {
		sooner(block.Until.Sub(t.now))
	}
	if t.s.homeward() {
		sooner(t.in.plan.Back.Bound - t.s.Returning)
	}
	return t.now.Add(wait)
}

func (t *turn) wakeLane(i int, sooner func(time.Duration)) {
	lane, step := &t.s.Lanes[i], t.step(i)
	switch {
	case lane.Status == Moving:
		sooner(step.Deadline - lane.Spent)
		if lane.Stage == Holding {
			sooner(t.evidence(i).after)
			if step.Approval != nil {
				sooner(step.Approval.Timeout - lane.Waited)
			}
		}
	case lane.Status == Returning && lane.Stage == Draining:
		sooner(t.in.plan.Back.Drain - lane.Waited)
	case lane.Status == Returning && lane.Stage == Shifting:
		if x := &t.in.lanes[i]; x.target < x.targets {
			sooner(t.in.plan.Back.Pace - t.s.Targets[x.target].Agreed)
		}
	}
}

// tell says in words what lane i waits for.
func (t *turn) tell(i int) string {
	return t.words(t.waitsFor(i))
}

// waitsFor is what lane i lacks at the stage where it is.
func (t *turn) waitsFor(i int) lack {
	lane := &t.s.Lanes[i]
	switch lane.Status {
	case Waiting:
		return t.mayBegin(i)
	case Moving:
		// What stops the clocks comes first: time does not help against it.
		if l := t.forward(); l.kind != lacksNothing && l.kind != lacksBlock {
			return l
		}
	case Returning:
	case Done, Home:
		return ready
	}
	switch lane.Stage {
	case Preparing:
		return t.preparing(i)
	case Arming:
		if l := t.written(i); l.kind != lacksNothing {
			return l
		}
		return t.mayTurn(i)
	case Holding:
		if l := t.gates(i); l.kind != lacksNothing {
			return l
		}
		return t.forward()
	case Draining:
		return lack{kind: lacksTime, after: t.in.plan.Back.Drain - lane.Waited}
	case Undoing:
		if left := t.undoable(i); len(left) > 0 {
			return lack{kind: lacksTask, lane: i, subject: t.s.Tasks[left[len(left)-1]].Name}
		}
	case Shifting:
		return t.written(i)
	}
	return ready
}

// written is what the lane's routes lack to be written and in force. Room comes
// first: it is why a route may not have been written.
func (t *turn) written(i int) lack {
	lane, x := &t.s.Lanes[i], &t.in.lanes[i]
	for k := x.target; k < x.targets; k++ {
		target := &t.s.Targets[k]
		if l := t.room(k, target.Route.Split, lane.Status == Returning); l.kind == lacksRoom || l.kind == lacksStable {
			return l
		}
		if lane.Status == Returning && target.Route.Split.Candidate > 0 {
			seen, _ := t.seen(k)
			return lack{kind: lacksRoom, target: k, need: traffic.Full, have: seen.Room.Stable, subject: t.s.Release.Stable.Arm()}
		}
	}
	return t.settled(i)
}

func (t *turn) preparing(i int) lack {
	lane, step := &t.s.Lanes[i], t.step(i)
	if lane.Task < len(step.Before) {
		if t.task(TaskID{t.in.laneName(i), lane.Step, step.Before[lane.Task]}) == nil {
			if l := t.forward(); l.kind != lacksNothing {
				return l
			}
		}
		return lack{kind: lacksTask, lane: i, subject: step.Before[lane.Task]}
	}
	if t.armed(i) {
		return t.mayTurn(i)
	}
	if l := t.forward(); l.kind != lacksNothing {
		return l
	}
	x := &t.in.lanes[i]
	for k := x.target; k < x.targets; k++ {
		if l := t.room(k, traffic.Split{}, false); l.kind != lacksNothing {
			return l
		}
	}
	return ready
}
