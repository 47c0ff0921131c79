// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"slices"

	"github.com/rheostat-go/rheostat/analysis"
)

// tuned is a rule with one limit that can be set.
type tuned interface {
	rule
	// worst is the least limit at which it would not have rolled back so far.
	worst() float64
}

// tuning is a rule and how to make it with a limit.
type tuning struct {
	name string
	make func(limit float64) tuned
}

// equals are the rules that are tuned until all roll back as rarely: peers by errors
// only, at one share of errors and each rate by itself, which nobody can do who does
// not know both.
var equals = []tuning{
	{"seed-5m", tunable(1, 1, false, share(30))},
	{"flagger-t1", tunable(minute, 1, true, share(minute))},
	{"argo-fl0", tunable(1, 1, false, share(minute))},
	{"argo-fl3", tunable(1, 4, false, share(minute))},
	{"kayenta", tunable(minute, 1, false, mannWhitney)},
	{"pipecd", tunable(minute, 1, false, rankSum)},
	{"z-peek", tunable(1, 1, false, zScore)},
	{"msprt", tunable(1, 1, false, msprt)},
	{"growthbook", tunable(1, 1, false, asymptotic)},
	{"burn", tunable(1, 1, false, burn(2, 12))},
	{"compare", oursAt},
}

// oursAt is analysis.Compare that asks for so much evidence of harm, in nats.
func oursAt(limit float64) tuned {
	o := analysis.Default()
	o.Risk = min(max(math.Exp(-limit), 1e-300), 0.99)
	return &ours{o: o}
}

func tunable(every, strikes int, flagger bool, number func([]tick, func(group) int) (float64, bool)) func(float64) tuned {
	return func(limit float64) tuned {
		return &peer{every: every, strikes: strikes, flagger: flagger, number: number, limits: [2]float64{limit, 0}}
	}
}

// equalRow is one rule at one rate.
type equalRow struct {
	rule  string
	rps   float64
	limit float64
	// good is on other seeds than those it was tuned on.
	good, onePoint, fivePoints Tally
}

// enough is the limit at which a good candidate in a hundred is rolled back.
func (e tuning) enough(w *World, c Cell, seed uint64, runs int) float64 {
	worst := make([]float64, runs)
	s := stream(seed+1000, w, c, Defects[0])
	for run := range worst {
		p := e.make(math.Inf(1))
		roll(&Rule{}, p, newDrawer(w, c, Defects[0], s, uint64(run))) //nolint:gosec // a count
		worst[run] = p.worst()
	}
	slices.Sort(worst)
	return worst[runs-1-runs/100]
}

// equalise finds the limit at which one good candidate in a hundred is rolled back,
// and tries it on other seeds.
func equalise(e tuning, rps float64, seed uint64, runs int) equalRow {
	iid, c := &Worlds[0], Cell{rps, 0.001}
	row := equalRow{rule: e.name, rps: rps, limit: e.enough(iid, c, seed, runs)}
	rule := &Rule{make: func() rule { return e.make(row.limit) }}
	row.good = Simulate(rule, iid, c, Defects[0], seed, runs)
	row.fivePoints = Simulate(rule, iid, c, Defects[2], seed, runs/2)
	row.onePoint = Simulate(rule, iid, c, Defects[3], seed, runs/2)
	return row
}
