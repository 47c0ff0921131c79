// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package monitor_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

// A pipeline has deployed v2, which fails a fifth of its requests.
func Example() {
	ctx := context.Background()
	target := rollback.NewMemory(0, rollback.Revision{ID: "v1", Digest: "sha256:1"}) // a Deployment, say
	requests := analysistest.NewCounter()
	judge, _ := analysis.NewLimit(requests, analysis.LimitOptions{
		Most: 0.05, Pace: analysis.Pace{Interval: 10 * time.Millisecond},
	})
	m, err := monitor.New(&monitor.MemoryStore{}, monitor.Watch{
		Service: "shop", Target: target, Judges: map[string]analysis.Judge{"errors": judge},
		Limits: monitor.Limits{For: 50 * time.Millisecond}, Every: 10 * time.Millisecond,
		Return: rollback.Options{Stable: time.Millisecond, Poll: time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan struct{})
	defer close(done)
	var failing uint64
	serve := func() { requests.Add("candidate", 100, failing) }

	for _, release := range []struct {
		revision rollback.Revision
		failing  uint64
	}{{rollback.Revision{ID: "v1", Digest: "sha256:1"}, 0}, {rollback.Revision{ID: "v2", Digest: "sha256:2"}, 20}} {
		target.Deploy(release.revision)
		failing = release.failing
		s, err := m.Begin(ctx)
		for err == nil && s.Outcome == monitor.Unfinished {
			serve()
			s, _, err = m.Reconcile(ctx)
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println(s.Revision.ID, s.Outcome, err)
	}
	now, _, _ := target.Current(ctx)
	fmt.Println("running is", now.ID)
	// Output:
	// v1 passed <nil>
	// v2 rolledBack <nil>
	// running is v1
}
