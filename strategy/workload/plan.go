// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// patience is how long pods may take to be there, where the plan does not say.
const patience = 20 * time.Minute

// Plan is the strategy's plan with the Deployments around it: the replicas that a step
// needs before its dials turn, stable's whole size on the way home, and the end of
// Options.End after the last step. What the strategy says stays as it is; its last
// step must give the candidate everything.
//
// Both ends commit: from there on home is the candidate, and nothing returns by itself.
// Promotion begins with that. Swap waits for Options.Drain first, with the old pods all
// there, and commits before it lets them go: what was noted of them goes with them.
func (x *Workload) Plan(s strategy.Strategy) (strategy.Plan, error) {
	plan, err := s.Plan()
	if err != nil {
		return plan, err
	}
	i, target, err := x.laneOf(plan)
	if err != nil {
		return plan, err
	}
	plan.Lanes = slices.Clone(plan.Lanes)
	lane := &plan.Lanes[i]
	lane.Steps = slices.Clone(lane.Steps)
	last := x.capacities(lane.Steps, target)
	if last != traffic.Full {
		return plan, fmt.Errorf("workload: lane %q leaves target %q at %v: the last step must give the candidate everything", lane.Name, target, last)
	}
	lane.Steps = append(lane.Steps, x.end(target, lane.Steps[len(lane.Steps)-1])...)
	plan.Back.Before = append([]string{x.taskName(StableTask)}, plan.Back.Before...)
	if plan.Back.Drain == 0 {
		plan.Back.Drain = x.o.Drain
	}
	return plan, plan.Validate()
}

// laneOf is the lane that turns the Workload's target.
func (x *Workload) laneOf(plan strategy.Plan) (lane int, target string, err error) {
	lane, target = -1, x.o.Target
	for i, l := range plan.Lanes {
		for _, step := range l.Steps {
			for _, d := range step.Set {
				switch {
				case target == "":
					lane, target = i, d.Target
				case d.Target == target:
					lane = i
				case x.o.Target == "":
					return -1, "", fmt.Errorf("workload: the plan turns %q and %q: say in Options.Target which is this one's", target, d.Target)
				}
			}
		}
	}
	if lane < 0 {
		return -1, "", fmt.Errorf("workload: no step of the plan turns target %q", target)
	}
	return lane, target, nil
}

// capacities puts before each step what its share needs, and returns the last weight.
func (x *Workload) capacities(steps []strategy.Step, target string) (last traffic.Weight) {
	var had traffic.Weight
	for k := range steps {
		step := &steps[k]
		for _, d := range step.Set {
			if d.Target != target {
				continue
			}
			last = d.Split.Candidate
			if needs := wanted(d.Split); needs > had {
				had = needs
				step.Before = append(slices.Clone(step.Before), x.taskName(CapacityTask+" "+needs.String()))
				if step.Deadline == 0 {
					step.Deadline = 2*step.Hold + patience
				}
			}
		}
	}
	return last
}

// end are the steps after the strategy's own. What watches over the last of those watches
// over the return of the traffic, too.
func (x *Workload) end(target string, last strategy.Step) []strategy.Step {
	release := strategy.Step{Name: x.taskName(ReleaseTask), Before: []string{x.taskName(ReleaseTask)}, Deadline: patience}
	commit := strategy.Step{Name: x.taskName("commit"), Commit: true}
	if x.o.End == Swap {
		drain := strategy.Step{Name: x.taskName("drain"), Hold: x.o.Drain, Min: x.o.Drain}
		return []strategy.Step{drain, commit, release}
	}
	steps := []strategy.Step{commit}
	for k, w := range x.o.Return {
		step := strategy.Step{
			Name: x.taskName("stable " + (traffic.Full - w).String()), Hold: x.o.Drain, Min: x.o.Drain, Checks: last.Checks,
			Set: []strategy.Dial{{Target: target, Split: traffic.Split{Candidate: w}}},
		}
		if k == 0 {
			step.Before, step.Deadline = []string{x.taskName(PromoteTask)}, 2*step.Hold+patience
		}
		steps = append(steps, step)
	}
	return append(steps, release)
}
