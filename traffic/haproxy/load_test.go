// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package haproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// sample is one request: when it began, and who answered.
type sample struct {
	began time.Time
	arm   string
	err   error
}

// load is clients that POST all the while, each on one connection that stays open.
type load struct {
	mu      sync.Mutex
	samples []sample
	failed  atomic.Int64
	total   atomic.Int64
	stop    atomic.Bool
	wg      sync.WaitGroup
}

const connections = 16

// pace is the pause of a client between two requests: a machine that is busy
// with clients alone tells nothing of how fast a change is.
const pace = 4 * time.Millisecond

func startLoad(t *testing.T, front string, once bool) *load {
	t.Helper()
	l := &load{}
	for range connections {
		l.wg.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			var c *routertest.Client
			for ; !l.stop.Load(); <-tick.C {
				if c == nil {
					var err error
					if c, err = routertest.Dial(context.WithoutCancel(t.Context()), front); err != nil {
						l.add(sample{time.Now(), "", err})
						continue
					}
				}
				began := time.Now()
				answer, err := c.Send(context.WithoutCancel(t.Context()), traffictest.Request{})
				l.add(sample{began, answer.Arm, err})
				if err != nil || once {
					c.Close()
					c = nil
				}
			}
			if c != nil {
				c.Close()
			}
		})
	}
	return l
}

func (l *load) add(s sample) {
	l.total.Add(1)
	if s.err != nil {
		l.failed.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, s)
}

// take waits for n requests that began after since, and returns all so far.
func (l *load) take(t *testing.T, n int, since time.Time) []sample {
	t.Helper()
	var taken []sample
	routertest.Eventually(t, fmt.Sprintf("%d requests", n), func() error {
		l.mu.Lock()
		taken = append(taken, l.samples...)
		l.samples = nil
		l.mu.Unlock()
		fresh := 0
		for _, s := range taken {
			if s.began.After(since) {
				fresh++
			}
		}
		if fresh < n {
			return fmt.Errorf("have %d", fresh)
		}
		return nil
	})
	return taken
}

func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	l.wg.Wait()
	for _, s := range l.samples {
		if s.err != nil {
			t.Logf("failed: %v", s.err)
			break
		}
	}
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, want none", n, l.total.Load())
	}
}

// The ladder and a hundred flips under keep-alive connections of POSTs, which
// nobody may replay: none fails, each split is met within three standard
// deviations, and no request that begins after Apply has returned goes the old way.
func TestTheLadderAndFlipsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	ladder(t, s, haproxy.Options{})
}

func TestTheLadderAndFlipsUnderLoadLoseNothingWithAFile(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	ladder(t, s, s.file())
}

func ladder(t *testing.T, s *server, o haproxy.Options) {
	t.Helper()
	r := s.router(o)
	apply(t, r, 1, split(0))
	l := startLoad(t, s.front, false)
	defer l.end(t)
	fence := uint64(1)
	for _, percent := range []float64{0, 1, 5, 10, 25, 50, 100} {
		fence++
		climb(t, r, l, fence, traffic.Percent(percent))
	}
	flip(t, r, l, fence)
	l.stop.Store(true)
	t.Logf("%d requests, %d failed, %s", l.total.Load(), l.failed.Load(), s.cost(l.total.Load()))
}

