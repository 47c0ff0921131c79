// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestARequestThatPickedFromTheOldRoutePicksAgain(t *testing.T) {
	t.Parallel()
	p, old, r := compiled(t, traffic.Split{})
	if a, _, ok := p.beginOn(old, r); !ok || a != old.stable {
		t.Fatal("a request did not begin on the route in force")
	}
	old.stable.inFlight.done()
	next := old.Route
	next.Split.Candidate = traffic.Full
	if err := p.Apply(t.Context(), 2, next); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := p.beginOn(old, r); ok || old.stable.inFlight.count() != 0 {
		t.Errorf("a request began on the old route: %v, with %d under way there", ok, old.stable.inFlight.count())
	}
}

func TestApplyWaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	p, old, _ := compiled(t, traffic.Split{})
	next := old.Route
	next.Split.Candidate = traffic.Full
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, held := range []bool{true, false} {
		if held {
			p.turn <- struct{}{}
		}
		if err := p.Apply(ctx, 2, next); !errors.Is(err, context.Canceled) || p.plan.Load() != old {
			t.Errorf("with the turn held %v: %v, want it canceled and nothing changed", held, err)
		}
		if held {
			<-p.turn
		}
	}
	if err := p.Apply(t.Context(), 2, next); err != nil {
		t.Error(err)
	}
}

// TestWhatIsDrainedIsNotBegunAnew turns the route round and round while requests
// begin, and looks whether one is ever under way on an arm that was drained.
func TestWhatIsDrainedIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	p, err := New(map[string][]*url.URL{"v1": {u}, "v2": {u}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	if err := p.Apply(t.Context(), 0, route); err != nil {
		t.Fatal(err)
	}
	var drained atomic.Pointer[arm]
	var stop atomic.Bool
	var begun, late atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			for !stop.Load() {
				_, a, _ := p.begin(r)
				runtime.Gosched()
				if begun.Add(1); drained.Load() == a {
					late.Add(1)
				}
				a.inFlight.done()
			}
		})
	}
	for fence := range uint64(20_000) {
		idle := (*p.arms.Load())["v1"]
		route.Split.Candidate = traffic.Full
		if fence%2 == 1 {
			idle = (*p.arms.Load())["v2"]
			route.Split.Candidate = 0
		}
		drained.Store(nil)
		if err := p.Apply(t.Context(), fence+1, route); err != nil {
			t.Fatal(err)
		}
		if err := p.Drained(t.Context(), idle.name); err != nil {
			t.Fatal(err)
		}
		drained.Store(idle)
		runtime.Gosched()
	}
	stop.Store(true)
	wg.Wait()
	if n := late.Load(); n > 0 || begun.Load() == 0 {
		t.Errorf("%d of %d requests were under way on an arm that had been drained", n, begun.Load())
	}
}
