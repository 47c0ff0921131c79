// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"slices"
)

// equals are the peers that are tuned until they roll back as rarely as ours does at
// most: errors only, at one share of errors and each rate by itself, which nobody can
// do who does not know both.
var equals = []struct {
	name string
	make func() *peer
}{
	{"seed-5m", tunable(1, 1, false, share(30))},
	{"flagger-t1", tunable(minute, 1, true, share(minute))},
	{"argo-fl0", tunable(1, 1, false, share(minute))},
	{"argo-fl3", tunable(1, 4, false, share(minute))},
	{"kayenta", tunable(minute, 1, false, mannWhitney)},
	{"z-peek", tunable(1, 1, false, zScore)},
	{"msprt", tunable(1, 1, false, msprt)},
	{"burn", tunable(1, 1, false, burn(2, 12))},
}

func tunable(every, strikes int, flagger bool, number func([]tick, func(group) int) (float64, bool)) func() *peer {
	return func() *peer {
		return &peer{every: every, strikes: strikes, flagger: flagger, number: number, limits: [2]float64{math.Inf(1), 0}}
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

// equalise finds the limit at which one good candidate in a hundred is rolled back,
// and tries it on other seeds.
func equalise(e struct {
	name string
	make func() *peer
}, rps float64, seed uint64, runs int,
) equalRow {
	iid, c := &Worlds[0], Cell{rps, 0.001}
	worst := make([]float64, runs)
	s := stream(seed+1000, iid, c, Defects[0])
	for run := range worst {
		p := e.make()
		roll(&Rule{}, p, newDrawer(iid, c, Defects[0], s, uint64(run))) //nolint:gosec // a count
		worst[run] = p.worst()
	}
	slices.Sort(worst)
	row := equalRow{rule: e.name, rps: rps, limit: worst[runs-1-runs/100]}
	tuned := &Rule{make: func() rule {
		p := e.make()
		p.limits[0] = row.limit
		return p
	}}
	row.good = Simulate(tuned, iid, c, Defects[0], seed, runs)
	row.fivePoints = Simulate(tuned, iid, c, Defects[2], seed, runs/2)
	row.onePoint = Simulate(tuned, iid, c, Defects[3], seed, runs/2)
	return row
}
