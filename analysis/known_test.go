// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// slowed is a service that takes 5 ms, whose counts begin with the rollout, and a
// candidate that takes 10 ms, or better says what. The bounds reach from 1 ms to a minute.
type slowed struct {
	stable, candidate uint64
	better            time.Duration
	// hidden says that an arm that got no request is not known, nor how it is counted.
	hidden bool
}

func (s *slowed) counts(n uint64, took time.Duration) analysis.Counts {
	c := analysis.Counts{Requests: n}
	if s.hidden && n == 0 {
		return c
	}
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
	return s.counts(s.stable, 5*time.Millisecond), s.counts(s.candidate, cmp.Or(s.better, 10*time.Millisecond)), nil
}

func (s *slowed) Halves(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
	return s.counts(s.stable/2, 5*time.Millisecond), s.counts(s.stable/2, 5*time.Millisecond), nil
}

func (s *slowed) History(context.Context, analysis.Check, time.Duration, int) ([]analysis.Halved, error) {
	half := s.counts(500, 5*time.Millisecond)
	return []analysis.Halved{{A: half, B: half}, {A: half, B: half}}, nil
}

// asking asks a Compare of s every ten seconds, through states only.
func asking(t *testing.T, s analysis.Source) func() analysis.Finding {
	t.Helper()
	var state analysis.State
	i := 0
	return func() analysis.Finding {
		t.Helper()
		f, err := compare(t, s, analysis.CompareOptions{}).Judge(t.Context(), analysistest.Question(0, time.Duration(i)*10*time.Second, state))
		if err != nil {
			t.Fatal(err)
		}
		state = f.State
		i++
		return f
	}
}

// The first counts are empty, and tell nothing of where this service's requests lie: what
// stable did before does, or what it does next.
func TestWhatStableDidSaysWhichBoundsTell(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func(*slowed) analysis.Source{
		"with history": func(s *slowed) analysis.Source { return s },
		"by halves alone": func(s *slowed) analysis.Source {
			return struct {
				onlyCounts
				analysis.Halves
			}{onlyCounts{s}, s}
		},
		"by counts alone":       func(s *slowed) analysis.Source { return onlyCounts{s} },
		"by counts not at hand": func(s *slowed) analysis.Source { s.hidden = true; return onlyCounts{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &slowed{}
			ask := asking(t, source(s))
			for range 20 {
				switch f := ask(); f.Verdict {
				case analysis.Fail:
					return
				case analysis.Safe:
					t.Fatalf("a candidate that takes twice as long is safe: %s", f.Reason)
				case analysis.Pass, analysis.Pending, analysis.Inconclusive:
				}
				s.stable += 1000
				s.candidate += 200
			}
			t.Error("a candidate that takes twice as long was not found")
		})
	}
}

// TestNothingIsSafeBeforeItIsKnownWhichBoundsTell: by its failures alone this candidate is
// safe after one block; stable shows where its requests lie after five.
func TestNothingIsSafeBeforeItIsKnownWhichBoundsTell(t *testing.T) {
	t.Parallel()
	s := &slowed{better: 5 * time.Millisecond}
	ask := asking(t, onlyCounts{s})
	for {
		f := ask()
		waits := strings.Contains(f.Reason, "which latencies tell is not known yet")
		switch {
		case f.Verdict == analysis.Safe && s.stable > 100:
			return
		case f.Verdict == analysis.Safe:
			t.Fatalf("safe when stable has answered %d requests: %s", s.stable, f.Reason)
		case f.Verdict == analysis.Fail || s.stable > 300 || waits != (s.stable > 0 && s.stable < 100):
			t.Fatalf("%v when stable has answered %d requests: %s", f.Verdict, s.stable, f.Reason)
		}
		s.stable += 20
		s.candidate += 5000
	}
}

// TestAServiceSlowerThanAllBoundsIsJudgedByItsFailures, as it is where stable's counts show
// that at once.
func TestAServiceSlowerThanAllBoundsIsJudgedByItsFailures(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter(compareBounds...)
	n.Add("stable", 0, 0)
	n.Add("candidate", 0, 0)
	ask := asking(t, n)
	for range 10 {
		if f := ask(); f.Verdict == analysis.Safe {
			return
		}
		n.Took("stable", 1000, 2*time.Second)
		n.Took("candidate", 1000, 2*time.Second)
	}
	t.Error("a candidate as good as stable was not found safe")
}
