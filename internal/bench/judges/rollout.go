// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"hash/fnv"

	"github.com/rheostat-go/rheostat/analysis"
)

// weights are the schedule: six steps of a minute each.
var weights = [...]float64{0.01, 0.05, 0.10, 0.25, 0.50, 1}

const (
	minute = 6 // ticks
	// soonest is when a step may end early, and patience how many ticks a step may
	// take that is held.
	soonest, patience = 2, 30
	// history is how many ticks there are before the rollout.
	history = 90
	// endless ends a rollout that only ever holds.
	endless = 360
)

// Rule is one way to judge, by name.
type Rule struct {
	Name, About string
	make        func() rule
	// waits says that a step is held while it is not shown to be safe.
	waits bool
	// Ours says that it is analysis.Compare.
	Ours bool
	// only is the one world that it is tried in, "" for all.
	only string
	// aside says that it is only simulated where it is named.
	aside bool
}

// Rules are those that are compared.
var Rules = []Rule{
	{Name: "seed-5m", About: "share in the last 5 min above 1%, asked every 10 s; a 99th percentile above 500 ms likewise", make: limit(1, 30, 1, false)},
	{Name: "flagger-t10", About: "Flagger, 1 min windows, threshold 10 (its documents)", make: limit(minute, minute, 10, true)},
	{Name: "flagger-t1", About: "the same, threshold 1 (its code)", make: limit(minute, minute, 1, true)},
	{Name: "argo-fl0", About: "Argo Rollouts, 1 min window every 10 s, failureLimit 0 (its default)", make: limit(1, minute, 1, false)},
	{Name: "argo-fl3", About: "the same, failureLimit 3", make: limit(1, minute, 4, false)},
	{Name: "kayenta", About: "Mann–Whitney of the ticks so far at the end of each step, tolerance 0.25, 98%, both metrics critical", make: tested(minute, mannWhitney, 0.25)},
	{Name: "pipecd", About: "PipeCD, Mann–Whitney of each minute's ticks, two-sided 5%, deviation HIGH, failureLimit 0 (its default)", make: tested(minute, rankSum, 1.959964)},
	{Name: "z-peek-.05", About: "pooled z test of all requests so far, every 10 s", make: tested(1, zScore, 1.644854)},
	{Name: "z-peek-.01", About: "the same at 1%", make: tested(1, zScore, 2.326348)},
	{Name: "msprt-.01", About: "mixture sequential probability ratio test, normal, tau 1 pp, pooled variance", make: tested(1, msprt, 4.605170)},
	{Name: "growthbook", About: "GrowthBook, sequential: asymptotic confidence sequence, 95%, tuned for 5,000 units (its default), which here are requests", make: tested(1, asymptotic, 1)},
	{Name: "burn-14.4", About: "burn rate 14.4 of a 99.9% objective for errors, in 20 s and in 2 min", make: func() rule {
		return &peer{every: 1, number: burn(2, 12), limits: [2]float64{0.0144}, strikes: 1}
	}},
	{Name: "av-paired", About: "e-processes tempered by what stable's halves showed before the rollout, the research that analysis.Compare grew from", make: newPaired, aside: true},
	{Name: "compare", About: "analysis.Compare as it comes: Safe ends a step after 20 s at the earliest", make: compare(false), Ours: true},
	{Name: "compare-hold", About: "the same, and a step is held for up to 5 min while not Safe", make: compare(false), waits: true, Ours: true},
	{Name: "compare-blind", About: "the same as compare, with a source that cannot tell stable's halves apart", make: compare(true), Ours: true},
	{Name: "compare-warmup", About: "the same as compare, with Warmup 20 s: in the world that has one", make: func() rule {
		o := analysis.Default()
		o.Pace.Warmup = 2 * Tick
		return &ours{o: o}
	}, Ours: true, only: "warm-up"},
}

func limit(every, window, strikes int, flagger bool) func() rule {
	return func() rule {
		return &peer{every: every, number: share(window), limits: [2]float64{0.01, 0.01}, slow: slow500, strikes: strikes, flagger: flagger}
	}
}

func tested(every int, number func([]tick, func(group) int) (float64, bool), at float64) func() rule {
	return func() rule {
		return &peer{every: every, number: number, limits: [2]float64{at, at}, slow: slow250, strikes: 1}
	}
}

func compare(blind bool) func() rule {
	return func() rule { return &ours{blind: blind, o: analysis.Default()} }
}

// outcome is how one rollout ended.
type outcome struct {
	back  bool
	ticks int
	// harmed is how many of the candidate's requests were bad: failed, or for a
	// candidate that is slow, took longer than half a second.
	harmed int
}

// roll is one rollout.
func roll(r *Rule, j rule, d *drawer) (o outcome) {
	past := make([]tick, history)
	for i := range past {
		past[i] = d.next(0)
		past[i].lost = false
	}
	j.begin(past)
	bad := failures
	if d.defect.Slow > 1 {
		bad = slow500
	}
	for step, weight := range weights {
		if step > 0 {
			j.step()
		}
		for at := 1; ; at++ {
			t := d.next(weight)
			o.ticks++
			o.harmed += bad(t.candidate)
			v := j.observe(t, at%minute == 0)
			if v == Rollback || o.ticks >= endless {
				o.back = true
				return o
			}
			if v == Early && at >= soonest {
				break
			}
			held := v == Hold || r.waits && weight < 1
			if at >= minute && (!held || at >= patience && !flagged(j)) {
				break
			}
		}
	}
	return o
}

// flagged reports a rule that holds for as long as it likes, and looks once a minute.
func flagged(j rule) bool {
	p, ok := j.(*peer)
	return ok && p.flagger
}

// Tally sums up many rollouts.
type Tally struct {
	Runs, Back    int
	Ticks, Harmed int // Ticks are of those promoted
}

func (t *Tally) add(o outcome) {
	t.Runs++
	t.Harmed += o.harmed
	if o.back {
		t.Back++
		return
	}
	t.Ticks += o.ticks
}

// stream tells the random numbers of one setting from those of others. All rules
// see the same traffic as long as they do the same.
func stream(seed uint64, w *World, c Cell, d Defect) uint64 {
	h := fnv.New64a()
	for _, s := range []string{w.Name, d.Name} {
		_, _ = h.Write([]byte(s + "/")) // a hash takes everything
	}
	return h.Sum64() ^ seed*0x9e3779b97f4a7c15 ^ uint64(c.RPS)<<20 ^ uint64(c.Errors*1e6)
}

// Simulate runs that many rollouts of one setting under a rule.
func Simulate(r *Rule, w *World, c Cell, d Defect, seed uint64, runs int) (t Tally) {
	s := stream(seed, w, c, d)
	for run := range runs {
		t.add(roll(r, r.make(), newDrawer(w, c, d, s, uint64(run)))) //nolint:gosec // a count
	}
	return t
}
