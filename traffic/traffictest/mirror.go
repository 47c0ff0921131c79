// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"

	"github.com/rheostat-go/rheostat/traffic"
)

// mirrored is how many requests a case sends while its candidate is in trouble.
const mirrored = 50

var mirrorNeeds = append([]need{needMirror, needCopies}, sending...)

var mirrorCases = []testCase{
	{
		name: "copies reach the candidate and its answers nobody",
		why: "Mirror is the share of stable's requests that the candidate gets a copy of: about that many arrive, none when the next route mirrors nothing, and every client is answered by stable. " +
			"A router may drop some copies rather than fall behind; a tenth of them is too many when there is no hurry.",
		needs: mirrorNeeds,
		run:   copiesArrive,
	},
	troubled(CandidateHanging, "that hangs"),
	troubled(CandidateFailing, "that fails"),
}

func copiesArrive(r *run) {
	for i, share := range []traffic.Weight{traffic.Full, traffic.Full / 2, 0} {
		route := r.route(0)
		route.Split.Mirror = share
		route = r.near(route)
		r.live(i+1, route)
		n := r.Requests / 2
		got, ok := r.copied(n, route)
		for try := 1; try < tries && !ok; try++ {
			got, ok = r.copied(n, route) // copies of the route before may have come late
		}
		if !ok {
			r.Fatalf("at %s the candidate got %d copies of %d requests, want about %v of them", tell(route), got, n, share)
		}
	}
}

// copied sends n requests, none of which the candidate may answer, and tells how
// many copies it got and whether that is what the route says.
func (r *run) copied(n int, route traffic.Route) (got int, ok bool) {
	r.Helper()
	before, share := r.Copies(), part(route.Split.Mirror)
	if k := r.count(n); k > 0 {
		r.Fatalf("at %s, %d of %d requests were answered by the candidate, want none", tell(route), k, n)
	}
	enough := func() bool {
		got = int(r.Copies() - before) //nolint:gosec // no more than were sent, or the case fails
		return plausible(got, n, share) || got < int(share*float64(n)) && got > int(share*float64(n)*0.9)
	}
	if ok = r.within(enough); ok {
		for range looks {
			ok = ok && enough()
		}
	}
	return got, ok
}

// part is w between 0 and 1.
func part(w traffic.Weight) float64 { return float64(w) / float64(traffic.Full) }

// troubled is the case of a candidate that is broken by f and gets copies.
func troubled(f Fault, how string) testCase {
	return testCase{
		name: "copies to a candidate " + how + " cost stable's clients nothing",
		why: "The candidate that gets copies is the one that nobody trusts yet. Whatever it does with them, stable answers each request, " +
			"and no request waits for a copy.",
		needs: append([]need{needBreak}, mirrorNeeds...),
		run: func(r *run) {
			route := r.route(0)
			route.Split.Mirror = traffic.Full
			r.live(1, route)
			mend := r.breaks(f)
			defer mend()
			ctx, cancel := context.WithTimeout(r.ctx, r.slack())
			defer cancel()
			for range mirrored {
				switch answer, err := r.Send(ctx, Request{}); {
				case err != nil:
					r.Fatalf("a request whose copy goes to a candidate %s: %v, want an answer", how, err)
				case answer.Arm != r.Arms.Stable:
					r.Fatalf("a request whose copy goes to a candidate %s was answered by %q, want %q", how, answer.Arm, r.Arms.Stable)
				}
			}
		},
	}
}
