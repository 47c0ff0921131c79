// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"slices"
)

const (
	// recent is how many blocks of stable are kept for when there is nothing else to
	// hold the candidate against, and how much above their 90th percentile is bad.
	recent, above = 24, 1.25
	// calmest is what a group of counts must at least hold for its spread to tell
	// anything.
	calmest = 1e-9
	// fewest is how many blocks must hold something for their order to tell anything.
	fewest = 8
)

// dispersion measures how much more counts vary than those of requests that fail
// independently would: by 1 if they do, by the size of a burst if failures come in
// bursts. It adds up squares of deviations beside the squares expected, so that a
// burst weighs with its size and a quiet block hardly at all.
type dispersion struct {
	// Square is the sum of squared deviations and Expected what it would be for
	// independent requests; Weights the sum of squares of what Expected is made of.
	Square   float64 `json:"square,omitempty"`
	Expected float64 `json:"expected,omitempty"`
	Weights  float64 `json:"weights,omitempty"`
	// Lag is the sum of products of neighbouring deviations, each in units of what
	// was expected, Unit that of their squares, and Last the latest.
	Lag  float64 `json:"lag,omitempty"`
	Unit float64 `json:"unit,omitempty"`
	Last float64 `json:"last,omitempty"`
	// Blocks is how many held something, N how many requests they held on average.
	Blocks float64 `json:"blocks,omitempty"`
	N      float64 `json:"n,omitempty"`
}

// add takes a deviation from what was expected into account, the variance that was
// expected, and how many requests it rests on.
func (d *dispersion) add(deviation, variance, n float64) {
	if variance < calmest || n <= 0 {
		d.Last = 0 // a quiet block is a neighbour too
		return
	}
	d.Square += deviation * deviation
	d.Expected += variance
	d.Weights += variance * variance
	z := deviation / math.Sqrt(variance)
	d.Lag += z * d.Last
	d.Unit += z * z
	d.Last = z
	d.Blocks++
	d.N += (n - d.N) / d.Blocks
}

// between adds the difference of two halves of stable. Whatever befalls both of them
// cancels out.
func (d *dispersion) between(a, b tallied) {
	n := a.n + b.n
	if a.n <= 0 || b.n <= 0 {
		return
	}
	p := (a.bad + b.bad) / n
	d.add(a.bad-a.n*p, a.n*b.n/n*p*(1-p), n/2)
}

// around adds the deviation from a mean.
func (d *dispersion) around(t tallied, p float64) {
	d.add(t.bad-t.n*p, t.n*p*(1-p), t.n)
}

// factor is by how much what n requests say must be divided. An excess that chance
// gives easily is none. Beyond the number of requests that it was measured with,
// more requests say no more: what befalls an arm as a whole befalls all of them.
func (d *dispersion) factor(n float64) float64 {
	if d.Expected <= 0 {
		return 1
	}
	phi := d.Square / d.Expected
	if r := d.Lag / d.Unit; d.Blocks >= fewest && r > 1/math.Sqrt(d.Blocks) {
		r = min(r, 0.9)
		phi *= (1 + r) / (1 - r)
	}
	if phi < 1+math.Sqrt(2*d.Weights)/d.Expected {
		return 1
	}
	return 1 + (phi-1)*max(1, n/d.N)
}

// least is the least factor of n requests that what was measured leaves room for: less
// than factor where there are fewer than it was measured with, for then an arm that is
// struck as a whole is struck less, beside chance, than one whose requests fail in
// bursts. share is that of bad requests. An arm's share cannot well swing by more than
// itself from block to block: what is beyond that is bursts whatever the number.
func (d *dispersion) least(n, share float64) float64 {
	phi := d.factor(n)
	if n < d.N {
		phi -= min(phi-1, share*d.N) * (1 - n/d.N)
	}
	return phi
}

// sound reports sums that add cannot have left.
func (d *dispersion) sound() bool {
	for _, v := range [...]float64{d.Square, d.Expected, d.Weights, d.Unit, d.Blocks, d.N} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return false
		}
	}
	return !math.IsNaN(d.Lag+d.Last) && !math.IsInf(d.Lag+d.Last, 0) && (d.Blocks == 0) == (d.N == 0)
}

// memory is stable's latest shares, for when it gets no more traffic.
type memory struct {
	Shares []float32 `json:"shares,omitempty"`
	Next   int       `json:"next,omitempty"`
}

func (m *memory) add(share float64) {
	if len(m.Shares) < recent {
		m.Shares = append(m.Shares, float32(share))
		return
	}
	m.Shares[m.Next] = float32(share)
	m.Next = (m.Next + 1) % recent
}

// high is the 90th percentile of the shares, 0 without any.
func (m *memory) high() float64 {
	if len(m.Shares) == 0 {
		return 0
	}
	var sorted [recent]float32
	n := copy(sorted[:], m.Shares)
	slices.Sort(sorted[:n])
	return float64(sorted[(n-1)*9/10])
}

func (m *memory) sound() bool {
	for _, s := range m.Shares {
		if !(s >= 0 && s <= 1) {
			return false
		}
	}
	return len(m.Shares) <= recent && m.Next >= 0 && m.Next < recent
}
