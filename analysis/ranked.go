// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"math"
	"slices"
)

// Direction is which difference from stable is a bad one.
type Direction uint8

const (
	// Increase says that more is worse: errors, latency.
	Increase Direction = iota
	// Decrease says that less is worse: orders, cache hits.
	Decrease
	// Either says that any difference is bad.
	Either
)

// Effect is how the size of a difference is measured.
type Effect uint8

const (
	// MeanRatio is the candidate's mean divided by stable's.
	MeanRatio Effect = iota
	// Superiority is how often a value of the candidate is above one of stable's, from
	// 0 to 1, ties counting half: Kayenta's cles.
	Superiority
)

// RankedMetric is one metric of a [MannWhitney]. Its zero fields are Kayenta's defaults.
type RankedMetric struct {
	// Name stands in reasons, and Group is whose score it counts in. Both are needed
	// to be told apart; Group may be "".
	Name, Group string
	// Metric is what is measured in each interval: [ErrorRate], [LatencyAbove] or
	// [Value]. Of a Value, stable's is used where BaselineN is above 0.
	Metric Metric
	// Bad is which difference is a bad one.
	Bad Direction
	// Critical makes the whole score 0 if this metric does not pass.
	Critical bool
	// MustHaveData makes it a failure of the metric if there are no values.
	MustHaveData bool
	// ZeroForNone takes an interval without a value for one of 0, which is Kayenta's
	// nanStrategy replace. Otherwise it is left out.
	ZeroForNone bool
	// Effect and what it must reach before a difference counts: with MeanRatio, from
	// AllowedIncrease up or from AllowedDecrease down. 0 is 1, or 0.5 for Superiority.
	Effect                           Effect
	AllowedIncrease, AllowedDecrease float64
}

// class is what a metric comes to.
type class uint8

const (
	passes class = iota
	high
	low
	noData
	noDataFail
)

// ranking is a metric's class and why.
type ranking struct {
	class  class
	shift  shift
	effect float64 // NaN where there is none
	tested bool
}

// rank classifies the candidate's values beside stable's, as Kayenta's
// MannWhitneyClassifier does.
func (m *RankedMetric) rank(x, y []float64, confidence, tolerance float64) ranking {
	r := ranking{effect: math.NaN()}
	switch {
	case len(x) == 0 || len(y) == 0:
		switch {
		case m.MustHaveData:
			r.class = noDataFail
		case !m.ZeroForNone:
			r.class = noData
		}
		return r
	case slices.Equal(x, y) || slices.Min(x) == slices.Max(x) && slices.Min(y) == slices.Max(y) && x[0] == y[0]:
		return r
	}
	r.tested = true
	r.shift = shiftOf(x, y, confidence)
	if m.Effect == Superiority {
		r.effect = superiority(x, y)
	} else if base := mean(y); base != 0 {
		r.effect = mean(x) / base
	}
	edge := tolerance * math.Abs(r.shift.Estimate)
	// An effect that is not a number does not stand in the way.
	switch {
	case m.Bad != Decrease && r.shift.Low > edge && !(r.effect < m.AllowedIncrease):
		r.class = high
	case m.Bad != Increase && r.shift.High < -edge && !(r.effect > m.AllowedDecrease):
		r.class = low
	}
	return r
}

// filled is m with its defaults. The error names the field that is wrong.
func (m RankedMetric) filled() (RankedMetric, error) {
	neutral := 1.0
	if m.Effect == Superiority {
		neutral = 0.5
	}
	if m.AllowedIncrease == 0 {
		m.AllowedIncrease = neutral
	}
	if m.AllowedDecrease == 0 {
		m.AllowedDecrease = neutral
	}
	switch {
	case m.Name == "":
		return m, fmt.Errorf("%s: empty", "Name")
	case m.Metric.err != nil:
		return m, m.Metric.err
	case m.Metric.name == "":
		return m, fmt.Errorf("%s: none given: use ErrorRate, LatencyAbove or Value", "Metric")
	case m.Bad > Either:
		return m, fmt.Errorf("%s %d: want Increase, Decrease or Either", "Bad", m.Bad)
	case m.Effect > Superiority:
		return m, fmt.Errorf("%s %d: want MeanRatio or Superiority", "Effect", m.Effect)
	case !(m.AllowedIncrease >= neutral) || !finite(m.AllowedIncrease):
		return m, fmt.Errorf("AllowedIncrease %v: want at least %v, which is no effect", m.AllowedIncrease, neutral)
	case !(m.AllowedDecrease > 0 && m.AllowedDecrease <= neutral):
		return m, fmt.Errorf("AllowedDecrease %v: want more than 0 and at most %v, which is no effect", m.AllowedDecrease, neutral)
	}
	return m, nil
}

// score is that of classes, as Kayenta's WeightedSumScorer counts: of each group the
// per cent that passes, by the groups' weights.
func score(metrics []RankedMetric, weights map[string]float64, ranked []ranking) float64 {
	var groups []string
	passed, counted := map[string]float64{}, map[string]float64{}
	nothing := 0
	for i, r := range ranked {
		m := &metrics[i]
		if m.Critical && r.class != passes {
			return 0
		}
		if !slices.Contains(groups, m.Group) {
			groups = append(groups, m.Group)
		}
		switch r.class {
		case noData:
			nothing++
			continue
		case passes:
			passed[m.Group]++
		case high, low, noDataFail:
		}
		counted[m.Group]++
	}
	if 2*nothing >= len(ranked) {
		return 0
	}
	rest, without := 100.0, 0.0
	for _, g := range groups {
		if w, ok := weights[g]; ok {
			rest -= w
		} else {
			without++
		}
	}
	sum := 0.0
	for _, g := range groups {
		w, ok := weights[g]
		if !ok {
			w = max(rest, 0) / without
		}
		part := 1.0 // a group of which nothing is known takes nothing away
		if counted[g] > 0 {
			part = passed[g] / counted[g]
		}
		sum += w * part
	}
	return sum
}
