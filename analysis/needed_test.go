// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

func TestWhatIsNeededIsWhatItTakes(t *testing.T) {
	t.Parallel()
	const runs = 12
	for _, tt := range []struct{ stable, candidate, weight float64 }{
		{0.001, 0.011, 0.1}, {0.001, 0.051, 0.05}, {0.01, 0.03, 0.5}, {0.001, 0.5, 0.01},
	} {
		need, err := analysis.Default().Needed(tt.stable, tt.candidate, tt.weight)
		if err != nil {
			t.Fatal(err)
		}
		var total float64
		for run := range uint64(runs) {
			w := watch(t, analysis.CompareOptions{})
			w.r = rand.New(rand.NewPCG(5, run)) //nolint:gosec // a simulation
			block := max(need.Candidate/12, 2)
			f, _ := w.until(analysis.Fail, 400, func() {
				w.serve("candidate", int(block), tt.candidate, 0)
				w.serve("stable", int(block/tt.weight*(1-tt.weight)), tt.stable, 0)
			})
			total += float64(f.N)
		}
		if mean := total / runs; mean < need.Candidate/3 || mean > need.Candidate*3 {
			t.Errorf("%+v: it took %.0f requests of the candidate, and some %.0f were said to be needed", tt, mean, need.Candidate)
		}
	}
}

func TestWhatCanNeverBeShownIsNotNeeded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ stable, candidate, weight float64 }{
		{0.01, 0.01, 0.1}, {0.01, 0.005, 0.1}, {0.001, 0.5, 0}, {0.001, 0.5, 1}, {-1, 0.5, 0.5}, {0.1, 2, 0.5},
	} {
		if need, err := analysis.Default().Needed(tt.stable, tt.candidate, tt.weight); err == nil {
			t.Errorf("%+v: %+v, want an error", tt, need)
		}
	}
}

func ExampleCompareOptions_Needed() {
	const requestsPerSecond = 50
	for _, weight := range []float64{0.01, 0.05, 0.25} {
		need, err := analysis.Default().Needed(0.001, 0.011, weight)
		if err != nil {
			fmt.Println(err)
			return
		}
		hold := time.Duration(need.Total / requestsPerSecond * float64(time.Second))
		fmt.Printf("at %v: %.0f requests of the candidate, %v\n", weight, need.Candidate, hold.Round(time.Second))
	}
	// Output:
	// at 0.01: 591 requests of the candidate, 19m42s
	// at 0.05: 633 requests of the candidate, 4m13s
	// at 0.25: 926 requests of the candidate, 1m14s
}
