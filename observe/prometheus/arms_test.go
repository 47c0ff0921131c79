// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"math"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/rheostat-go/rheostat/observe/prometheus"
)

// fakeArms has an arm that answers and one that vanished between two questions.
type fakeArms struct{ arms []string }

func (f fakeArms) Arms() []string {
	if f.arms != nil {
		return f.arms
	}
	return []string{"v1", "gone"}
}

func (fakeArms) Bounds() []time.Duration {
	return []time.Duration{10 * time.Millisecond, 100 * time.Millisecond}
}

func (fakeArms) Totals(arm string) (requests, errors uint64, latency []uint64, since time.Time, ok bool) {
	return 10, 3, []uint64{4, 5, 1}, begin, arm != "gone"
}

func TestArmsAreExposedWithLatencyAddedUp(t *testing.T) {
	t.Parallel()
	reg := prom.NewPedanticRegistry()
	reg.MustRegister(prometheus.NewArms("checkout", "eu", fakeArms{}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n != 1 {
			t.Fatalf("%s: %d arms, want the one that exists", f.GetName(), n)
		}
		m := f.GetMetric()[0]
		switch f.GetName() {
		case "rheostat_requests_total":
			if m.GetCounter().GetValue() != 10 || !m.GetCounter().GetCreatedTimestamp().AsTime().Equal(begin) {
				t.Errorf("requests %v", m)
			}
		case "rheostat_request_errors_total":
			if m.GetCounter().GetValue() != 3 {
				t.Errorf("errors %v", m)
			}
		case "rheostat_request_duration_seconds":
			h := m.GetHistogram()
			b := h.GetBucket()
			if h.GetSampleCount() != 10 || len(b) != 2 || b[0].GetUpperBound() != 0.01 || b[0].GetCumulativeCount() != 4 || b[1].GetCumulativeCount() != 9 {
				t.Errorf("latency %v", m)
			}
			if !math.IsNaN(h.GetSampleSum()) {
				t.Errorf("sum %v, but nobody measured it", h.GetSampleSum())
			}
		default:
			t.Errorf("%s was not expected", f.GetName())
		}
	}
}

func TestArmsWithManyOrHostileNamesStayBounded(t *testing.T) {
	t.Parallel()
	names := []string{"", "unknown", "\xff", "\xfe"} // two pairs that look the same once they are clean
	for i := range 100 {
		names = append(names, string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	reg := prom.NewPedanticRegistry()
	reg.MustRegister(prometheus.NewArms("\xff", "", fakeArms{names}))
	if total, labels := series(t, reg); len(labels["arm"]) != 16 || total > 200 {
		t.Errorf("%d arms in %d series, want 16", len(labels["arm"]), total)
	}
}
