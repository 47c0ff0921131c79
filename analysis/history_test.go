// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

// replicas is a service whose errors come in clumps, and that can be seen by halves.
type replicas struct {
	r       *rand.Rand
	clump   int
	arms    [3]analysis.Counts // both halves of stable, candidate
	halves  error
	history error
	asked   int
}

func (s *replicas) serve(arm, n int, p float64) {
	c := &s.arms[arm]
	c.Requests += uint64(n) //nolint:gosec // a count
	for range n / s.clump {
		if s.r.Float64() < p {
			c.Errors += uint64(s.clump) //nolint:gosec // a count
		}
	}
}

func (s *replicas) Counts(context.Context, analysis.Check) (stable, candidate analysis.Counts, err error) {
	stable = s.arms[0]
	stable.Requests += s.arms[1].Requests
	stable.Errors += s.arms[1].Errors
	return stable, s.arms[2], nil
}

func (s *replicas) Halves(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
	return s.arms[0], s.arms[1], s.halves
}

func (s *replicas) History(_ context.Context, _ analysis.Check, length time.Duration, blocks int) ([]analysis.Halved, error) {
	s.asked++
	if s.history != nil || length != 10*time.Second {
		return nil, s.history
	}
	old := &replicas{r: s.r, clump: s.clump}
	list := make([]analysis.Halved, blocks)
	for i := range list {
		old.arms = [3]analysis.Counts{}
		old.serve(0, 1000, 0.01)
		old.serve(1, 1000, 0.01)
		list[i] = analysis.Halved{A: old.arms[0], B: old.arms[1]}
	}
	return list, nil
}

// onlyCounts hides what else a source knows.
type onlyCounts struct{ analysis.Source }

// failures runs rollouts of a candidate that is as good as stable, and says how many
// of them failed.
func failures(t *testing.T, runs int, source func(*replicas) analysis.Source) (failed int) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 10)) //nolint:gosec // a simulation
	for range runs {
		s := &replicas{r: r, clump: 10}
		j := compare(t, source(s), analysis.CompareOptions{})
		var state analysis.State
		for i := range 30 {
			f, err := j.Judge(t.Context(), analysistest.Question(0, time.Duration(i)*10*time.Second, state))
			if err != nil {
				t.Fatal(err)
			}
			if f.Verdict == analysis.Fail {
				failed++
				break
			}
			state = f.State
			for arm, n := range []int{1000, 1000, 200} {
				s.serve(arm, n, 0.01)
			}
		}
	}
	return failed
}

func TestHalvesOfStableShowThatErrorsComeInClumps(t *testing.T) {
	t.Parallel()
	const runs = 100
	blind := failures(t, runs, func(s *replicas) analysis.Source { return onlyCounts{s} })
	seeing := failures(t, runs, func(s *replicas) analysis.Source { return s })
	if blind < runs/10 || seeing > runs/50 {
		t.Errorf("of %d good candidates %d failed without halves, %d with", runs, blind, seeing)
	}
}

// TestEvidenceFromBeforeTheModelOfBurstsIsGoneOnWith: the state is one of version 1 of
// a service that fails in bursts, in the middle of a step, without evidence by the model.
func TestEvidenceFromBeforeTheModelOfBurstsIsGoneOnWith(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/compare-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &replicas{r: rand.New(rand.NewPCG(1, 2)), clump: 10} //nolint:gosec // a simulation
	s.arms[0] = analysis.Counts{Requests: 4000, Errors: 50}
	s.arms[1] = analysis.Counts{Requests: 4000, Errors: 50}
	s.arms[2] = analysis.Counts{Requests: 800, Errors: 10}
	j, state := compare(t, s, analysis.CompareOptions{}), analysis.State(text)
	for i := range 2 { // the second reads what the first wrote
		f, err := j.Judge(t.Context(), analysistest.Question(0, time.Duration(4+i)*10*time.Second, state))
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict != analysis.Pass || f.N != uint64(800+200*i) || strings.Contains(f.Reason, "remembered") { //nolint:gosec // small
			t.Errorf("question %d: %v of %d requests: %s", i, f.Verdict, f.N, f.Reason)
		}
		state = f.State
		if !strings.Contains(string(state), `"bursts":{"on":true`) {
			t.Errorf("question %d: no evidence by the model of bursts in %s", i, state)
		}
		for arm, n := range []uint64{1000, 1000, 200} {
			s.arms[arm].Requests += n
		}
	}
}

func TestWhatASourceCannotSayOfHalvesIsNoError(t *testing.T) {
	t.Parallel()
	s := &replicas{r: rand.New(rand.NewPCG(1, 2)), clump: 1, halves: errors.ErrUnsupported, history: errors.ErrUnsupported} //nolint:gosec // a simulation
	j := compare(t, s, analysis.CompareOptions{})
	var state analysis.State
	ask := func(i int) analysis.Finding {
		t.Helper()
		for arm := range s.arms {
			s.serve(arm, 100, 0.01)
		}
		f, err := j.Judge(t.Context(), analysistest.Question(0, time.Duration(i)*10*time.Second, state))
		if err != nil {
			t.Fatal(err)
		}
		state = f.State
		return f
	}
	ask(0)
	if f := ask(1); f.Verdict != analysis.Pass || s.asked != 1 {
		t.Errorf("%v after history was asked for %d times: %s", f.Verdict, s.asked, f.Reason)
	}
	// Another error is the source's.
	s.halves = errors.New("no route to host")
	if f := ask(2); f.Verdict != analysis.Pending || !strings.Contains(f.Reason, "halves of stable: no route to host") {
		t.Errorf("%v: %s", f.Verdict, f.Reason)
	}
	s.history, state = errors.New("too old"), ""
	if f := ask(3); f.Verdict != analysis.Pending || !strings.Contains(f.Reason, "history: too old") {
		t.Errorf("%v: %s", f.Verdict, f.Reason)
	}
}

func TestWithoutStableTheCandidateIsHeldAgainstWhatStableDidLately(t *testing.T) {
	t.Parallel()
	run := func(before, at100 float64) analysis.Verdict {
		w := watch(t, analysis.CompareOptions{})
		for range 12 {
			w.ask()
			w.serve("stable", 900, before, 0.01)
			w.serve("candidate", 900, before, 0.01)
		}
		var f analysis.Finding
		for range 8 {
			f = w.ask()
			w.serve("candidate", 1800, at100, 0.01)
		}
		return f.Verdict
	}
	for _, test := range []struct {
		before, at100 float64
		want          bool
	}{
		{0.001, 0.001, false},
		{0.001, 0.008, false}, // within the limit
		{0.001, 0.06, true},
		{0.04, 0.04, false}, // beyond the limit, but so was stable
		{0.04, 0.12, true},
	} {
		if got := run(test.before, test.at100); (got == analysis.Fail) != test.want {
			t.Errorf("stable failed %v and the candidate at 100%% fails %v: %v", test.before, test.at100, got)
		}
	}
}

func TestACandidateWithoutAnyStableIsNotBlamed(t *testing.T) {
	t.Parallel()
	w := watch(t, analysis.CompareOptions{})
	for range 10 {
		if f := w.ask(); f.Verdict == analysis.Fail {
			t.Fatalf("nothing was ever known of stable in this run: %s", f.Reason)
		}
		w.serve("candidate", 1000, 0.5, 0)
	}
}
