// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

var arms = traffic.Arms{Stable: "stable", Candidate: "candidate"}

// turning is one data plane being turned under load.
type turning struct {
	run   *running
	ctx   context.Context //nolint:containedctx // the program's
	fence uint64

	applies, shows []time.Duration

	mu           sync.Mutex
	sent, failed int
	why          string // of the first failure

	old     string    // the arm that gets nothing any more, or ""
	applied time.Time // when Apply returned
	late    time.Duration
	settled time.Time // requests that begin later count for the split
	n, k    int
}

// set applies the weight and waits until the router shows it as well as it can,
// and for its lag.
func (t *turning) set(w traffic.Weight) error {
	t.fence++
	route := traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
	t.mu.Lock()
	t.old, t.settled = "", time.Time{}
	t.mu.Unlock()
	begun := time.Now()
	if err := t.run.router.Apply(t.ctx, t.fence, route); err != nil {
		return err
	}
	applied := time.Now()
	t.applies = append(t.applies, applied.Sub(begun))
	t.mu.Lock()
	t.applied = applied
	switch w {
	case 0:
		t.old = arms.Candidate
	case traffic.Full:
		t.old = arms.Stable
	}
	t.mu.Unlock()
	caps := t.run.router.Caps()
	near, err := caps.Nearest(route.Split)
	if err != nil {
		return err
	}
	route.Split = near
	for {
		seen, err := t.run.router.Observe(t.ctx)
		if err == nil && seen.Route.Equal(route) && seen.Evidence >= caps.Evidence {
			break
		}
		if time.Since(begun) > 30*time.Second {
			return fmt.Errorf("%v is not shown after 30 seconds: %v, %w", route, seen.Route, err)
		}
		time.Sleep(time.Millisecond)
	}
	t.shows = append(t.shows, time.Since(begun))
	time.Sleep(caps.Lag)
	t.mu.Lock()
	t.settled, t.n, t.k = time.Now(), 0, 0
	t.mu.Unlock()
	return nil
}

// counted waits until that many requests have begun and ended under the route
// in force, and tells how many the candidate answered.
func (t *turning) counted(want int) (n, k int) {
	for {
		t.mu.Lock()
		n, k = t.n, t.k
		t.mu.Unlock()
		if n >= want {
			return n, k
		}
		time.Sleep(time.Millisecond)
	}
}

// load sends requests one after another, on one connection for as long as it holds.
func (t *turning) load(ctx context.Context) {
	for ctx.Err() == nil {
		send, end, err := t.run.connect()
		if err != nil {
			t.note(time.Now(), "", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for ctx.Err() == nil {
			begun := time.Now()
			arm, err := send()
			t.note(begun, arm, err)
			if err != nil {
				break
			}
		}
		end()
	}
}

func (t *turning) note(begun time.Time, arm string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if err != nil {
		t.failed++
		if t.why == "" {
			t.why = err.Error()
		}
		return
	}
	if arm == t.old && begun.After(t.applied) {
		t.late = max(t.late, begun.Sub(t.applied))
	}
	if !t.settled.IsZero() && begun.After(t.settled) {
		t.n++
		if arm == arms.Candidate {
			t.k++
		}
	}
}

func (t *turning) firstFailure() string {
	if t.why == "" {
		return ""
	}
	return " (first: " + t.why + ")"
}
