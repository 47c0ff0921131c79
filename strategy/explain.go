// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Explanation says why a rollout does not move, what it waits for and until when.
type Explanation struct {
	Phase Phase `json:"phase"`
	// Summary is one sentence for the whole.
	Summary string `json:"summary"`
	// Lanes has one entry for every lane that is not over.
	Lanes []LaneExplanation `json:"lanes,omitempty"`
}

// LaneExplanation says what one lane waits for.
type LaneExplanation struct {
	Lane   string         `json:"lane"`
	Step   string         `json:"step"`
	Stage  Stage          `json:"stage"`
	Weight traffic.Weight `json:"weight"`
	// Waits says for what, in words; empty means for nothing, it moves now.
	Waits string `json:"waits,omitempty"`
	// Until is when that is over, if it goes on as it does; zero is not known.
	Until time.Time `json:"until,omitzero"`
	// Deadline is when the step, or the return, is given up.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Explain tells why s does not move given o. It asks the same questions in the
// same order as Step does, so it cannot say anything else than what Step goes by.
func (m Machine) Explain(now time.Time, s State, o Observation) Explanation {
	e := Explanation{Phase: s.Phase}
	if s.Plan.in == nil || s.check() != nil {
		e.Summary = "no run"
		return e
	}
	t := turn{machine: m, now: now.UTC().Round(0), in: s.Plan.in, s: s.Clone(), o: o}
	t.read()
	t.credit()
	var lines []string
	for i := range t.s.Lanes {
		if status := t.s.Lanes[i].Status; s.Active() && status != Done && status != Home {
			l := t.explainLane(i)
			e.Lanes = append(e.Lanes, l)
			if t.s.Lanes[i].Status != Waiting || len(t.s.Lanes) == 1 {
				lines = append(lines, l.String())
			}
		}
	}
	e.Summary = t.summary(lines)
	return e
}

func (t *turn) summary(lines []string) string {
	s := &t.s
	head := fmt.Sprintf("%s %s to %s: %v", s.Service, s.Release.Stable.Version, s.Release.Candidate.Version, s.Phase)
	if s.Reason != "" {
		head += " (" + s.Reason + ")"
	}
	if s.Hold.ID != 0 {
		head += fmt.Sprintf("; stopped for a person: %s; resume", s.Hold.Reason)
		if s.Phase == Progressing {
			head += ", promote or abort"
		}
	}
	if len(lines) > 0 {
		head += "; " + strings.Join(lines, "; ")
	}
	return head
}

// String is the explanation in one line.
func (l LaneExplanation) String() string {
	text := fmt.Sprintf("%s at %s (%v)", l.Lane, l.Step, l.Stage)
	if l.Waits == "" {
		return text
	}
	text += " waits for " + l.Waits
	if !l.Until.IsZero() {
		text += " until " + l.Until.Format(time.DateTime)
	}
	return text
}

func (t *turn) explainLane(i int) LaneExplanation {
	lane, x := &t.s.Lanes[i], &t.in.lanes[i]
	why := t.waitsFor(i)
	e := LaneExplanation{Lane: t.in.laneName(i), Step: x.stepNames[lane.Step], Stage: lane.Stage, Waits: t.words(why), Until: why.until}
	if x.target < x.targets {
		e.Weight = t.s.Targets[x.target].Route.Split.Candidate
	}
	if why.after > 0 {
		e.Until = t.now.Add(why.after)
	}
	switch lane.Status {
	case Moving:
		e.Deadline = t.now.Add(t.step(i).Deadline - lane.Spent)
	case Returning:
		e.Deadline = t.now.Add(t.in.plan.Back.Bound - t.s.Returning)
	case Waiting, Done, Home:
	}
	return e
}

// words says what a lack is.
func (t *turn) words(l lack) string {
	target := func() *TargetState { return &t.s.Targets[l.target] }
	switch l.kind {
	case lacksNothing:
		return ""
	case lacksIntent:
		return "the operator's will, which could not be found out"
	case lacksOperator:
		return strings.TrimSuffix(fmt.Sprintf("the operator's hold to end: %s", t.intent.Why), ": ")
	case lacksRelease:
		return "a person"
	case lacksBlock:
		return l.subject
	case lacksLane:
		return fmt.Sprintf("lane %q to be done", l.subject)
	case lacksTurn:
		if t.s.Stopped {
			return "nothing: another lane failed, so it does not begin"
		}
		return fmt.Sprintf("its turn: %d lanes may move at once", t.in.plan.MaxParallel)
	case lacksTask:
		return strings.TrimSuffix(fmt.Sprintf("task %q: %s", l.subject, t.taskWords(l)), ": ")
	case lacksSight:
		return fmt.Sprintf("sight of target %q", target().Name)
	case lacksRoute:
		return fmt.Sprintf("target %q to show %v", target().Name, target().Route)
	case lacksEvidence:
		return fmt.Sprintf("target %q to be %v", target().Name, target().Caps.Evidence)
	case lacksLag:
		return fmt.Sprintf("target %q to reach everybody", target().Name)
	case lacksRoom:
		return fmt.Sprintf("room on %q at target %q: it can carry %v of %v", l.subject, target().Name, l.have, l.need)
	case lacksStable:
		return fmt.Sprintf("target %q to serve stable alone: %s", target().Name, l.subject)
	case lacksTime:
		return "time"
	case lacksCheck:
		return t.checkWords(l.check)
	case lacksApproval:
		return fmt.Sprintf("approval: %d of %d", t.grants(l.lane), t.step(l.lane).Approval.Need)
	}
	return ""
}

// taskWords is what the task that is lacking says of itself.
func (t *turn) taskWords(l lack) string {
	for k := range t.s.Tasks {
		if task := &t.s.Tasks[k]; task.open() && task.Name == l.subject && task.Lane == t.in.laneName(l.lane) {
			return t.o.Words[task.TaskID]
		}
	}
	return ""
}

func (t *turn) checkWords(c int) string {
	name := t.in.checks[c].name
	f := t.answered(c)
	if f == nil {
		return fmt.Sprintf("check %q to answer", name)
	}
	return strings.TrimSuffix(fmt.Sprintf("check %q, %v: %s", name, f.Verdict, f.Reason), ": ")
}
