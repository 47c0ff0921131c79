// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
)

func TestCountsAfterARestartBeginAt0(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	read := began.Add(time.Hour)
	bounds := []time.Duration{time.Second}
	counts := func(requests, failed, quick, slow uint64, since time.Time) analysis.Counts {
		return analysis.Counts{Requests: requests, Errors: failed, Bounds: bounds, Latency: []uint64{quick, slow}, Since: since}
	}
	prev := counts(100, 5, 90, 10, began)
	noSince := counts(100, 5, 90, 10, time.Time{})
	other := prev
	other.Bounds = []time.Duration{2 * time.Second}
	for _, test := range []struct {
		name      string
		prev, now analysis.Counts
		want      analysis.Counts
		known     bool
	}{
		{"went on", prev, counts(110, 6, 99, 11, began), counts(10, 1, 9, 1, began), true},
		{"nothing new", prev, prev, counts(0, 0, 0, 0, began), true},
		{"began after the reading", prev, counts(500, 6, 400, 100, read), counts(500, 6, 400, 100, read), true},
		{"began before the reading", prev, counts(500, 6, 400, 100, read.Add(-1)), analysis.Counts{}, false},
		{"requests fell", prev, counts(99, 6, 99, 11, began), counts(99, 6, 99, 11, began), true},
		{"errors fell", prev, counts(110, 4, 99, 11, began), counts(110, 4, 99, 11, began), true},
		{"a bucket fell", prev, counts(110, 6, 89, 21, began), counts(110, 6, 89, 21, began), true},
		{"fell without a beginning", noSince, counts(3, 0, 3, 0, time.Time{}), counts(3, 0, 3, 0, time.Time{}), true},
		{"lost its beginning", prev, counts(110, 6, 99, 11, time.Time{}), analysis.Counts{}, false},
		{"unknown before", analysis.Counts{}, counts(3, 1, 3, 0, read), counts(3, 1, 3, 0, read), true},
		{"unknown before, without a beginning", analysis.Counts{}, counts(3, 1, 3, 0, time.Time{}), counts(3, 1, 3, 0, time.Time{}), true},
		{"unknown before, with a past", analysis.Counts{}, counts(3, 1, 3, 0, began), analysis.Counts{}, false},
		{"unknown now", prev, analysis.Counts{}, analysis.Counts{}, false},
		{"other buckets", prev, other, analysis.Counts{}, false},
	} {
		got, known := test.now.After(test.prev, read)
		if known != test.known || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v %v, want %+v %v", test.name, got, known, test.want, test.known)
		}
	}
	now := counts(110, 6, 99, 11, began)
	if _, _ = now.After(prev, read); now.Latency[0] != 99 {
		t.Error("After changed what it was called on")
	}
}

type oddTotals struct {
	bounds  []time.Duration
	latency []uint64
}

func (o oddTotals) Totals(arm string) (requests, failed uint64, latency []uint64, since time.Time, ok bool) {
	return 1, 0, o.latency, time.Time{}, arm == "candidate"
}
func (o oddTotals) Bounds() []time.Duration { return o.bounds }

func TestFromTotalsReadsBothArms(t *testing.T) {
	t.Parallel()
	n := analysistest.NewCounter(time.Second)
	n.Add("stable", 5, 1)
	n.Took("candidate", 7, time.Minute)
	c := analysistest.Question(0, 0, "")
	wantStable, wantCandidate, _ := n.Counts(t.Context(), c)
	stable, candidate, err := analysis.FromTotals(n).Counts(t.Context(), c)
	if err != nil || !reflect.DeepEqual(stable, wantStable) || !reflect.DeepEqual(candidate, wantCandidate) {
		t.Errorf("got %+v %+v %v", stable, candidate, err)
	}
	c.Candidate = "v9"
	if _, candidate, err = analysis.FromTotals(n).Counts(t.Context(), c); err != nil || !reflect.DeepEqual(candidate, analysis.Counts{}) {
		t.Errorf("an unknown arm: %+v %v", candidate, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := analysis.FromTotals(n).Counts(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for want, odd := range map[string]oddTotals{
		"want one more than bounds": {[]time.Duration{1, 2}, []uint64{1}},
		"do not rise":               {[]time.Duration{2, 1}, []uint64{1, 1, 1}},
	} {
		if _, _, err := analysis.FromTotals(odd).Counts(t.Context(), analysistest.Question(0, 0, "")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
