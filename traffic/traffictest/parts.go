// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "github.com/rheostat-go/rheostat/traffic"

// comesAndGoes sets a route with a part of a split, and then one without it.
func comesAndGoes(r *run, edits ...func(*traffic.Split)) {
	for i, edit := range edits {
		with := r.route(0)
		edit(&with.Split)
		r.set(2*i+1, with)
		r.set(2*i+2, r.route(0))
	}
}

var partCases = []testCase{
	{
		name:  "a mirror is kept and goes",
		why:   "A router that declares Caps.Mirror shows the mirrored share as it was applied, and none when the next route has none.",
		needs: []need{needMirror},
		run: func(r *run) {
			comesAndGoes(
				r,
				func(s *traffic.Split) { s.Mirror = traffic.Full },
				func(s *traffic.Split) { s.Mirror = traffic.Percent(10) },
			)
		},
	},
	{
		name:  "matches are kept in order and go",
		why:   "A router that declares Caps.Match shows every match as it was applied, headers and cookies, with and without a value, and none when the next route has none.",
		needs: []need{needMatch},
		run: func(r *run) {
			comesAndGoes(
				r,
				func(s *traffic.Split) { s.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}} },
				func(s *traffic.Split) {
					s.Match = []traffic.Match{{Cookie: "ring", Value: "internal"}, {Header: "X-Preview"}, {Cookie: "tester"}}
				},
			)
		},
	},
	{
		name:  "matches on the query are kept and go",
		why:   "A router that declares Caps.Query shows each match on a parameter as it was applied, with and without a value, among those on headers and in their order if it knows them, too.",
		needs: []need{needQuery},
		run: func(r *run) {
			comesAndGoes(
				r,
				func(s *traffic.Split) { s.Match = []traffic.Match{{Query: "preview", Value: "yes"}} },
				func(s *traffic.Split) {
					s.Match = []traffic.Match{{Query: "tester"}, {Query: "preview", Value: "a b&c=d"}}
					if r.caps.Match {
						s.Match = []traffic.Match{{Query: "tester"}, {Header: "X-Preview"}, {Query: "preview", Value: "yes"}, {Cookie: "ring"}}
					}
				},
			)
		},
	},
	{
		name:  "stickiness is kept and goes",
		why:   "A router that declares Caps.Sticky shows the cookie or the header as it was applied, and none when the next route has none.",
		needs: []need{needSticky},
		run: func(r *run) {
			comesAndGoes(
				r,
				func(s *traffic.Split) { s.Sticky.Cookie = "side" },
				func(s *traffic.Split) { s.Sticky.Header = "X-User" },
			)
		},
	},
}
