// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package haproxy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/haproxy"
)

const (
	childEnv  = "RHEOSTAT_HAPROXY_CHILD"
	processes = 3
	applies   = 120 // of each process
)

// weightOf is the weight that every process gives under a fence, so that a route
// tells under which fence it was written.
func weightOf(fence uint64) traffic.Weight { return traffic.Weight(fence * 7 % 1000) } //nolint:gosec // below 1000

// Processes write at once to one real server, each with fences of its own, some
// of them stale: whoever looks sees fences that rise, each with its own route, a
// writer that is overtaken is refused, and the file ends up as the map.
func TestProcessesThatRaceNeverTurnBack(t *testing.T) {
	t.Parallel()
	if os.Getenv(childEnv) != "" {
		race(t)
		return
	}
	s := newServer(t, nil)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := s.router(s.file())
	stop := make(chan struct{})
	var looking, writing sync.WaitGroup
	looks := 0
	looking.Go(func() { looks = watch(t, r, stop) })
	for i := range processes {
		writing.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestProcessesThatRaceNeverTurnBack$", "-test.count", "1")
			cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{s.socket, s.config.Map, strconv.Itoa(i)}, " "))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
	}
	writing.Wait()
	close(stop)
	looking.Wait()
	seen := observe(t, r)
	if want := uint64(processes * applies); seen.Fence != want || seen.Evidence != traffic.Programmed {
		t.Errorf("in force is fence %d (%v), want %d in map and file", seen.Fence, seen.Evidence, want)
	}
	if n := strings.Count(s.must("show map "+s.config.Map), ":"); n != 1 {
		t.Errorf("%d entries are left, want the one in force", n)
	}
	t.Logf("%d looks at %d writes", looks, processes*applies)
}

// watch looks until stop is closed.
func watch(t *testing.T, r *haproxy.Router, stop <-chan struct{}) (looks int) {
	t.Helper()
	last := uint64(0)
	for {
		select {
		case <-stop:
			return looks
		default:
		}
		looks++
		seen, err := r.Observe(t.Context())
		switch {
		case err != nil:
			t.Errorf("observe: %v", err)
		case seen.Fence < last:
			t.Errorf("fence %d was seen after %d", seen.Fence, last)
		case seen.Fence > 0 && seen.Route.Split.Candidate != weightOf(seen.Fence):
			t.Errorf("under fence %d the weight is %v, want %v", seen.Fence, seen.Route.Split.Candidate, weightOf(seen.Fence))
		}
		last = seen.Fence
	}
}

// race is one of the processes: it applies its own fences in their order, and
// now and then one from long ago, which must be refused.
func race(t *testing.T) {
	t.Helper()
	args := strings.Fields(os.Getenv(childEnv))
	r, err := haproxy.New("unix", args[0], haproxy.Config{Map: args[1]}, haproxy.Options{File: args[1]})
	if err != nil {
		t.Fatal(err)
	}
	me, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	accepted, refused := 0, 0
	for n := range uint64(applies) {
		fence := n*processes + me + 1
		switch err := r.Apply(t.Context(), fence, split(weightOf(fence))); {
		case err == nil:
			accepted++
			if old := fence - min(fence-1, 1+rand.Uint64N(10)); old < fence {
				if err := r.Apply(t.Context(), old, split(weightOf(old))); !errors.Is(err, traffic.ErrFenced) {
					t.Errorf("fence %d after %d: %v, want ErrFenced", old, fence, err)
				}
			}
		case errors.Is(err, traffic.ErrFenced):
			refused++
		default:
			t.Errorf("fence %d: %v", fence, err)
		}
	}
	// The last one of all is nobody's to refuse.
	if me == processes-1 && accepted == 0 {
		t.Error("nothing was accepted")
	}
	fmt.Printf("accepted %d, refused %d\n", accepted, refused)
}

// A writer that stops between two of its questions, for as long as it likes,
// cannot put its route in force when it comes back.
func TestAWriterThatSleptMidwayIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	between := newRelay(t, s.socket)
	slow, err := haproxy.New("unix", between.path, s.config, s.file())
	if err != nil {
		t.Fatal(err)
	}
	fast := s.router(s.file())
	for n := 1; n <= 5; n++ {
		fence := uint64(10 * n) //nolint:gosec // small
		apply(t, fast, fence, split(0))
		resume := between.holdAt(n)
		done := make(chan error)
		go func() { done <- slow.Apply(context.WithoutCancel(t.Context()), fence+1, split(traffic.Full)) }()
		routertest.Eventually(t, "the slow writer to be held", between.isHeld)
		apply(t, fast, fence+2, split(traffic.Percent(3)))
		resume()
		select {
		case err = <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the slow writer hangs")
		}
		// From the fourth on its route was in force before it was overtaken.
		if !errors.Is(err, traffic.ErrFenced) && (err != nil || n < 4) {
			t.Errorf("held at its question %d: %v, want ErrFenced", n, err)
		}
		if seen := observe(t, fast); seen.Fence != fence+2 || !seen.Route.Equal(split(traffic.Percent(3))) || seen.Evidence != traffic.Programmed {
			t.Errorf("held at its question %d, it left %v under fence %d (%v)", n, seen.Route, seen.Fence, seen.Evidence)
		}
	}
}
