// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// Group is a set of targets that are treated alike: a ring, a wave of regions.
type Group struct {
	Name    string
	Targets []string
}

// Rings gives the candidate to one ring of users after the other, each wholly
// and for a while: the team, the company, early adopters, everybody.
type Rings struct {
	// Rings in order. Required.
	Rings []Group
	// Bake is how long each ring is watched before the next. 0 is ten minutes.
	Bake          time.Duration
	Checks, Watch []string
	// OnFail says what goes home when a ring fails. No further ring begins either way.
	OnFail Scope
	Back   Back
}

// Plan is the rings as data: one lane a ring, each after the one before.
func (r Rings) Plan() (Plan, error) {
	bake := r.Bake
	if bake == 0 {
		bake = defaultBake
	}
	p := Plan{Name: "rings", Watch: r.Watch, OnFail: r.OnFail, Back: r.Back}
	for i, ring := range r.Rings {
		lane := Lane{Name: ring.Name, Steps: []Step{{Set: full(ring.Targets), Hold: bake, Min: bake, Checks: r.Checks}}}
		if i > 0 {
			lane.After = []string{r.Rings[i-1].Name}
		}
		p.Lanes = append(p.Lanes, lane)
	}
	return checked(p)
}

// Progressive dials the candidate in region by region: waves in order, the
// regions of a wave side by side, each region with its own canary.
type Progressive struct {
	// Waves in order; every target of a wave is a lane of its own. Required.
	Waves []Group
	// MaxParallel bounds the regions that move at once. 0 is one.
	MaxParallel int
	// Weights, Hold, Min, Bake, Checks and Watch are each region's, as Canary has them.
	Weights         []traffic.Weight
	Hold, Min, Bake time.Duration
	Checks, Watch   []string
	Sticky          traffic.Sticky
	// OnFail says what goes home when a region fails. No further region begins either way.
	OnFail Scope
	Back   Back
}

// Plan is the waves as data: one lane a target, each after the whole wave before.
func (g Progressive) Plan() (Plan, error) {
	weights := g.Weights
	if len(weights) == 0 {
		weights = seedWeights[:]
	}
	p := Plan{Name: "progressive", MaxParallel: g.MaxParallel, Watch: g.Watch, OnFail: g.OnFail, Back: g.Back}
	var before []string
	for _, wave := range g.Waves {
		for _, target := range wave.Targets {
			steps := ramp(weights, g.Hold, g.Min, g.Bake, g.Checks, func(w traffic.Weight) []Dial {
				return []Dial{{Target: target, Split: traffic.Split{Candidate: w, Sticky: g.Sticky}}}
			})
			p.Lanes = append(p.Lanes, Lane{Name: target, After: slices.Clone(before), Steps: steps})
		}
		if len(wave.Targets) > 0 { // an empty wave is no reason not to wait for the one before it
			before = wave.Targets
		}
	}
	return checked(p)
}
