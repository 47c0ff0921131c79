// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// replay serves answers that a real server gave: one to what was counted before, one
// to what was counted since.
func replay(t *testing.T, status int, before, since string) *fake {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first, then := read(before), read(since)
	f, asked := newFake(t), 0
	f.answers(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		asked++
		if asked == 1 {
			_, _ = w.Write(first)
		} else {
			_, _ = w.Write(then)
		}
		return true
	})
	return f
}

// recorded is the check of those answers.
func recorded() analysis.Check {
	c := check(0)
	c.Exposed = time.UnixMilli(1795408770123)
	c.Until = c.Exposed.Add(time.Second)
	return c
}

func TestRecordedAnswersAreCountedRight(t *testing.T) {
	t.Parallel()
	exposed := recorded().Exposed
	q := simple()
	q.Latency = "classic_seconds_bucket"
	stable, candidate := counts(t, source(t, replay(t, 200, "vector.json", "matrix.json"), q, prometheus.Options{}), recorded())
	bounds := []time.Duration{100 * time.Millisecond, time.Second}
	if want := (analysis.Counts{Requests: 2, Bounds: bounds, Latency: []uint64{2, 0, 0}, Since: exposed}); !equal(stable, want) {
		t.Errorf("stable counted %+v, want %+v", stable, want)
	}
	if want := (analysis.Counts{Requests: 3, Errors: 1, Bounds: bounds, Latency: []uint64{2, 1, 0}, Since: exposed}); !equal(candidate, want) {
		t.Errorf("the candidate counted %+v, want %+v", candidate, want)
	}
	// All of it from native histograms.
	q = prometheus.Query{Stable: `arm="v1"`, Candidate: `arm="v2"`, Requests: "native_seconds", Errors: `native_seconds{arm="v2"}`, Latency: "native_seconds"}
	stable, candidate = counts(t, source(t, replay(t, 200, "native.json", "native.json"), q, prometheus.Options{}), recorded())
	if stable.Requests != 2 || candidate.Requests != 3 || candidate.Errors != 3 || total(stable.Latency) != 2 ||
		above(candidate, 600*time.Millisecond) != 1 || above(candidate, 800*time.Millisecond) != 0 {
		t.Errorf("stable counted %+v, the candidate %+v", stable, candidate)
	}
	_, _, err := source(t, replay(t, 400, "bad.json", "bad.json"), q, prometheus.Options{}).Counts(t.Context(), recorded())
	if err == nil || !strings.Contains(err.Error(), `query "native_seconds": `) || !strings.Contains(err.Error(), "bad_data: invalid parameter") {
		t.Errorf("error %v", err)
	}
	_, _, err = source(t, replay(t, 200, "empty.json", "empty.json"), q, prometheus.Options{}).Counts(t.Context(), recorded())
	if err == nil || !strings.Contains(err.Error(), "no series of native_seconds") {
		t.Errorf("error %v", err)
	}
}

func equal(a, b analysis.Counts) bool {
	same := a.Since.Equal(b.Since)
	a.Since, b.Since = time.Time{}, time.Time{}
	return same && reflect.DeepEqual(a, b)
}
