// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"slices"
)

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
