// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Bounds on a plan, so that a state stays small enough for a store with a limit
// (a Kubernetes object holds 1 MiB) and a turn stays short.
const (
	maxLanes = 1000
	maxSteps = 200
)

// Validate checks everything that can be known without the routers. The error is
// a *PlanError that lists every problem with its lane, step, field and fix.
func (p Plan) Validate() error {
	v := validator{plan: p.withDefaults(), lanes: make(map[string]bool, len(p.Lanes))}
	v.whole()
	for i := range v.plan.Lanes {
		v.lane(i)
		v.lanes[v.plan.Lanes[i].Name] = true
	}
	v.waits()
	v.owners()
	if len(v.problems) > 0 {
		return &PlanError{v.problems}
	}
	return nil
}

type validator struct {
	plan       Plan
	laneName   string
	step       string
	problems   []Problem
	committed  bool
	candidates map[string]traffic.Weight
	lanes      map[string]bool // their names, as far as they were looked at
}

func (v *validator) add(field, why, fix string) {
	v.problems = append(v.problems, Problem{Lane: v.laneName, Step: v.step, Field: field, Why: why, Fix: fix})
}

func (v *validator) whole() {
	p := v.plan
	if len(p.Lanes) == 0 {
		v.add("lanes", "there are none", "give one lane with at least one step")
	}
	if len(p.Lanes) > maxLanes {
		v.add("lanes", fmt.Sprintf("%d is more than %d", len(p.Lanes), maxLanes), "split the rollout")
	}
	if p.OnFail > ThisLane {
		v.add("onFail", "unknown scope", "use everything or thisLane")
	}
	if p.OnTimeout > HoldAndPage {
		v.add("onTimeout", "unknown policy", "use goHome or holdAndPage")
	}
	if p.MaxParallel < 0 {
		v.add("maxParallel", "is negative", "use 0 for one lane at a time")
	}
	if p.Repairs < 0 {
		v.add("repairs", "is negative", "use 0 for the default of three")
	}
	v.names("watch", p.Watch)
	v.names("back.before", p.Back.Before)
	if !p.Back.Stride.Valid() {
		v.add("back.stride", "is not between 0% and 100%", "use 0 to return at once")
	}
	if p.Back.Pace > 0 && p.Back.Stride == 0 {
		v.add("back.pace", "has no stride to pace", "set back.stride")
	}
	v.duration("back.pace", p.Back.Pace)
	v.duration("back.drain", p.Back.Drain)
	v.duration("back.bound", p.Back.Bound)
}

func (v *validator) duration(field string, d time.Duration) {
	if d < 0 {
		v.add(field, "is negative", "use 0 for the default")
	}
}

// names checks a list of check or task names.
func (v *validator) names(field string, names []string) {
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		switch {
		case n == "":
			v.add(field, "has an empty name", "remove it")
		case seen[n]:
			v.add(field, fmt.Sprintf("names %q twice", n), "remove one")
		}
		seen[n] = true
	}
}

func (v *validator) lane(i int) {
	lane := v.plan.Lanes[i]
	v.laneName, v.step, v.committed = lane.Name, "", false
	v.candidates = map[string]traffic.Weight{}
	defer func() { v.laneName, v.step = "", "" }()
	if lane.Name == "" {
		v.add(fmt.Sprintf("lanes[%d].name", i), "is empty", "name the lane")
	}
	if v.lanes[lane.Name] {
		v.add("name", "is used twice", "rename one lane")
	}
	if len(lane.Steps) == 0 || len(lane.Steps) > maxSteps {
		v.add("steps", fmt.Sprintf("there are %d", len(lane.Steps)), fmt.Sprintf("give 1 to %d", maxSteps))
	}
	v.names("after", lane.After)
	for j := range lane.Steps {
		v.oneStep(lane, j)
	}
}

