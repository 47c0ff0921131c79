// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"slices"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

var allMutants = slices.Concat(
	capsMutants, splitMutants, writeMutants, fenceMutants, refuseMutants,
	foreignMutants, driftMutants, restMutants, restartMutants, anotherMutants, faultMutants, leakMutants,
	planeMutants, sendMutants, mirrorMutants, meterMutants,
)

// TestEveryCaseCatchesAMutantAndEveryMutantIsCaught tries the suite itself: a
// case that nothing wrong can fail proves nothing, and a wrong router that
// passes shows what the suite leaves open. A mutant that most cases notice does
// not count for a case: it would be caught without it.
func TestEveryCaseCatchesAMutantAndEveryMutantIsCaught(t *testing.T) {
	t.Parallel()
	caughtBy := map[string][]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	turns := make(chan struct{}, 32) // most of them wait most of the time
	for _, c := range cases() {
		for _, m := range allMutants {
			turns <- struct{}{}
			wg.Go(func() {
				defer func() { <-turns }()
				if r := record(t, c, m.make()); len(r.failures) > 0 {
					mu.Lock()
					defer mu.Unlock()
					caughtBy[m.name] = append(caughtBy[m.name], c.name)
				}
			})
		}
	}
	wg.Wait()
	catches := map[string][]string{}
	for _, m := range allMutants {
		if len(caughtBy[m.name]) == 0 {
			t.Errorf("mutant %q is caught by no case", m.name)
		}
		if len(caughtBy[m.name]) > len(cases())/3 {
			continue
		}
		for _, name := range caughtBy[m.name] {
			catches[name] = append(catches[name], m.name)
		}
	}
	for _, c := range cases() {
		t.Logf("%q catches %q", c.name, catches[c.name])
		if len(catches[c.name]) == 0 {
			t.Errorf("case %q catches no mutant that most others do not", c.name)
		}
	}
	t.Logf("%d cases, %d mutants", len(cases()), len(allMutants))
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range cases() {
		if seen[c.name] || c.name == "" || c.why == "" {
			t.Errorf("case %q is there twice or unexplained", c.name)
		}
		seen[c.name] = true
	}
	for _, m := range allMutants {
		if seen[m.name] {
			t.Errorf("mutant %q is there twice", m.name)
		}
		seen[m.name] = true
	}
}

func TestRightRoutersPass(t *testing.T) {
	t.Parallel()
	switched := traffic.Caps{Granularity: traffic.Full, Evidence: traffic.Written, Toggle: true}
	coarse := traffic.Caps{Granularity: 3922, Fencing: true, Match: true, Evidence: traffic.Programmed}
	for name, o := range map[string]traffic.Options{
		"able to do everything": {},
		"a switch":              {Caps: switched},
		"coarse":                {Caps: coarse},
		"slow to settle":        {Settle: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Run(t, func(*testing.T) Subject {
				r := newTarget(o)
				r.settle = 0
				return r.subject(r)
			})
		})
	}
}

func TestCountsArePlausibleByChanceAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		k, n int
		p    float64
		want bool
	}{
		{0, 2000, 0, true},
		{1, 2000, 0, false},
		{2000, 2000, 1, true},
		{1999, 2000, 1, false},
		{20, 2000, 0.01, true},
		{4, 2000, 0.01, true},
		{0, 2000, 0.01, false}, // 2e-9
		{0, 500, 0.01, true},   // 0.7%
		{47, 2000, 0.01, false},
		{500, 2000, 0.25, true},
		{574, 2000, 0.25, true}, // 28.7% is 3.8 sigma here
		{600, 2000, 0.25, false},
		{400, 2000, 0.25, false},
		{1000, 2000, 0.5, true},
		{1, 1, 0.5, true},
	} {
		if got := plausible(tt.k, tt.n, tt.p); got != tt.want {
			t.Errorf("%d of %d at %v is plausible: %v, want %v", tt.k, tt.n, tt.p, got, tt.want)
		}
	}
	sum := 0.0
	for k := range 51 {
		sum += chance(k, 50, 0.3)
	}
	if sum < 1-1e-9 || sum > 1+1e-9 {
		t.Errorf("the chances of all counts add up to %v, want 1", sum)
	}
}