// What HAProxy counts is enough for Effective.
func TestASplitIsProvenByWhatHAProxyCounts(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(haproxy.Options{})
	l := startLoad(t, s.front, false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, w := range []traffic.Weight{0, traffic.Percent(50), traffic.Full} {
		apply(t, r, uint64(i+1), split(w)) //nolint:gosec // small
		proof, err := traffic.Verify(ctx, r, split(w), traffic.VerifyOptions{Every: 20 * time.Millisecond})
		if err != nil || proof.Evidence != traffic.Effective {
			t.Errorf("%v: %v, %v", w, proof, err)
		}
		t.Log(proof)
	}
	// A proof of what is not so would be worse than none.
	short, cut := context.WithTimeout(t.Context(), 2*time.Second)
	defer cut()
	if proof, err := traffic.Verify(short, r, split(traffic.Percent(50)), traffic.VerifyOptions{Every: 20 * time.Millisecond}); err == nil {
		t.Errorf("50%% was proven at 100%%: %v", proof)
	}
	l.stop.Store(true)
	l.wg.Wait()
}

func climb(t *testing.T, r traffic.Router, l *load, fence uint64, w traffic.Weight) {
	t.Helper()
	const n = 2500
	p := float64(w) / float64(traffic.Full)
	var told []string
	for range 3 { // what is three deviations off by chance once in 370 is not three times
		apply(t, r, fence, split(w))
		since := time.Now()
		asked, candidate := 0, 0
		for _, s := range l.take(t, n, since) {
			if s.began.After(since) && s.err == nil {
				asked++
				if s.arm == "candidate" {
					candidate++
				}
			}
		}
		sigma := math.Sqrt(float64(asked) * p * (1 - p))
		off := math.Abs(float64(candidate) - float64(asked)*p)
		told = append(told, fmt.Sprintf("%d of %d", candidate, asked))
		if off <= 3*sigma {
			t.Logf("%v: %s", w, told)
			return
		}
	}
	t.Errorf("at %v the candidate had %v, which is more than three deviations off", w, told)
}

func flip(t *testing.T, r traffic.Router, l *load, fence uint64) {
	t.Helper()
	var calls, last []time.Duration
	for i := range 100 {
		w, old := traffic.Weight(0), "candidate"
		if i%2 == 1 {
			w, old = traffic.Full, "stable"
		}
		fence++
		called := time.Now()
		apply(t, r, fence, split(w))
		returned := time.Now()
		calls = append(calls, returned.Sub(called))
		late, worst := 0, time.Duration(0)
		for _, s := range l.take(t, 4*connections, returned) {
			if s.arm != old {
				continue
			}
			worst = max(worst, s.began.Sub(called))
			if s.began.After(returned) {
				late++
			}
		}
		last = append(last, worst)
		if late > 0 {
			t.Errorf("flip %d: %d requests that began after Apply had returned went to %s", i, late, old)
		}
	}
	slices.Sort(calls)
	slices.Sort(last)
	t.Logf("apply: p50 %v, p99 %v; the last request on the old side began %v (p50) and %v (at most) after the call began, none after it returned",
		calls[50], calls[98], last[50], last[99])
}

// cost is the CPU of HAProxy for each request, as the kernel counts it.
func (s *server) cost(requests int64) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return "CPU unknown"
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	var user, system int64
	_, _ = fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &system)
	return fmt.Sprintf("HAProxy took about %d µs of CPU for each", (user+system)*10_000/max(requests, 1))
}

// Reloads under load, with a change between them and one at the same moment,
// lose no request, and the new worker never begins with another route.
func TestTheRouteSurvivesReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(s *server) { s.master = true })
	r := s.router(s.file())
	apply(t, r, 1, split(traffic.Full))
	l := startLoad(t, s.front, true)
	fence := uint64(1)
	for range 4 {
		pid := s.worker()
		l.take(t, 50, time.Now())
		s.reload(t, pid)
		for _, sample := range l.take(t, 200, time.Now()) {
			if sample.arm == "stable" {
				t.Fatal("a reload sent a request to stable, which has no weight")
			}
		}
		if seen := observe(t, r); seen.Fence != fence || !seen.Route.Equal(split(traffic.Full)) || seen.Evidence != traffic.Programmed {
			t.Fatalf("after a reload Observe shows %+v", seen)
		}
		if err := r.Apply(t.Context(), fence-1, split(0)); fence > 1 && err == nil {
			t.Fatal("a stale Apply was accepted after a reload")
		}
		fence++
		apply(t, r, fence, split(traffic.Full))
	}
	// A write at the moment of a reload may reach the worker that leaves. What
	// counts is that it can be seen, and that asking again is enough.
	for i := range 4 {
		fence++
		want := split(traffic.Percent(float64(20 + i)))
		pid := s.worker()
		done := make(chan struct{})
		go func() { defer close(done); s.reload(t, pid) }()
		routertest.Eventually(t, "the route to be accepted", func() error { return r.Apply(t.Context(), fence, want) })
		<-done
		routertest.Eventually(t, "the route to be seen", func() error {
			if err := r.Apply(t.Context(), fence, want); err != nil {
				return err
			}
			seen, err := r.Observe(t.Context())
			if err == nil && (!seen.Route.Equal(want) || seen.Fence != fence || seen.Evidence != traffic.Programmed) {
				err = fmt.Errorf("seen is %+v", seen)
			}
			return err
		})
	}
	l.end(t)
	t.Logf("%d requests, %d failed", l.total.Load(), l.failed.Load())
}

// A HAProxy that is killed under load and started again answers by the route
// that was in force before its first request.
func TestTheRouteSurvivesAKillUnderLoad(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	r := s.router(s.file())
	apply(t, r, 7, split(traffic.Full))
	l := startLoad(t, s.front, false)
	for range 3 {
		s.kill()
		s.start()
		for _, sample := range l.take(t, 500, time.Now()) {
			if sample.arm == "stable" {
				t.Fatal("a restart sent a request to stable, which has no weight")
			}
		}
	}
	l.stop.Store(true)
	l.wg.Wait()
	if seen := observe(t, r); seen.Fence != 7 || !seen.Route.Equal(split(traffic.Full)) {
		t.Errorf("after restarts Observe shows %+v", seen)
	}
}
