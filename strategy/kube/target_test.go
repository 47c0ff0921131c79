// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rheostat-go/rheostat/traffic"
)

// ladder are the weights of the plan that every schedule carries out; the step i leads
// to ladder[i+1].
var ladder = []traffic.Weight{0, traffic.Percent(10), traffic.Percent(50), traffic.Full}

func rung(route traffic.Route) int { return slices.Index(ladder, route.Split.Candidate) }

// badFrom is the step from which on a version fails, by its name: "v3-bad1".
func badFrom(version string) (step int, bad bool) {
	_, number, bad := strings.Cut(version, "-bad")
	step, _ = strconv.Atoi(number)
	return step, bad
}

// target is the router of one rollout. It holds every route that it is given against the
// promises, at the moment at which it takes it.
type target struct {
	s      *schedule
	name   string
	memory *traffic.Memory
	turn   sync.Mutex // one write at a time

	mu     sync.Mutex
	last   traffic.Accepted
	taken  int // routes that were taken
	fenced int // writes that came too late
}

// apply is a write from one of the processes.
func (x *target) apply(ctx context.Context, who string, fence uint64, route traffic.Route) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	saved, known := x.s.saved(x.name) // before the write: whatever it follows from is in there
	err := x.memory.Apply(ctx, fence, route)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case errors.Is(err, traffic.ErrFenced):
		x.fenced++
		return err
	case errors.Is(err, traffic.ErrConflict):
		x.s.wrong("%s: %s has decided twice under one fence: %v", x.name, who, err)
		return err
	case err != nil:
		return err
	}
	if x.last.Fence == fence && x.last.Route.Equal(route) {
		return nil
	}
	if what := jump(x.last.Route, route); what != "" {
		x.s.wrong("%s: %s writes %v after %v: %s", x.name, who, route, x.last.Route, what)
	}
	x.last, x.taken = traffic.Accepted{Fence: fence, Route: route}, x.taken+1
	if known {
		if what := unsaved(fence, route, saved); what != "" {
			x.s.wrong("%s: %s writes %v under fence %d: %s", x.name, who, route, fence, what)
		}
		if rung(route) == len(ladder)-1 && x.s.gated && !x.s.ordered("approve", x.name, saved.Run) {
			x.s.wrong("%s: %s writes %v, and nobody has approved", x.name, who, route)
		}
	}
	return nil
}

// jump compares two routes, one after the other: a candidate gets what the next step says
// or nothing, never past the step at which it has failed, and another pair of arms begins
// where the last one has ended. It is "" where all is well.
func jump(from, to traffic.Route) string {
	at, same := rung(to), from.Arms == to.Arms
	failed, bad := badFrom(to.Arms.Candidate)
	switch {
	case at < 0:
		return "it is no step of the plan"
	case bad && at > failed+1:
		return "the candidate has failed at the step before"
	case at == 0 && (same || from.IsZero() || from.Serves() == to.Arms.Stable):
		return ""
	case at > 0 && same && (at == rung(from) || at == rung(from)+1):
		return ""
	}
	return "it jumps"
}

// unsaved holds a write against what is stored: it is saved before it is done. A higher
// fence than the write's is of somebody who has overtaken it.
func unsaved(fence uint64, route traffic.Route, saved stored) string {
	want, _ := saved.Target("web")
	switch {
	case want.Fence < fence:
		return "fence " + strconv.FormatUint(want.Fence, 10) + " is what was saved"
	case want.Fence == fence && !want.Route.Equal(route):
		return want.Route.String() + " is what was saved"
	}
	return ""
}
