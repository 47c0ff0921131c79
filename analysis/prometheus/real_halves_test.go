// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

func TestRealPrometheusTellsReplicasApart(t *testing.T) {
	t.Parallel()
	targets := []*target{newTarget(t), newTarget(t), newTarget(t), newTarget(t), newTarget(t)}
	replicas, rival := targets[:4], targets[4]
	all := func(n int) {
		for _, x := range replicas {
			if x.program.Load() != nil {
				x.serve("v1", "200", n, 50*time.Millisecond)
			}
		}
	}
	all(1000)
	rival.serve("v2", "200", 1, 50*time.Millisecond)
	address := realPrometheus(t, targets)
	q := simple()
	q.Latency = "classic_seconds_bucket"
	open := func() *prometheus.Source {
		s, err := prometheus.New(address, q, prometheus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, old := open(), time.Now().Add(-time.Minute)
	counted := func(exposed time.Time, n uint64) analysis.Check {
		_, _, at := until(t, s, exposed, func(stable, _ analysis.Counts) bool { return stable.Requests == n && total(stable.Latency) == n })
		c := check(0)
		c.Since, c.Exposed, c.Until = exposed, exposed, at
		return c
	}
	scraped(t, targets)
	all(100)
	exposed := counted(old, 400).Until

	// A replica restarts, and one goes for good, while others count on.
	replicas[0].restart()
	replicas[1].program.Store(nil)
	all(10)
	c := counted(exposed, 30)
	a, b := halves(t, s, c)
	if a.Requests+b.Requests != 30 || a.Requests == 0 || b.Requests == 0 || a.Requests%10 != 0 {
		t.Errorf("halves counted %+v and %+v, want ten for each of three replicas", a, b)
	}
	if a2, b2 := halves(t, open(), c); !reflect.DeepEqual([]analysis.Counts{a, b}, []analysis.Counts{a2, b2}) {
		t.Errorf("one that goes on counts %+v and %+v, one that has started over %+v and %+v", a, b, a2, b2)
	}

	// What was before is in the history, and only there.
	var past [2]uint64
	for _, h := range history(t, s, c, 100*time.Millisecond, 9000) {
		past[0] += h.A.Requests
		past[1] += h.B.Requests
		if total(h.A.Latency) != h.A.Requests || total(h.B.Latency) != h.B.Requests {
			t.Errorf("a block holds %+v", h)
		}
	}
	if past != [2]uint64{200, 200} {
		t.Errorf("history holds %v, want 200 of two replicas in each half", past)
	}
}

// scraped returns once a sample of every target is stored: its next scrape has begun.
func scraped(t *testing.T, targets []*target) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for _, x := range targets {
		for x.scrapes.Load() < 2 {
			select {
			case <-tick.C:
			case <-late:
				t.Fatal("a target was never scraped")
			}
		}
	}
}
