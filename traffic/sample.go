// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import "math"

// sample is requests that were seen to go somewhere since a route is in force.
type sample struct {
	goal
	requests  uint64
	candidate uint64

	looks int    // at which the share was judged
	next  uint64 // requests at which it is judged again
}

// goal is what a sample is to show.
type goal struct {
	want      float64 // the candidate's share
	low, high float64 // between which it is close enough
	risk      float64 // of showing what is not so
	openEnded bool    // more than wanted is no harm: matches bring their own
}

func (o VerifyOptions) goal(s Split) goal {
	within := o.Within
	if within == 0 {
		within = min(s.Candidate, Full-s.Candidate) / 2
		if s.Candidate == 0 || s.Candidate == Full {
			within = Full / 100
		}
		within = max(within, 1)
	}
	share := func(w Weight) float64 { return float64(w) / float64(Full) }
	g := goal{want: share(s.Candidate), risk: o.Risk, low: 0, high: 1}
	if s.Candidate > within {
		g.low = share(s.Candidate - within)
	}
	if s.Candidate < Full-within {
		g.high = share(s.Candidate + within)
	}
	return g
}

// verdict is what a sample shows so far.
type verdict uint8

const (
	undecided verdict = iota
	shown
	refuted
)

// judge says what the sample shows. It may be asked after every request: the
// sample is judged only when it has grown by a quarter since the last time, the
// first time when a proof is likely, and each time with a part of the risk, so
// that all looks together are wrong no more often than one may be.
func (s *sample) judge() verdict {
	switch {
	case s.want == 0 && !s.openEnded && s.candidate > 0, s.want == 1 && s.candidate < s.requests:
		return refuted // nothing is nothing
	case s.want == 0 && s.openEnded:
		return shown // whatever the candidate gets may be a match
	case s.requests == 0 || s.requests < s.next:
		return undecided
	}
	if s.next == 0 {
		if s.next = s.needed(); s.requests < s.next {
			return undecided
		}
	}
	s.looks++
	s.next = s.requests + s.requests/4 + 1
	risk := s.risk / math.Pow(2, float64(s.looks)) / 2
	tooMany, tooFew := atLeast(s.candidate, s.requests, s.want), atMost(s.candidate, s.requests, s.want)
	if tooFew <= risk || tooMany <= risk && !s.openEnded {
		return refuted
	}
	above := s.low == 0 && s.want == 0 || atLeast(s.candidate, s.requests, s.low) <= risk
	below := s.openEnded || s.high == 1 && s.want == 1 || atMost(s.candidate, s.requests, s.high) <= risk
	if above && below {
		return shown
	}
	return undecided
}

// needed is how many requests a proof takes where all is as it should be: those
// that would not have missed the candidate, or stable, at the end of the range,
// or those that leave a normal deviation inside it.
func (s *sample) needed() uint64 {
	risk := s.risk / 4
	switch s.want {
	case 0:
		return uint64(math.Ceil(math.Log(risk) / math.Log1p(-s.high)))
	case 1:
		return uint64(math.Ceil(math.Log(risk) / math.Log(s.low)))
	}
	// One deviation more than the risk asks for, for the sample scatters, too.
	z := math.Sqrt2*math.Erfinv(1-2*risk) + 1
	width := s.high - s.want
	if below := s.want - s.low; below < width && below > 0 {
		width = below
	}
	return uint64(math.Ceil(s.want * (1 - s.want) * z * z / (width * width)))
}
