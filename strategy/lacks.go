// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/traffic"
)

// lack is the first thing that keeps a lane from moving on. Step asks for it to
// decide and Explain to tell, so that the two cannot disagree.
type lack struct {
	kind    lackKind
	target  int // of the targets, where it is about one
	check   int // of the checks, where it is about one
	lane    int // of the lanes, where it is about one
	subject string
	need    traffic.Weight
	have    traffic.Weight
	after   time.Duration // how much longer it takes, 0 if that is not known
	until   time.Time     // or until when
}

type lackKind uint8

const (
	lacksNothing lackKind = iota
	lacksIntent
	lacksOperator
	lacksRelease
	lacksBlock
	lacksLane
	lacksTurn
	lacksTask
	lacksSight
	lacksRoute
	lacksEvidence
	lacksLag
	lacksRoom
	lacksStable
	lacksTime
	lacksCheck
	lacksApproval
)

var ready = lack{}

// agrees reports whether target i shows the route asked for, as well as it can
// show it, and accepted from us.
func (t *turn) agrees(i int) bool {
	target := &t.s.Targets[i]
	seen, ok := t.seen(i)
	return ok && seen.Route.Equal(target.Route) && seen.Evidence >= target.Caps.Evidence && seen.Fence >= target.fence()
}

// fence is the lowest fence that shows that our write arrived.
func (t *TargetState) fence() uint64 {
	if t.Caps.Fencing {
		return t.Fence
	}
	return 0
}

// foreign reports whether target i shows another route although ours had arrived.
func (t *turn) foreign(i int) bool {
	target := &t.s.Targets[i]
	seen, ok := t.seen(i)
	if !ok || target.Fence == 0 || seen.Route.Equal(target.Route) {
		return false
	}
	return target.Seen || target.Caps.Fencing && seen.Fence >= target.Fence
}

// confirmed is what target i lacks to be in force and past its lag.
func (t *turn) confirmed(i int) lack {
	target := &t.s.Targets[i]
	seen, ok := t.seen(i)
	switch {
	case !ok:
		return lack{kind: lacksSight, target: i}
	case !seen.Route.Equal(target.Route) || seen.Fence < target.fence():
		return lack{kind: lacksRoute, target: i}
	case seen.Evidence < target.Caps.Evidence:
		return lack{kind: lacksEvidence, target: i}
	case target.Agreed < target.Caps.Lag:
		return lack{kind: lacksLag, target: i, after: target.Caps.Lag - target.Agreed}
	}
	return ready
}

// settled is what the lane's targets lack to be all in force.
func (t *turn) settled(lane int) lack {
	x := &t.in.lanes[lane]
	for i := x.target; i < x.targets; i++ {
		if t.s.Targets[i].Fence == 0 {
			continue
		}
		if l := t.confirmed(i); l.kind != lacksNothing {
			return l
		}
	}
	return ready
}

// inForce is settled, with room for what is in force: time on a candidate that
// cannot carry its share shows nothing.
func (t *turn) inForce(lane int) lack {
	if l := t.settled(lane); l.kind != lacksNothing {
		return l
	}
	x := &t.in.lanes[lane]
	for i := x.target; i < x.targets; i++ {
		if l := t.carries(i, t.s.Targets[i].Route.Split); l.kind != lacksNothing {
			return l
		}
	}
	return ready
}

// carries is what the candidate of target i lacks to carry its part of split.
func (t *turn) carries(i int, split traffic.Split) lack {
	if !split.Touches() {
		return ready
	}
	seen, _ := t.seen(i)
	room := &seen.Room
	if need := max(split.Candidate, 1); !room.Known || room.Candidate < need {
		return lack{kind: lacksRoom, target: i, need: need, have: room.Candidate, subject: t.s.Release.Candidate.Arm()}
	}
	return ready
}

