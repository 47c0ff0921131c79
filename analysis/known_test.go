// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// slowed is a service that takes 5 ms, whose counts begin with the rollout, and a
// candidate that takes 10 ms. The bounds reach from 1 ms to a minute.
type slowed struct{ stable, candidate uint64 }

func (s *slowed) counts(n uint64, took time.Duration) analysis.Counts {
	c := analysis.Counts{Requests: n}
	for bound := time.Millisecond; bound < time.Minute; bound = bound * 5 / 4 {
		c.Bounds = append(c.Bounds, bound)
	}
	c.Latency = make([]uint64, len(c.Bounds)+1)
	for i, bound := range c.Bounds {
		if took <= bound {
			c.Latency[i] = n
			break
		}
	}
	return c
}

func (s *slowed) Counts(context.Context, analysis.Check) (stable, candidate analysis.Counts, err error) {
	return s.counts(s.stable, 5*time.Millisecond), s.counts(s.candidate, 10*time.Millisecond), nil
}

func (s *slowed) Halves(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
	return s.counts(s.stable/2, 5*time.Millisecond), s.counts(s.stable/2, 5*time.Millisecond), nil
}

func (s *slowed) History(context.Context, analysis.Check, time.Duration, int) ([]analysis.Halved, error) {
	half := s.counts(500, 5*time.Millisecond)
	return []analysis.Halved{{A: half, B: half}, {A: half, B: half}}, nil
}

// The first counts are empty, and tell nothing of where this service's requests lie.
func TestWhatStableDidBeforeSaysWhichBoundsTell(t *testing.T) {
	t.Parallel()
	s := &slowed{}
	j := compare(t, s, analysis.CompareOptions{})
	var state analysis.State
	for i := range 20 {
		f, err := j.Judge(t.Context(), analysistest.Question(0, time.Duration(i)*10*time.Second, state))
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict == analysis.Fail {
			return
		}
		state = f.State
		s.stable += 1000
		s.candidate += 200
	}
	t.Error("a candidate that takes twice as long was not found")
}
