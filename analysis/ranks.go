// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"slices"
)

// shift is by how much the values of one sample are higher than those of another.
type shift struct {
	// Low and High bound it, and Estimate is the median of all differences between
	// a value of one and a value of the other (Hodges and Lehmann).
	Low, Estimate, High float64
}

// shiftOf inverts the rank-sum test of Mann, Whitney and Wilcoxon: the shift lies
// between those that the test, with corrections for ties and for continuity and by
// the normal distribution, just does not refuse.
//
// Shifted by anything between two neighbouring differences, the rank sum is known by
// how many differences lie below, so that the ends are two of the differences, and
// nothing has to be searched for. Where even the outermost is not refused, it is the end.
func shiftOf(x, y []float64, confidence float64) shift {
	d := make([]float64, 0, len(x)*len(y))
	for _, a := range x {
		for _, b := range y {
			d = append(d, a-b)
		}
	}
	slices.Sort(d)
	n, m := float64(len(x)), float64(len(y))
	all := n + m
	// Between differences no value of x ties with one of y.
	ties := tied(x) + tied(y)
	sigma := math.Sqrt(n * m / 12 * (all + 1 - ties/(all*(all-1))))
	z := math.Sqrt2 * math.Erfinv(confidence)
	// Of the differences, fewer than this below a shift are too few for it.
	few := n*m/2 - 0.5 - z*sigma
	at := func(k float64) float64 { return d[int(min(max(k, 1), n*m))-1] }
	first, second := math.Ceil(few), math.Floor(few)+1
	half := (len(d) - 1) / 2
	return shift{
		Low:      (at(first) + at(second)) / 2,
		Estimate: (d[half] + d[len(d)-1-half]) / 2,
		High:     (at(n*m+1-first) + at(n*m+1-second)) / 2,
	}
}

// tied is the sum of t³-t over the groups of t equal values.
func tied(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	sum := 0.0
	for i := 0; i < len(sorted); {
		j := i
		for j < len(sorted) && sorted[j] == sorted[i] {
			j++
		}
		t := float64(j - i)
		sum += t*t*t - t
		i = j
	}
	return sum
}

// superiority is how often a value of x is above one of y, ties counting half: the
// common language effect size.
func superiority(x, y []float64) float64 {
	wins := 0.0
	for _, a := range x {
		for _, b := range y {
			switch {
			case a > b:
				wins++
			case a == b:
				wins += 0.5
			}
		}
	}
	return wins / float64(len(x)*len(y))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}
