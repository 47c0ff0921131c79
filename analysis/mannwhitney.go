// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// MannWhitneyOptions shape a [MannWhitney]. Zero fields are Kayenta's defaults, where
// it has one.
type MannWhitneyOptions struct {
	// Groups are the groups' weights in the score, in per cent. Groups without one
	// share what is left of 100 equally.
	Groups map[string]float64
	// Pass is the score from which on the candidate passes, and Marginal the one
	// below which it does not. 0 are 95 and 75.
	Pass, Marginal float64
	// Tolerance is the part of the estimated shift that the near end of its interval must
	// exceed for the shift to count. 0 is 0.25. It is no margin in the metric's unit.
	Tolerance float64
	// Confidence is that of the interval. 0 is 0.98.
	Confidence float64
	// Interval is how long each value is measured. 0 is one minute.
	Interval time.Duration
	// MinSamples is how many values of each arm it takes to say anything, and Samples
	// how many are kept, the latest. 0 are 10 and 60. Kayenta's documents advise 50.
	MinSamples, Samples int
	// Fails makes a score below Marginal a Fail. Without it the judge only advises.
	Fails bool
	// IdleLimit is how many intervals in a row may bring no value of either arm
	// before the verdict is Inconclusive. 0 is three.
	IdleLimit int
	// ConsecutiveErrorLimit is how many errors in a row of a metric's source are
	// tolerated before the verdict is Inconclusive. 0 is four; negative is none.
	ConsecutiveErrorLimit int
}

const (
	maxRanked = 16
	// maxKept bounds the values in a state.
	maxKept = 2000
)

// MannWhitney is Kayenta's judge (NetflixACAJudge), for those who have tuned metrics
// for it: per metric a rank-sum test of the candidate's values against stable's, one
// value of each arm per interval of the step, and a score of the metrics that pass.
//
//   - Pending: there are not MinSamples values yet, or the score is below Pass and
//     not below Marginal.
//   - Pass: the score is Pass or more.
//   - Fail: the score is below Marginal, and Fails is set. It stays so for the step.
//   - Inconclusive: the score is below Marginal, and Fails is not set; or there is
//     nothing to judge by.
//
// It bounds no error: it is a test for one look that is looked at again and again, of
// values that follow each other, and where the arms get unequal traffic the smaller
// one's values scatter more, which ranks mistake for a shift. So it advises only, unless
// asked; [Compare] is what to fail candidates by. Kayenta's removal of
// outliers is left out.
//
// A MannWhitney is safe for concurrent use and cannot be changed.
type MannWhitney struct {
	metrics []RankedMetric
	o       MannWhitneyOptions
	of      string
}

var _ Judge = (*MannWhitney)(nil)

// NewMannWhitney is a MannWhitney of 1 to 16 metrics. The error names the field that
// is wrong.
func NewMannWhitney(o MannWhitneyOptions, metrics ...RankedMetric) (*MannWhitney, error) {
	o = o.withDefaults()
	o.Groups = maps.Clone(o.Groups)
	metrics = slices.Clone(metrics)
	err := o.check(len(metrics))
	names, groups := map[string]bool{}, map[string]bool{}
	for i := range metrics {
		m, wrong := metrics[i].filled()
		if wrong == nil && names[m.Name] {
			wrong = fmt.Errorf("%s: %q is taken", "Name", m.Name)
		}
		if wrong != nil && err == nil {
			err = fmt.Errorf("metric %d: %w", i, wrong)
		}
		metrics[i], names[m.Name], groups[m.Group] = m, true, true
	}
	if err == nil {
		err = o.checkGroups(groups)
	}
	if err != nil {
		return nil, fmt.Errorf("analysis: mann-whitney: %w", err)
	}
	ids := make([]any, len(metrics))
	for i, m := range metrics {
		id := m
		id.Metric = Metric{}
		ids[i] = struct {
			name   string
			metric RankedMetric
		}{m.Metric.name, id}
	}
	return &MannWhitney{metrics: metrics, o: o, of: fingerprintOf("mann-whitney", append(ids, o))}, nil
}

func (o MannWhitneyOptions) withDefaults() MannWhitneyOptions {
	for _, f := range [...]struct {
		field *float64
		value float64
	}{{&o.Pass, 95}, {&o.Marginal, 75}, {&o.Tolerance, 0.25}, {&o.Confidence, 0.98}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range [...]struct {
		field *int
		value int
	}{{&o.MinSamples, 10}, {&o.Samples, max(60, o.MinSamples)}, {&o.IdleLimit, 3}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	o.ConsecutiveErrorLimit = errorLimit(o.ConsecutiveErrorLimit)
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	return o
}

func (o MannWhitneyOptions) check(metrics int) error {
	switch {
	case metrics < 1 || metrics > maxRanked:
		return fmt.Errorf("%d metrics: want 1 to %d", metrics, maxRanked)
	case !(o.Pass > 0 && o.Pass <= 100):
		return fmt.Errorf("%s %v: want a score above 0, up to 100", "Pass", o.Pass)
	case !(o.Marginal > 0 && o.Marginal <= o.Pass):
		return fmt.Errorf("%s %v: want a score above 0, up to Pass, %v", "Marginal", o.Marginal, o.Pass)
	case !(o.Tolerance > 0 && o.Tolerance < 1):
		return fmt.Errorf("%s %v: want a number between 0 and 1", "Tolerance", o.Tolerance)
	case o.Interval < 0 || o.Interval > 24*time.Hour:
		return fmt.Errorf("%s %v: want 0 for one minute, or up to a day", "Interval", o.Interval)
	case o.MinSamples < 2:
		return fmt.Errorf("MinSamples %d: want 0 for ten, or at least 2", o.MinSamples)
	case o.Samples < o.MinSamples || 2*o.Samples*metrics > maxKept:
		return fmt.Errorf("%s %d: want at least MinSamples, %d, and at most %d for %d metrics", "Samples", o.Samples, o.MinSamples, maxKept/2/metrics, metrics)
	case o.IdleLimit < 0 || o.IdleLimit > maxLimit:
		return fmt.Errorf("IdleLimit %d: want 0 for three, up to %d", o.IdleLimit, maxLimit)
	case o.ConsecutiveErrorLimit > maxLimit:
		return fmt.Errorf("ConsecutiveErrorLimit %d: want at most %d", o.ConsecutiveErrorLimit, maxLimit)
	}
	return checkChance("Confidence", o.Confidence)
}

func (o MannWhitneyOptions) checkGroups(groups map[string]bool) error {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(o.Groups)) {
		w := o.Groups[name]
		if !groups[name] {
			return fmt.Errorf("%s[%q]: no metric is in it", "Groups", name)
		}
		if !(w >= 0 && w <= 100) {
			return fmt.Errorf("%s[%q] %v: want per cent, 0 to 100", "Groups", name, w)
		}
		sum += w
	}
	if sum > 100+1e-9 || len(o.Groups) == len(groups) && sum < 100-1e-9 {
		return fmt.Errorf("%s: the weights add up to %v: want 100", "Groups", sum)
	}
	return nil
}