func (v *validator) oneStep(lane Lane, j int) {
	step := lane.Steps[j]
	v.step = step.Name
	if slices.ContainsFunc(lane.Steps[:j], func(s Step) bool { return s.Name == step.Name }) {
		v.add("name", "is used twice in the lane", "rename one step")
	}
	v.names("before", step.Before)
	v.names("checks", step.Checks)
	v.duration("hold", step.Hold)
	v.duration("min", step.Min)
	v.duration("deadline", step.Deadline)
	if step.Min > step.Hold && step.Hold >= 0 {
		v.add("min", fmt.Sprintf("%v is longer than hold %v", step.Min, step.Hold), "shorten min or lengthen hold")
	}
	if step.Deadline <= step.Hold && step.Hold >= 0 && step.Deadline >= 0 {
		v.add("deadline", fmt.Sprintf("%v is not longer than hold %v, so the step could only time out", step.Deadline, step.Hold), "lengthen it, or use 0 for the default")
	}
	if step.Approval != nil {
		v.duration("approval.timeout", step.Approval.Timeout)
		if step.Approval.Need < 0 {
			v.add("approval.need", "is negative", "use 0 for one person")
		}
	}
	v.committed = v.committed || step.Commit
	if step.Commit && len(v.plan.Lanes) > 1 && v.plan.OnFail == Everything {
		v.add("commit", "a committed lane cannot return, yet the plan sends every lane home on a failure", "use onFail thisLane, or one lane")
	}
	for k, d := range step.Set {
		v.dial(step, k, d)
	}
}

func (v *validator) dial(step Step, k int, d Dial) {
	field := fmt.Sprintf("set[%d]", k)
	if d.Target == "" {
		v.add(field+".target", "is empty", "name the target")
	}
	if slices.ContainsFunc(step.Set[:k], func(o Dial) bool { return o.Target == d.Target }) {
		v.add(field+".target", fmt.Sprintf("%q is set twice in the step", d.Target), "remove one")
	}
	if err := d.Split.Validate(); err != nil {
		v.add(field+".split", err.Error(), "weights are 0% to 100%, a match names a header or a cookie, and sticky at most one of them")
	}
	if last := v.candidates[d.Target]; d.Split.Candidate < last && !v.committed {
		v.add(field+".split.candidate", fmt.Sprintf("falls from %v to %v before any commit step", last, d.Split.Candidate),
			"weights rise until a step says commit; the way back is the rollback's")
	}
	v.candidates[d.Target] = d.Split.Candidate
}

// waits refuses lanes that wait for what is not there, or for each other.
func (v *validator) waits() {
	done := make(map[string]bool, len(v.plan.Lanes))
	for more := true; more; {
		more = false
		for _, lane := range v.plan.Lanes {
			if !done[lane.Name] && !slices.ContainsFunc(lane.After, func(a string) bool { return v.lanes[a] && !done[a] }) {
				done[lane.Name], more = true, true
			}
		}
	}
	for _, lane := range v.plan.Lanes {
		v.laneName = lane.Name
		for _, after := range lane.After {
			if !v.lanes[after] {
				v.add("after", fmt.Sprintf("names %q, which is no lane", after), "name a lane of this plan")
			}
		}
		if !done[lane.Name] {
			v.add("after", "the lane waits for itself, directly or through others", "break the cycle")
		}
	}
	v.laneName = ""
}

// owners refuses a target that two lanes would turn against each other.
func (v *validator) owners() {
	owner := map[string]string{}
	for _, lane := range v.plan.Lanes {
		for _, step := range lane.Steps {
			for _, d := range step.Set {
				if o, ok := owner[d.Target]; ok && o != lane.Name {
					v.laneName, v.step = lane.Name, step.Name
					v.add("set", fmt.Sprintf("target %q belongs to lane %q", d.Target, o), "a target is turned by one lane")
				}
				if d.Target != "" {
					owner[d.Target] = lane.Name
				}
			}
		}
	}
	v.laneName, v.step = "", ""
}