// room is what target i lacks so that split may be written now: for each side
// whose share rises, room for it. Falling back to stable is refused only by a
// room that is known to be too small; moving forward also by one that is not known.
func (t *turn) room(i int, split traffic.Split, home bool) lack {
	seen, ok := t.seen(i)
	arms := t.s.Release.Arms()
	if !ok {
		if home {
			return ready
		}
		return lack{kind: lacksSight, target: i}
	}
	if seen.Route.Arms != arms {
		// Its room speaks of other arms. Naming ours moves nothing if stable
		// alone serves already, or if nothing was ever set.
		if home || !split.Touches() && (seen.Route.IsZero() || seen.Route.Serves() == arms.Stable) {
			return ready
		}
		return lack{kind: lacksStable, target: i, subject: seen.Route.String()}
	}
	if stable := traffic.Full - split.Candidate; split.Candidate < seen.Route.Split.Candidate {
		if seen.Room.Known && seen.Room.Stable < stable || !seen.Room.Known && !home {
			return lack{kind: lacksRoom, target: i, need: stable, have: seen.Room.Stable, subject: arms.Stable}
		}
		return ready
	}
	if home {
		return ready
	}
	return t.carries(i, split)
}

// forward is what is missing for anything to move forward at all.
func (t *turn) forward() lack {
	switch {
	case !t.known:
		return lack{kind: lacksIntent}
	case t.intent.Hold || t.s.Paused:
		return lack{kind: lacksOperator}
	case t.s.Hold.ID != 0:
		return lack{kind: lacksRelease}
	}
	for _, block := range t.o.Blocks {
		if block.Until.IsZero() || block.Until.After(t.now) {
			return lack{kind: lacksBlock, subject: block.Why, until: block.Until}
		}
	}
	return ready
}

// gates is what the step of a holding lane lacks to be over, forward() apart.
func (t *turn) gates(i int) lack {
	if l := t.inForce(i); l.kind != lacksNothing {
		return l
	}
	if t.passes(i) {
		return ready
	}
	if l := t.evidence(i); l.kind != lacksNothing {
		return l
	}
	step := t.step(i)
	if step.Approval != nil && t.grants(i) < step.Approval.Need {
		return lack{kind: lacksApproval, lane: i, after: step.Approval.Timeout - t.s.Lanes[i].Waited}
	}
	return ready
}

// evidence is what the step lacks in time and verdicts.
func (t *turn) evidence(i int) lack {
	lane, step := &t.s.Lanes[i], t.step(i)
	needs := t.in.lanes[i].needs[lane.Step]
	all := analysis.Safe
	missing := ready
	for _, c := range needs {
		switch t.verdict(c) {
		case analysis.Safe:
		case analysis.Pass:
			all = min(all, analysis.Pass)
		default:
			all = analysis.Pending
			if missing.kind == lacksNothing {
				missing = lack{kind: lacksCheck, check: c}
			}
		}
	}
	if all == analysis.Safe && len(needs) > 0 {
		if lane.Held >= step.Min {
			return ready
		}
		return lack{kind: lacksTime, after: step.Min - lane.Held}
	}
	if lane.Held < step.Hold {
		return lack{kind: lacksTime, after: step.Hold - lane.Held}
	}
	return missing
}

// verdict is what check c says now, Pending if it has not answered the question that is open.
func (t *turn) verdict(c int) analysis.Verdict {
	f := t.answered(c)
	if f == nil {
		return analysis.Pending
	}
	return f.Verdict
}

// answered is the finding of check c, nil if it is not about the question that is open.
func (t *turn) answered(c int) *analysis.Finding {
	since, open := t.s.open(c)
	check := t.heard(c)
	f := &check.finding
	if !open || !check.ok || f.Run != t.s.Run || f.Step != t.s.Lanes[check.lane].Step || !f.Since.Equal(since) {
		return nil
	}
	return f
}

// passes reports whether the operator passes the gates of the lane's step.
func (t *turn) passes(i int) bool {
	return t.intent.Promote || slices.Contains(t.intent.Waive, StepRef{t.in.laneName(i), t.step(i).Name})
}

// grants counts the people who approved the lane's step under this plan.
func (t *turn) grants(i int) int {
	at := StepRef{t.in.laneName(i), t.step(i).Name}
	n := 0
	for k, g := range t.intent.Approvals {
		valid := func(o Grant) bool { return o.StepRef == at && o.Digest == t.in.digest && o.By != "" }
		again := slices.ContainsFunc(t.intent.Approvals[:k], func(o Grant) bool { return valid(o) && o.By == g.By })
		if valid(g) && !again {
			n++
		}
	}
	return n
}

func (t *turn) step(lane int) *Step { return t.in.step(lane, t.s.Lanes[lane].Step) }
