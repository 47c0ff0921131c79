// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/nginx"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// served is one request of a client under load.
type served struct {
	begun time.Time
	arm   string
	err   error
}

// clients send one POST after the other until the end, each on a connection of
// its own, which is kept, or is a new one each time.
func (s *server) clients(ctx context.Context, n int, kept bool) (end func() []served) {
	ctx, stop := context.WithCancel(ctx)
	lists := make([][]served, n)
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			var c *routertest.Client
			for ctx.Err() == nil {
				now := served{begun: time.Now()}
				if c == nil {
					c, now.err = routertest.Dial(context.Background(), s.front)
				}
				if now.err == nil {
					var answer traffictest.Answer
					answer, now.err = c.Send(context.Background(), traffictest.Request{Header: map[string]string{"Connection": connection(kept)}})
					now.arm = answer.Arm
				}
				if c != nil && (now.err != nil || !kept) {
					c.Close()
					c = nil
				}
				lists[i] = append(lists[i], now)
			}
			if c != nil {
				c.Close()
			}
		})
	}
	return func() []served { stop(); wg.Wait(); return slices.Concat(lists...) }
}

func connection(kept bool) string {
	if kept {
		return "keep-alive"
	}
	return "close"
}

// change is one Apply under load.
type change struct {
	weight                 traffic.Weight
	asked, returned, shown time.Time
}

// turns goes up the ladder and then flips, and looks at each until it is shown.
func turns(t *testing.T, r *nginx.Router) (list []change) {
	t.Helper()
	weights := []traffic.Weight{0, traffic.Percent(1), traffic.Percent(5), traffic.Percent(10), traffic.Percent(25), traffic.Percent(50), traffic.Full}
	for range 6 {
		weights = append(weights, 0, traffic.Full)
	}
	for i, w := range weights {
		c := change{weight: w, asked: time.Now()}
		apply(t, r, uint64(i+1), to(w)) //nolint:gosec // i is small
		c.returned = time.Now()
		eventuallySeen(t, r, to(w), traffic.Programmed)
		c.shown = time.Now()
		time.Sleep(r.Caps().Lag) // the time for which the old way is allowed
		list = append(list, c)
	}
	return list
}

// TestWhatAReloadCosts counts what Caps.Drops and Caps.Lag declare.
func TestWhatAReloadCosts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a load takes its time")
	}
	for _, kept := range []bool{true, false} {
		s := newServer(t)
		r := s.router(s.asked())
		end := s.clients(t.Context(), 16, kept)
		changes := turns(t, r)
		all := end()
		failed := 0
		for _, one := range all {
			if one.err != nil {
				failed++
			}
		}
		late, last := oldSide(changes, all, r.Caps().Lag)
		t.Logf("kept connections: %v: of %d requests through %d reloads %d failed; Apply took %v, new workers answered %v after it was called (p50); the last request that went the old way began %v after they did",
			kept, len(all), len(changes), failed, median(changes, change.applied), median(changes, change.seen), last)
		if late > 0 {
			t.Errorf("%d requests went the old way after Caps.Lag", late)
		}
		// A machine that is busy may time one out.
		if !kept && failed > len(all)/1000 {
			t.Errorf("%d requests on connections of their own failed, want none", failed)
		}
		if len(all) < 20*len(changes) {
			t.Errorf("%d requests are no load", len(all))
		}
	}
}

func (c change) applied() time.Duration { return c.returned.Sub(c.asked) }
func (c change) seen() time.Duration    { return c.shown.Sub(c.asked) }

// oldSide looks at the requests after a change to one side: how many went to the
// other after the lag, and when the last of them all began.
func oldSide(changes []change, all []served, lag time.Duration) (late int, last time.Duration) {
	for i, c := range changes {
		if c.weight != 0 && c.weight != traffic.Full {
			continue
		}
		old := arms.Stable
		if c.weight == 0 {
			old = arms.Candidate
		}
		until := time.Now()
		if i+1 < len(changes) {
			until = changes[i+1].asked
		}
		for _, one := range all {
			if one.arm != old || one.begun.Before(c.shown) || one.begun.After(until) {
				continue
			}
			after := one.begun.Sub(c.shown)
			last = max(last, after)
			if after > lag {
				late++
			}
		}
	}
	return late, last
}

func median(changes []change, of func(change) time.Duration) time.Duration {
	list := make([]time.Duration, len(changes))
	for i, c := range changes {
		list[i] = of(c)
	}
	slices.Sort(list)
	return list[len(list)/2].Round(100 * time.Microsecond)
}
