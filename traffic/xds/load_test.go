// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/xds"
)

// load is 16 senders that call all the while.
type load struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	sent, failed atomic.Int64
	mu           sync.Mutex
	last         error
	on           map[string]int64
	since        map[string]time.Time // when the last call to an arm began
}

func begin(t *testing.T, c grpc.ClientConnInterface) *load {
	t.Helper()
	l := &load{on: map[string]int64{}, since: map[string]time.Time{}}
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	for range 16 {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				arm, err := ask(context.WithoutCancel(ctx), c)
				l.note(arm, began, err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) note(arm string, began time.Time, err error) {
	l.mu.Lock()
	if err != nil {
		l.failed.Add(1)
		l.last = err
	}
	l.on[arm]++
	if began.After(l.since[arm]) {
		l.since[arm] = began
	}
	l.mu.Unlock()
	l.sent.Add(1)
}

// more waits until n calls more have ended.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	goal := l.sent.Load() + n
	within(t, "called", func() bool { return l.sent.Load() >= goal })
}

func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func (l *load) loses(t *testing.T) {
	t.Helper()
	l.end()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed, the last with: %v", n, l.sent.Load(), l.last)
	}
}

func (l *load) lastOn(arm string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since[arm]
}

func ready(t *testing.T, c grpc.ClientConnInterface) {
	t.Helper()
	within(t, "answered", func() bool { _, err := ask(t.Context(), c); return err == nil })
}

func TestAHundredFlipsUnderLoadLoseNoCall(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{File: filepath.Join(t.TempDir(), "web.json")})
	apply(t, p.web, 1, split(0))
	c := client(t, p.address, "flips")
	ready(t, c)
	l := begin(t, c)
	var applies, acks, lags []time.Duration
	for i := range 100 {
		old, w := "stable", traffic.Full
		if i%2 == 1 {
			old, w = "candidate", 0
		}
		began := time.Now()
		apply(t, p.web, uint64(i+2), split(w)) //nolint:gosec // i is small
		applied := time.Now()
		comes(t, p.web)
		acked := time.Now()
		applies, acks = append(applies, applied.Sub(began)), append(acks, acked.Sub(applied))
		l.more(t, 350)
		lags = append(lags, l.lastOn(old).Sub(acked))
	}
	l.loses(t)
	if n := l.sent.Load(); n < 30_000 {
		t.Errorf("%d calls, want 30000", n)
	}
	if worst := slices.Max(lags); worst > p.web.Caps().Lag {
		t.Errorf("a call that began %v after the acknowledgement went the old way; Caps.Lag is %v", worst, p.web.Caps().Lag)
	}
	t.Logf("%d calls, %d failed; apply p50 %v with a synced file, acknowledged p50 %v later, last call on the old side %v after that",
		l.sent.Load(), l.failed.Load(), median(applies), median(acks), slices.Max(lags))
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// TestWithoutPinsFlipsLoseCalls shows what the pins are for. The window is one of
// chance; where it does not open in time, nothing is shown.
func TestWithoutPinsFlipsLoseCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes until a call fails")
	}
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	p.web.Unpin()
	apply(t, p.web, 1, split(0))
	c := client(t, p.address, "unpinned")
	ready(t, c)
	l := begin(t, c)
	flips := 0
	for deadline := time.Now().Add(15 * time.Second); l.failed.Load() == 0 && time.Now().Before(deadline); flips++ {
		apply(t, p.web, uint64(flips+2), split([...]traffic.Weight{traffic.Full, 0}[flips%2])) //nolint:gosec // flips is small
		comes(t, p.web)
		l.more(t, 200)
	}
	l.end()
	if l.failed.Load() == 0 {
		t.Skipf("no call failed in %d flips", flips)
	}
	if !strings.Contains(l.last.Error(), "unknown cluster") {
		t.Errorf("%v, want what gRPC says of a cluster that is coming back", l.last)
	}
	t.Logf("after %d flips %d of %d calls failed: %v", flips, l.failed.Load(), l.sent.Load(), l.last)
}

