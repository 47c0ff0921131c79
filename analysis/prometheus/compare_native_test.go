// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// observed is a native histogram of a schema that is being counted in.
type observed struct {
	schema int
	counts map[int]int
}

// serve counts n requests of a service whose latencies are log-normal.
func (o *observed) serve(rng *rand.Rand, n int, median time.Duration) {
	for range n {
		took := median.Seconds() * math.Exp(0.57*rng.NormFloat64())
		o.counts[int(math.Ceil(math.Log2(took)*math.Exp2(float64(o.schema))))]++
	}
}

// coarsen is what a client does when there are too many buckets.
func (o *observed) coarsen() {
	wide := map[int]int{}
	for i, n := range o.counts {
		wide[int(math.Ceil(float64(i)/2))] += n
	}
	o.schema, o.counts = o.schema-1, wide
}

// scrape is a sample of it, as the API has it.
func (o *observed) scrape(f *fake, at time.Duration, series string) {
	sum, buckets := 0, [][4]any{}
	for i := -400; i < 400; i++ {
		if n := o.counts[i]; n > 0 {
			sum += n
			end := func(i int) string { return fmt.Sprint(math.Exp2(float64(i) / math.Exp2(float64(o.schema)))) }
			buckets = append(buckets, [4]any{0, end(i - 1), end(i), fmt.Sprint(n)})
		}
	}
	f.scrapeNative(after(at), series, map[string]any{"count": fmt.Sprint(sum), "sum": "1", "buckets": buckets})
}

// compareNative judges blocks of requests whose latency is counted by native
// histograms alone.
func compareNative(t *testing.T, coarse int, median time.Duration) (v analysis.Verdict, blocks int, reason string) {
	t.Helper()
	f := newFake(t)
	rng := rand.New(rand.NewPCG(21, 22)) //nolint:gosec // a simulation
	judge, err := analysis.NewCompare(source(t, f, prometheus.Query{
		Stable: `arm="$stable"`, Candidate: `arm="$candidate"`, Requests: "seconds", Errors: `seconds{code="500"}`, Latency: "seconds",
	}, prometheus.Options{}), analysis.CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	arms := map[string]*observed{"v1": {schema: 3, counts: map[int]int{}}, "v2": {schema: 3, counts: map[int]int{}}}
	var state analysis.State
	for i := range 24 {
		at := time.Duration(i) * 10 * time.Second
		if i == 6 {
			for range coarse {
				arms["v2"].coarsen()
			}
		}
		arms["v1"].serve(rng, 900, 80*time.Millisecond)
		arms["v2"].serve(rng, 300, median)
		for arm, o := range arms {
			o.scrape(f, at, fmt.Sprintf(`seconds{arm=%q,code="200",instance="one"}`, arm))
		}
		if i == 0 {
			continue // from before the rollout
		}
		c := check(at)
		c.State = state
		found, err := judge.Judge(t.Context(), c)
		if err != nil || strings.Contains(found.Reason, "could not be read") {
			t.Fatal(found.Reason, err)
		}
		if v, reason = found.Verdict, found.Reason; v == analysis.Fail {
			return v, i, reason
		}
		state = found.State
	}
	return v, 24, reason
}

func TestCompareJudgesLatencyByNativeHistograms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		coarse int
		median time.Duration
		want   analysis.Verdict
	}{
		"as fast":              {0, 80 * time.Millisecond, analysis.Safe},
		"half as slow again":   {0, 120 * time.Millisecond, analysis.Fail},
		"as fast, but coarser": {2, 80 * time.Millisecond, analysis.Safe},
		"slower and coarser":   {2, 120 * time.Millisecond, analysis.Fail},
		"as fast, very coarse": {3, 80 * time.Millisecond, analysis.Pass},
		"slower, very coarse":  {3, 160 * time.Millisecond, analysis.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, blocks, reason := compareNative(t, c.coarse, c.median)
			if v != c.want || v == analysis.Fail && !strings.Contains(reason, "slower") && !strings.Contains(reason, "longer") {
				t.Errorf("%v after %d blocks: %s", v, blocks, reason)
			}
			t.Logf("%v after %d blocks: %s", v, blocks, reason)
		})
	}
}
