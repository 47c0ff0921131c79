// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

func TestRealNativeHistogramsShowASlowCandidate(t *testing.T) {
	t.Parallel()
	v1, v2 := newTarget(t), newTarget(t)
	rng := rand.New(rand.NewPCG(31, 32)) //nolint:gosec // a simulation
	serve := func(x *target, arm string, n int, median time.Duration) {
		for range n {
			x.serve(arm, "200", 1, time.Duration(float64(median)*math.Exp(0.57*rng.NormFloat64())))
		}
	}
	serve(v1, "v1", 1, time.Millisecond)
	serve(v2, "v2", 1, time.Millisecond)
	address := realPrometheus(t, []*target{v1, v2}, "--enable-feature=native-histograms")
	q := simple()
	q.Latency = "native_seconds"
	s, err := prometheus.New(address, q, prometheus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	judge, err := analysis.NewCompare(s, analysis.CompareOptions{Pace: analysis.Pace{Interval: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	scraped(t, []*target{v1, v2})
	exposed := time.Now()
	var state analysis.State
	for block := uint64(1); ; block++ {
		serve(v1, "v1", 300, 80*time.Millisecond)
		serve(v2, "v2", 100, 160*time.Millisecond)
		stable, candidate, at := until(t, s, exposed, func(stable, candidate analysis.Counts) bool {
			return total(stable.Latency) == 300*block && total(candidate.Latency) == 100*block && stable.Requests == 300*block
		})
		c := check(0)
		c.Since, c.Exposed, c.Until, c.State = exposed, exposed, at, state
		found, err := judge.Judge(t.Context(), c)
		if err != nil || block > 20 {
			t.Fatalf("after %d blocks: %s, %v; stable %+v, candidate %+v", block, found.Reason, err, stable, candidate)
		}
		if found.Verdict == analysis.Fail {
			if !strings.Contains(found.Reason, "takes longer than") {
				t.Errorf("failed for %s", found.Reason)
			}
			return
		}
		state = found.State
	}
}