func TestEveryArmStaysNamedAtEveryWeight(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	for i, w := range []traffic.Weight{0, 1, traffic.Full / 2, traffic.Full} {
		apply(t, p.web, uint64(i+1), split(w)) //nolint:gosec // i is small
		routes := fetch(t, p.address, "web").GetVirtualHosts()[0].GetRoutes()
		pinned := map[string]bool{}
		for _, r := range routes {
			if len(r.GetMatch().GetHeaders()) == 2 {
				pinned[r.GetRoute().GetCluster()] = true
			}
		}
		if !pinned["web/stable"] || !pinned["web/candidate"] {
			t.Errorf("at %v only %v are pinned", w, pinned)
		}
	}
}

func TestClientsOutliveTheControlPlane(t *testing.T) {
	t.Parallel()
	arms, o := pair(t), xds.RouterOptions{File: filepath.Join(t.TempDir(), "web.json"), Default: "stable"}
	p := start(t, "127.0.0.1:0", arms, o)
	apply(t, p.web, 1, split(traffic.Full))
	c := client(t, p.address, "survivor")
	ready(t, c)
	comes(t, p.web)
	l := begin(t, c)
	l.more(t, 500)
	p.kill()
	l.more(t, 2000)
	p = start(t, p.address, arms, o)
	if seen, err := p.web.Observe(t.Context()); err != nil || !seen.Route.Equal(split(traffic.Full)) || seen.Fence != 1 {
		t.Fatalf("a new control plane shows %+v, %v, want the route of the old one", seen, err)
	}
	comes(t, p.web) // the client is back
	l.more(t, 500)
	l.mu.Lock()
	if n := l.on["stable"]; n > 0 {
		t.Errorf("%d calls went to stable, want all on the last route, %v", n, split(traffic.Full))
	}
	l.mu.Unlock()
	apply(t, p.web, 2, split(0))
	comes(t, p.web)
	time.Sleep(p.web.Caps().Lag)
	l.more(t, 500)
	if got, err := ask(t.Context(), c); err != nil || got != "stable" {
		t.Errorf("%q, %v after a new route, want stable", got, err)
	}
	l.loses(t)
	t.Logf("%d calls", l.sent.Load())
}

// TestANewArmIsReadyWhenItIsRoutedTo follows a second rollout.
func TestANewArmIsReadyWhenItIsRoutedTo(t *testing.T) {
	t.Parallel()
	p := start(t, "127.0.0.1:0", pair(t), xds.RouterOptions{})
	apply(t, p.web, 1, split(traffic.Full))
	c := client(t, p.address, "next")
	ready(t, c)
	comes(t, p.web)
	l := begin(t, c)
	if err := p.web.SetArm("third", backend(t, "third")); err != nil {
		t.Fatal(err)
	}
	comes(t, p.web)
	l.more(t, 1000)
	next := traffic.Route{Arms: traffic.Arms{Stable: "candidate", Candidate: "third"}, Split: traffic.Split{Candidate: traffic.Full}}
	apply(t, p.web, 2, next)
	if err := p.web.RemoveArm("stable"); err == nil {
		t.Log("acknowledged at once")
	}
	comes(t, p.web)
	time.Sleep(p.web.Caps().Lag)
	if err := p.web.RemoveArm("stable"); err != nil && len(p.web.Arms()) == 3 {
		t.Error(err)
	}
	l.more(t, 1000)
	if got, err := ask(t.Context(), c); err != nil || got != "third" {
		t.Errorf("%q, %v, want third", got, err)
	}
	l.loses(t)
	if err := p.web.RemoveArm("third"); err == nil || !strings.Contains(err.Error(), "in force") {
		t.Errorf("%v, want an error about the route in force", err)
	}
}
