// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Canary dials a candidate in step by step. The zero Weights are 1, 5, 10, 25,
// 50 and 100%, the zero Hold is one minute each.
type Canary struct {
	// Target is turned. Required.
	Target string
	// Weights are the steps; they rise and the last should be traffic.Full.
	// Linear and Exponential make some.
	Weights []traffic.Weight
	// Hold and Min are each step's.
	Hold, Min time.Duration
	// Bake, if not 0, is a last step at the last weight with the same checks.
	Bake time.Duration
	// Checks must pass at every step; Watch may fail the rollout at any time.
	Checks, Watch []string
	// Before is done before the first step.
	Before []string
	// Match and Sticky are every step's.
	Match  []traffic.Match
	Sticky traffic.Sticky
	// Approval, if set, is needed to go on from the first step.
	Approval *Approval
	Back     Back
}

// seedWeights are the classic steps of a canary.
var seedWeights = [...]traffic.Weight{10_000, 50_000, 100_000, 250_000, 500_000, traffic.Full}

// Plan is the canary as data.
func (c Canary) Plan() (Plan, error) {
	weights := c.Weights
	if len(weights) == 0 {
		weights = seedWeights[:]
	}
	lane := Lane{Name: c.Target, Steps: ramp(weights, c.Hold, c.Min, c.Bake, c.Checks, func(w traffic.Weight) []Dial {
		return []Dial{{Target: c.Target, Split: traffic.Split{Candidate: w, Match: slices.Clone(c.Match), Sticky: c.Sticky}}}
	})}
	lane.Steps[0].Before = c.Before
	lane.Steps[0].Approval = c.Approval
	return checked(Plan{Name: "canary", Lanes: []Lane{lane}, Watch: c.Watch, Back: c.Back})
}

const defaultHold = time.Minute

// ramp is one step a weight and a bake.
func ramp(weights []traffic.Weight, hold, least, bake time.Duration, checks []string, set func(traffic.Weight) []Dial) []Step {
	if hold == 0 {
		hold = defaultHold
	}
	if least == 0 {
		least = hold
	}
	var steps []Step
	for _, w := range weights {
		steps = append(steps, Step{Set: set(w), Hold: hold, Min: least, Checks: checks})
	}
	if bake > 0 {
		steps = append(steps, Step{Name: "bake", Hold: bake, Min: bake, Checks: checks})
	}
	return steps
}

// checked is a plan that a builder made, or why it is not one.
func checked(p Plan) (Plan, error) {
	p = p.clone()
	if err := p.Validate(); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	return p, nil
}

// Linear is by, 2·by, 3·by and so on up to and including Full. It is empty
// unless by is above 0.
func Linear(by traffic.Weight) []traffic.Weight {
	if by == 0 {
		return nil
	}
	var weights []traffic.Weight
	for w := by; w < traffic.Full; w += by {
		weights = append(weights, w)
	}
	return append(weights, traffic.Full)
}

// Exponential is from, from·factor, from·factor² and so on up to and including
// Full. It is empty unless from is above 0 and factor above 1.
func Exponential(from traffic.Weight, factor float64) []traffic.Weight {
	if from == 0 || !(factor > 1) {
		return nil
	}
	var weights []traffic.Weight
	for w := float64(from); w < float64(traffic.Full); w *= factor {
		if next := traffic.Weight(w); len(weights) == 0 || next > weights[len(weights)-1] {
			weights = append(weights, next)
		}
	}
	return append(weights, traffic.Full)
}
