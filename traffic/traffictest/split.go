// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"math/rand/v2"
	"slices"

	"github.com/rheostat-go/rheostat/traffic"
)

// drawn is how many weights are drawn by chance.
const drawn = 12

// ladder is the way of the usual rollout, and home again.
var ladder = []traffic.Weight{
	0, traffic.Full / 100, traffic.Full / 20, traffic.Full / 10, traffic.Full / 4, traffic.Full / 2, traffic.Full, 0,
}

var splitCases = []testCase{
	{
		name: "a split of zero is kept",
		why:  "Zero is the way home. It must not be taken for \"not set\", for equal shares or for the default.",
		run: func(r *run) {
			r.set(1, r.route(traffic.Full))
			r.set(2, r.route(0))
		},
	},
	{
		name: "the ladder is kept step by step",
		why:  "0, 1, 5, 10, 25, 50, 100 per cent and 0 again: Observe shows each as it was applied, moved to the declared granularity.",
		run: func(r *run) {
			for i, w := range ladder {
				if w == 0 || w == traffic.Full || partial(r.caps) {
					r.set(i+1, r.route(w))
				}
			}
		},
	},
	{
		name:  "the smallest weight is kept",
		why:   "The smallest part that Caps.Granularity allows is a part: it must not be rounded to nothing.",
		needs: []need{needPartial},
		run:   func(r *run) { r.set(1, r.route(r.caps.Granularity)) },
	},
	{
		name: "weights move to the granularity and never to an end",
		why: "Apply carries out Caps.Nearest of what it is given, and Observe shows exactly that. " +
			"Something never becomes nothing and a part never becomes the whole.",
		needs: []need{needPartial},
		run: func(r *run) {
			g := r.caps.Granularity
			for i, w := range []traffic.Weight{1, traffic.Full - 1, g + 1, g + g/2, traffic.Full - g, 333_333, 666_667} {
				if w < traffic.Full {
					r.set(i+1, r.route(w))
				}
			}
		},
	},
	{
		name: "weights by chance keep the laws of rounding",
		why: "Whatever the weight, Observe shows Caps.Nearest of it: less than a step away, never moved to an end, no less for a higher weight, " +
			"and itself when it is applied again. The weights are drawn from a seed that is logged.",
		needs: []need{needPartial},
		run:   keepsTheLawsOfRounding,
	},
	{
		name: "arms are kept by name",
		why: "After a blue-green swap the candidate is the other backend. A route names both arms, " +
			"and the same weight with the arms exchanged is another route.",
		run: func(r *run) {
			swapped := r.route(r.some())
			swapped.Arms = traffic.Arms{Stable: r.Arms.Candidate, Candidate: r.Arms.Stable}
			r.set(1, r.route(r.some()))
			r.set(2, swapped)
			r.set(3, r.route(r.some()))
		},
	},
}

func keepsTheLawsOfRounding(r *run) {
	seed := rand.Uint64()
	r.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance, no secret
	weights := make([]traffic.Weight, drawn)
	for i := range weights {
		// Half of them are small, for a rollout begins there.
		weights[i] = 1 + traffic.Weight(dice.Uint32N(uint32(traffic.Full)-1))>>(i%2*10)
	}
	slices.Sort(weights)
	last, n := traffic.Weight(0), 0
	for _, w := range weights {
		n++
		shown := r.set(n, r.route(w)).Route.Split.Candidate
		off := max(shown, w) - min(shown, w)
		if shown == 0 || shown == traffic.Full || shown < last || off >= r.caps.Granularity {
			r.Fatalf("with seed %d, %v is shown as %v after %v, want less than %v away, not less than before and no end", seed, w, shown, last, r.caps.Granularity)
		}
		last = shown
	}
	n++
	r.set(n, r.route(last))
	if again := r.see().Route.Split.Candidate; again != last {
		r.Fatalf("with seed %d, %v was shown, and applied again is shown as %v", seed, last, again)
	}
}
