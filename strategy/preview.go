// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Estimate is how long something takes in three cases. Time in which the clocks
// stand still is in none of them: holds, freeze windows, a runner that is not
// there, a router that needs longer than at once.
type Estimate struct {
	// Shortest is with every check Safe at once and every approval given in time.
	Shortest time.Duration
	// Usual is with every check passing and every approval given in time.
	Usual time.Duration
	// Longest is with every step at its deadline and every approval at its timeout.
	Longest time.Duration
}

// Forecast is what a plan will do, told before it begins.
type Forecast struct {
	// Plan is the plan with its defaults written out.
	Plan Plan
	// Takes is the time from the start to the promotion, the lanes carried out
	// as the machine does: in order, after each other and MaxParallel at once.
	// With several lanes of unequal length, a mixture of the cases can take a
	// little less than Shortest or more than Longest.
	Takes Estimate
	Lanes []LaneForecast
	// Tasks lists every task on the way forward: the lanes in the plan's order,
	// the tasks of each in the order in which they are done.
	Tasks []TaskID
	Back  BackForecast
	// Cautions say what is allowed and probably not meant.
	Cautions []string
	// Load is what Under was given, nil before.
	Load *Load
}

// LaneForecast is one lane of a Forecast.
type LaneForecast struct {
	Lane string
	// Begins and Ends are counted from the start of the run.
	Begins, Ends Estimate
	Steps        []StepForecast
	// Shown is when, counted from the beginning of the lane, a regression shows on
	// average, 0 where it does not; Harmed is how many requests it has failed until
	// then, or until the end. Forecast.Under fills them in.
	Shown  time.Duration
	Harmed float64
}

// StepForecast is one step of a LaneForecast.
type StepForecast struct {
	Step string
	// Dials is where every target of the lane stands in this step, those that
	// an earlier step set included.
	Dials []Dial
	// Turns says that this step changes at least one of them.
	Turns bool
	// Takes is the step's own time.
	Takes Estimate
	// Needs is the number of people who must approve, 0 for none.
	Needs int
	// Commit says that from here on home is the candidate, OneWay that nothing
	// returns by itself once this step has begun.
	Commit, OneWay bool
	Tasks, Checks  []string
	// Alone is how long this step would have to hold to show a regression by itself, 0
	// where it cannot: nothing checks it, or one of the arms gets no requests. Gathered
	// is how much of the evidence that it takes there is when the step has held, from
	// the lane's beginning on; 1 is enough. Forecast.Under fills them in.
	Alone    time.Duration
	Gathered float64
}

// BackForecast is the way home, from the highest weight that the plan reaches.
type BackForecast struct {
	// Tasks make room for the return. They are begun first and not waited for.
	Tasks []string
	// Strides is how many writes it takes to bring the candidate to 0%, 1 when
	// everything returns at once, and Stride how much weight leaves with each; 0
	// is everything.
	Strides int
	Stride  traffic.Weight
	// AtLeast is the shortest time home: the paces between strides, and the
	// drain where tasks have to be taken back.
	AtLeast time.Duration
	// Bound is when a return that has not arrived is given up.
	Bound time.Duration
	// OneWay are the steps from which on nothing returns by itself: a failure
	// then stops the rollout and calls for a person, who can still abort.
	OneWay []StepRef
	// Commit are the steps past which home is the candidate, so that nobody can abort.
	Commit []StepRef
}

// Preview tells what a plan will do before it begins. The error is the plan's,
// a *PlanError. Weights are those of the plan; Accept says to what a router moves them.
func Preview(p Plan) (Forecast, error) {
	frozen, err := Freeze(p)
	if err != nil {
		return Forecast{}, err
	}
	in := frozen.in
	f := Forecast{Plan: frozen.Plan()}
	for i := range in.lanes {
		f.Lanes = append(f.Lanes, in.forecastLane(i))
		for j, step := range in.plan.Lanes[i].Steps {
			for _, task := range step.Before {
				f.Tasks = append(f.Tasks, TaskID{Lane: in.laneName(i), Step: j, Name: task})
			}
		}
	}
	for _, which := range []func(*Estimate) *time.Duration{
		func(e *Estimate) *time.Duration { return &e.Shortest },
		func(e *Estimate) *time.Duration { return &e.Usual },
		func(e *Estimate) *time.Duration { return &e.Longest },
	} {
		in.schedule(f.Lanes, which)
		for i := range f.Lanes {
			*which(&f.Takes) = max(*which(&f.Takes), *which(&f.Lanes[i].Ends))
		}
	}
	f.Back = in.forecastBack()
	f.Cautions = in.cautions(f)
	return f, nil
}

