// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

func TestARecorderCountsEachArmAlone(t *testing.T) {
	t.Parallel()
	var r analysis.Recorder
	if _, _, _, _, ok := r.Totals("on"); ok {
		t.Error("an arm is known that nothing was recorded of")
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 1000 {
				r.Record([]string{"off", "on"}[i%2], time.Duration(n)*time.Millisecond, i%2 == 1 && n < 10)
			}
		})
	}
	group.Wait()
	for arm, failed := range map[string]uint64{"off": 0, "on": 40} {
		requests, errors, latency, since, ok := r.Totals(arm)
		if requests != 4000 || errors != failed || len(latency) != len(r.Bounds())+1 || since.IsZero() || !ok {
			t.Errorf("%s: %d requests, %d errors, %v, %v", arm, requests, errors, latency, ok)
		}
	}
}

func TestARecorderIsBounded(t *testing.T) {
	t.Parallel()
	var r analysis.Recorder
	for i := range 5000 {
		r.Record(fmt.Sprint(i), 0, false)
	}
	if _, _, _, _, ok := r.Totals("1023"); !ok {
		t.Error("the last arm that there was room for is not known")
	}
	if _, _, _, _, ok := r.Totals("1024"); ok {
		t.Error("an arm more than there is room for")
	}
}

func ExampleRecorder() {
	var outcomes analysis.Recorder
	outcomes.Record("off", 20*time.Millisecond, false)
	outcomes.Record("on", 30*time.Millisecond, true)
	stable, candidate, err := analysis.FromTotals(&outcomes).Counts(context.Background(), analysis.Check{Stable: "off", Candidate: "on"})
	fmt.Println(stable.Requests, stable.Errors, candidate.Requests, candidate.Errors, err)
	// Output: 1 0 1 1 <nil>
}
