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
	o = o.withDefaults()
	if err := o.check(); err != nil {
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
	p, q := clamp(candidate), clamp(stable)
	others := (1 - weight) / weight // requests of stable for each of the candidate's
	at := m.nearest(1, others, p, q)
	each := divergence(p, m.of(at)) + others*divergence(q, at)
	// One alternative in the mixture is close to right, and failures are half of
	// what is asked where latency is counted.
	nats := -math.Log(o.Risk) + math.Log(alternatives) + math.Ln2
	n := max(nats/each, 2)
	return Need{Candidate: n, Total: n / weight}, nil
}

// divergence is what a request says on average for the share p, which is true,
// against q, in nats (Kullback and Leibler).
func divergence(p, q float64) float64 {
	q = clamp(q)
	return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
}