func (in *frozen) forecastLane(i int) LaneForecast {
	x := &in.lanes[i]
	f := LaneForecast{Lane: in.laneName(i)}
	for j := range x.steps {
		step := in.step(i, j)
		s := StepForecast{
			Step: step.Name, Takes: step.estimate(), Commit: step.Commit, OneWay: step.OneWay,
			Tasks: slices.Clone(step.Before), Checks: slices.Clone(step.Checks),
		}
		if step.Approval != nil {
			s.Needs = step.Approval.Need
		}
		for k := x.target; k < x.targets; k++ {
			splits := in.targets[k].splits
			s.Dials = append(s.Dials, Dial{Target: in.targets[k].name, Split: splits[j].Clone()})
			s.Turns = s.Turns || !splits[j].Equal(before(splits, j))
		}
		f.Steps = append(f.Steps, s)
	}
	return f
}

// before is where a dial stood before step j; a lane begins at the zero Split.
func before(splits []traffic.Split, j int) traffic.Split {
	if j == 0 {
		return traffic.Split{}
	}
	return splits[j-1]
}

// estimate is what the gates of a step come to in time. It says the same as
// turn.evidence: checks that are all Safe end a step at Min, all else at Hold.
func (s *Step) estimate() Estimate {
	e := Estimate{Shortest: s.Hold, Usual: s.Hold, Longest: s.Deadline}
	if len(s.Checks) > 0 {
		e.Shortest = s.Min
	}
	if s.Approval != nil {
		e.Longest += s.Approval.Timeout
	}
	return e
}

// schedule fills in when each lane begins and ends in one of the cases. It makes
// one move at a time and looks from the first lane on again, as the machine does,
// so that lanes that are free at the same moment get their turn in the same order.
func (in *frozen) schedule(lanes []LaneForecast, which func(*Estimate) *time.Duration) {
	status := make([]LaneStatus, len(lanes))
	var now time.Duration
	for {
		if in.moveOne(lanes, status, now, which) {
			continue
		}
		next, found := time.Duration(0), false
		for i := range lanes {
			if end := *which(&lanes[i].Ends); status[i] == Moving && (!found || end < next) {
				next, found = end, true
			}
		}
		if !found {
			return
		}
		now = next
	}
}

func (in *frozen) moveOne(lanes []LaneForecast, status []LaneStatus, now time.Duration, which func(*Estimate) *time.Duration) bool {
	moving := 0
	for _, s := range status {
		if s == Moving {
			moving++
		}
	}
	for i := range lanes {
		begins, ends := which(&lanes[i].Begins), which(&lanes[i].Ends)
		waits := slices.ContainsFunc(in.lanes[i].after, func(after int) bool { return status[after] != Done })
		switch {
		case status[i] == Moving && *ends <= now:
			status[i] = Done
		case status[i] == Waiting && !waits && moving < in.plan.MaxParallel:
			status[i], *begins, *ends = Moving, now, now
			for k := range lanes[i].Steps {
				*ends += *which(&lanes[i].Steps[k].Takes)
			}
		default:
			continue
		}
		return true
	}
	return false
}

func (in *frozen) forecastBack() BackForecast {
	back := in.plan.Back
	f := BackForecast{Tasks: slices.Clone(back.Before), Strides: 1, Stride: back.Stride, Bound: back.Bound}
	for i := range in.lanes {
		strides, tasks := 1, false
		for k := in.lanes[i].target; k < in.lanes[i].targets; k++ {
			for _, split := range in.targets[k].splits {
				if back.Stride > 0 {
					strides = max(strides, int((split.Candidate+back.Stride-1)/back.Stride))
				}
			}
		}
		for j := range in.lanes[i].steps {
			step := in.step(i, j)
			tasks = tasks || len(step.Before) > 0
			ref := StepRef{Lane: in.laneName(i), Step: step.Name}
			if step.OneWay {
				f.OneWay = append(f.OneWay, ref)
			}
			if step.Commit {
				f.Commit = append(f.Commit, ref)
			}
		}
		least := time.Duration(strides-1) * back.Pace
		if tasks {
			least += back.Drain
		}
		f.Strides, f.AtLeast = max(f.Strides, strides), max(f.AtLeast, least)
	}
	return f
}

// cautions lists what Validate allows and a reader should know.
func (in *frozen) cautions(f Forecast) []string {
	var list []string
	if f.Back.AtLeast >= f.Back.Bound {
		list = append(list, fmt.Sprintf("the way home takes at least %v and is given up after %v: raise back.bound, or return faster", f.Back.AtLeast, f.Back.Bound))
	}
	for i, lane := range f.Lanes {
		watched := len(in.plan.Watch) > 0
		for _, step := range lane.Steps {
			watched = watched || len(step.Checks) > 0
		}
		if !watched {
			list = append(list, fmt.Sprintf("lane %q has no check: nothing can tell that the candidate fails there", lane.Lane))
		}
		last := lane.Steps[len(lane.Steps)-1]
		for k, dial := range last.Dials {
			committed := slices.ContainsFunc(lane.Steps, func(s StepForecast) bool { return s.Commit })
			if w := dial.Split.Candidate; w != traffic.Full && !committed {
				list = append(list, fmt.Sprintf("lane %q ends with %v on target %q: the rest stays with stable after the promotion",
					lane.Lane, w, in.targets[in.lanes[i].target+k].name))
			}
		}
	}
	return list
}
