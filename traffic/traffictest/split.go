// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "github.com/rheostat-go/rheostat/traffic"

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
