// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
)

// Need is how many requests it takes until a [Compare] says something.
type Need struct {
	// Candidate is the candidate's requests, and Total those of both arms.
	Candidate, Total float64
}

// Needed estimates how many requests it takes, on average, until a [Compare] with
// these options fails a candidate of whose requests the share candidate is bad,
// beside the share stable of stable's, when the candidate gets the share weight of
// all requests: all three between 0 and 1. So a plan can be told beforehand to be too
// quick for its traffic:
//
//	need, err := analysis.Default().Needed(0.001, 0.011, 0.05) // one point worse, at 5%
//	hold := need.Total / requestsPerSecond
//
// It is the evidence that is asked for, and what the mixture costs, by the evidence
// that a request gives (Wald, 1945); a rollout in two takes longer. A candidate that
// is within the margin, which nothing will ever show to be harmful, is an error.
func (o CompareOptions) Needed(stable, candidate, weight float64) (Need, error) {
	o, err := o.filled()
	if err != nil {
		return Need{}, fmt.Errorf("analysis: needed: %w", err)
	}
	for _, p := range [...]struct {
		name  string
		share float64
	}{{"stable", stable}, {"candidate", candidate}} {
		if !(p.share >= 0 && p.share <= 1) {
			return Need{}, fmt.Errorf("analysis: needed: %s %v: want a share between 0 and 1", p.name, p.share)
		}
	}
	m := o.Errors.Harm
	switch {
	case !(weight > 0 && weight < 1):
		return Need{}, fmt.Errorf("analysis: needed: weight %v: want a share between 0 and 1, for both arms must get requests to be compared", weight)
	case candidate <= m.of(stable):
		return Need{}, fmt.Errorf("analysis: needed: a candidate that fails %s is within the margin of stable's %s: nothing will show it to be harmful",
			percent(candidate), percent(stable))
	}
	n := requestsFor(-math.Log(o.Risk), m, candidate, stable, (1-weight)/weight)
	return Need{Candidate: n, Total: n / weight}, nil
}

// requestsFor is how many requests of the candidate give so many nats for harm, where
// stable has others for each of them.
func requestsFor(nats float64, m Margin, candidate, stable, others float64) float64 {
	p, q := clamp(candidate), clamp(stable)
	at := m.nearest(1, others, p, q)
	each := divergence(p, m.of(at)) + others*divergence(q, at)
	// Of the mixture one alternative is close to right, and failures are told from
	// latency, where that is counted, and what is staked at first from the rest: a
	// factor of failing·(1-kept), which is 0.6 or more.
	nats += math.Log(alternatives) + math.Ln2
	return max(nats/each, 2)
}

// divergence is what a request says on average for the share p, which is true,
// against q, in nats (Kullback and Leibler).
func divergence(p, q float64) float64 {
	q = clamp(q)
	return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
}
