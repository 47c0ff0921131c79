// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package answers_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/answers"
)

func TestEachAnswerIsInTheCountOfItsTime(t *testing.T) {
	t.Parallel()
	bounds := answers.Bounds()
	if !slices.IsSorted(bounds) || len(slices.Compact(slices.Clone(bounds))) != len(bounds) {
		t.Fatalf("the bounds do not rise: %v", bounds)
	}
	for _, objective := range []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		if !slices.Contains(bounds, objective) {
			t.Errorf("no bound at %v", objective)
		}
	}
	var c answers.Counter
	want := make([]uint64, len(bounds)+1)
	for i, bound := range bounds {
		c.Record(bound, false)
		c.Record(bound+1, false)
		want[i]++
		want[i+1]++
	}
	c.Record(0, true)
	want[0]++
	requests, errors, latency := c.Totals()
	if n := 2*len(bounds) + 1; requests != uint64(n) || errors != 1 || !slices.Equal(latency, want) {
		t.Errorf("%d requests, %d errors, %v; want %d, 1, %v", requests, errors, latency, n, want)
	}
	bounds[0] = 0
	if answers.Bounds()[0] == 0 {
		t.Error("a caller can change the bounds")
	}
}

func TestErrorsNeverOutnumberRequests(t *testing.T) {
	t.Parallel()
	var c answers.Counter
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				c.Record(time.Millisecond, true)
			}
		})
	}
	for range 2000 {
		if requests, errors, _ := c.Totals(); errors > requests {
			t.Fatalf("%d errors of %d requests", errors, requests)
		}
	}
	wg.Wait()
	c.Record(time.Millisecond, false)
	c.Fail()
	if requests, errors, _ := c.Totals(); requests != 20_001 || errors != 20_001 {
		t.Errorf("%d errors of %d requests, want 20001 of as many", errors, requests)
	}
}

func BenchmarkRecord(b *testing.B) {
	var c answers.Counter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Record(3*time.Millisecond, false)
		}
	})
}
