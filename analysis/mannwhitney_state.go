// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const rankVersion = 1

// rankState is all that a MannWhitney remembers between two questions.
type rankState struct {
	answer

	Version int       `json:"v"`
	Of      string    `json:"judge"`
	Run     uint64    `json:"run"`
	Since   time.Time `json:"since"`
	// Marks is where the running interval began, one for each metric, and Values
	// what the ones before gave.
	Marks  []mark   `json:"marks,omitempty"`
	Values []values `json:"values"`
	// Idle counts the intervals in a row without values of both arms, SourceErrors
	// the errors in a row.
	Idle         int `json:"idle,omitempty"`
	SourceErrors int `json:"sourceErrors,omitempty"`
	// Seen says that there was an interval with values of both arms: zeros that
	// stand for none are no reason to pass.
	Seen bool `json:"seen,omitempty"`
}

// values are those of both arms, the oldest first, to seven digits.
type values struct {
	Candidate []float32 `json:"candidate,omitempty"`
	Stable    []float32 `json:"stable,omitempty"`
}

// largest is what a value may be: its sums must be numbers, too.
const largest = 1e30

// add adds what an interval gave, and reports whether both arms had a value.
func (v *values) add(r reading, zero bool, most int) bool {
	one := func(list []float32, value float64, known bool) ([]float32, bool) {
		known = known && !r.lost && value >= -largest && value <= largest
		switch {
		case known:
			list = append(list, float32(value))
		case zero:
			list = append(list, 0)
		}
		return list[max(0, len(list)-most):], known
	}
	var candidate, stable bool
	v.Candidate, candidate = one(v.Candidate, r.sample.Value, r.sample.Known)
	v.Stable, stable = one(v.Stable, r.sample.Baseline, r.sample.BaselineN > 0)
	return candidate && stable
}

func (v *values) floats() (candidate, stable []float64) {
	wide := func(list []float32) []float64 {
		out := make([]float64, len(list))
		for i, x := range list {
			out[i] = float64(x)
		}
		return out
	}
	return wide(v.Candidate), wide(v.Stable)
}

// fewest is how many values of both arms the metric has that has most.
func (s *rankState) fewest() int {
	n := 0
	for _, v := range s.Values {
		n = max(n, min(len(v.Candidate), len(v.Stable)))
	}
	return n
}

// recall reads what is remembered of c's step: a fresh state where there is nothing
// or it is of another step, and where it cannot be used, why.
func (j *MannWhitney) recall(c Check) (s rankState, unusable error) {
	fresh := rankState{Version: rankVersion, Of: j.of, Run: c.Run, Since: c.Since, Values: make([]values, len(j.metrics))}
	if c.State == "" {
		return fresh, nil
	}
	if err := recall(c.State, &s); err != nil {
		return fresh, err
	}
	if err := j.mine(&s); err != nil {
		return fresh, err
	}
	if s.Run != c.Run || !s.Since.Equal(c.Since) {
		return fresh, nil
	}
	return s, nil
}

// mine reports a state that this judge cannot have written. A verdict on values is
// repeated only if the values still have it.
func (j *MannWhitney) mine(s *rankState) error {
	switch {
	case s.Version != rankVersion:
		return fmt.Errorf("it has version %d, this is %d", s.Version, rankVersion)
	case s.Of != j.of:
		return errors.New("it is of another judge or other options")
	case !within(s.Idle, j.o.IdleLimit) || !within(s.SourceErrors, j.o.ConsecutiveErrorLimit):
		return errors.New("its counts are beyond the limits")
	case s.sound(j.o.Interval) != nil:
		return s.sound(j.o.Interval)
	case len(s.Values) != len(j.metrics) || s.Marks != nil && len(s.Marks) != len(j.metrics):
		return errors.New("it is of other metrics")
	}
	for _, v := range s.Values {
		if max(len(v.Candidate), len(v.Stable)) > j.o.Samples {
			return errors.New("it has more values than are kept")
		}
		for _, x := range slices.Concat(v.Candidate, v.Stable) {
			if !(x >= -largest && x <= largest) {
				return errors.New("its values are out of bounds")
			}
		}
	}
	if v, _ := j.verdict(s); (s.Verdict == Pass || s.Verdict == Safe || s.Verdict == Fail) && (v != s.Verdict || s.SourceErrors > 0) {
		return fmt.Errorf("its values do not bear out its verdict %v", s.Verdict)
	}
	return nil
}
