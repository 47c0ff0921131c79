// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"math"
	"time"
)

// Tick is how often something is counted.
const Tick = 10 * time.Second

// Bounds are those of the latency buckets.
var Bounds = []time.Duration{
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
}

const (
	over250 = 3
	over500 = 4
	classes = 8
	// Latency is log-normal with this median, in ms, and a 99th percentile of 300 ms.
	median = 80.0
)

var sigma = math.Log(300/median) / 2.326348

// group is what one group of replicas counted in a tick.
type group struct {
	n, errors int
	latency   [classes]int
}

func (g group) plus(o group) group {
	g.n += o.n
	g.errors += o.errors
	for i := range g.latency {
		g.latency[i] += o.latency[i]
	}
	return g
}

// slower is how many took longer than the bound with that index.
func (g group) slower(bound int) (n int) {
	for _, c := range g.latency[bound+1:] {
		n += c
	}
	return n
}

// tick is what both arms counted in one tick, and whether it was scraped.
type tick struct {
	candidate group
	halves    [2]group
	weight    float64
	lost      bool
}

func (t tick) stable() group { return t.halves[0].plus(t.halves[1]) }

// Cell is one setting of the traffic.
type Cell struct {
	RPS, Errors float64
}

// Defect is what is wrong with the candidate.
type Defect struct {
	Name string
	// Errors is added to the share that fails, Slow is the factor on latency.
	Errors, Slow float64
	// Ramp is how long it takes to come to that.
	Ramp time.Duration
}

// Defects are those that are tried. The first is none.
var Defects = []Defect{
	{"good", 0, 1, 0},
	{"outage", 0.5, 1, 0},
	{"+5pp", 0.05, 1, 0},
	{"+1pp", 0.01, 1, 0},
	{"latency +50%", 0, 1.5, 0},
}

// World is a kind of traffic.
type World struct {
	Name, About string
	// Ramp makes defects come slowly.
	Ramp bool
	// shape changes the conditions of a tick.
	shape func(*state)
	// gap is the chance that a scrape is lost.
	gap float64
	// clump is the mean size of a clump of errors, users how many requests a second
	// come from one user, whose requests fail or succeed together.
	clump float64
	// sticky is how many requests a user makes in a tick.
	sticky float64
}

// condition is what holds for a group of replicas in a tick.
type condition struct{ errors, slow float64 }

// state is what lasts from tick to tick.
type state struct {
	r          source
	tick       int
	sinceShift int // ticks since the weight changed
	burst      int // ticks that a shared burst still lasts
	// arms are the conditions of both halves of stable and of the candidate, load how
	// much traffic there is.
	arms [3]condition
	load float64
}

// Worlds are those that are tried.
var Worlds = []World{
	{Name: "iid", About: "requests fail independently, at rates that never change"},
	{Name: "bursts", About: "once in two minutes both arms fail ten times as often and are a third slower, for 30 s on average", shape: sharedBursts},
	{Name: "shocks", About: "in each tick each group of replicas has an error rate and a speed of its own (log-normal, sd 0.5 and 0.1)", shape: shocks},
	{Name: "clumps", About: "errors come in clumps of 6 on average (geometric), each within one tick and one group of replicas", clump: 6},
	{Name: "sticky", About: "users make 5 requests in a tick; all of a user's requests fail, or none", sticky: 5},
	{Name: "ramp", About: "as iid, but a defect grows from nothing over two minutes", Ramp: true},
	{Name: "warm-up", About: "for 20 s after each change of the weight the candidate is twice as slow and fails 1% more", shape: warmUp},
	{Name: "gaps", About: "as iid, but one scrape in five is lost", gap: 0.2},
	{Name: "diurnal", About: "traffic doubles and error rate triples within ten minutes, and back", shape: diurnal},
}

func sharedBursts(s *state) {
	if s.burst == 0 && s.r.Float64() < 1.0/12 {
		s.burst = s.r.lasting(3)
	} else if s.burst > 0 {
		s.burst--
	}
	if s.burst > 0 {
		for i := range s.arms {
			s.arms[i].errors *= 10
			s.arms[i].slow *= 1.33
		}
	}
}

func shocks(s *state) {
	for i := range s.arms {
		s.arms[i].errors *= math.Exp(0.5*s.r.NormFloat64() - 0.125)
		s.arms[i].slow *= math.Exp(0.1 * s.r.NormFloat64())
	}
}

func warmUp(s *state) {
	if s.sinceShift < 2 {
		s.arms[2].errors += 0.01
		s.arms[2].slow *= 2
	}
}

func diurnal(s *state) {
	// From the trough to the top in 60 ticks.
	phase := (1 - math.Cos(float64(s.tick)*math.Pi/60)) / 2
	s.load *= 0.67 * (1 + phase)
	for i := range s.arms {
		s.arms[i].errors *= 0.5 * (1 + 2*phase)
	}
}

// drawer makes the ticks of one rollout.
type drawer struct {
	s      state
	world  *World
	cell   Cell
	defect Defect
	// begun is when the candidate first got traffic.
	begun  int
	weight float64
}

func newDrawer(w *World, c Cell, d Defect, seed, run uint64) *drawer {
	return &drawer{s: state{r: seeded(seed, run)}, world: w, cell: c, defect: d, begun: -1}
}

// next is the next tick with the candidate at this weight.
func (d *drawer) next(weight float64) tick {
	s := &d.s
	if weight > 0 && d.begun < 0 {
		d.begun = s.tick
	}
	if weight != d.weight {
		s.sinceShift, d.weight = 0, weight
	}
	s.load = 1
	for i := range s.arms {
		s.arms[i] = condition{d.cell.Errors, 1}
	}
	if d.begun >= 0 {
		grown := 1.0
		if d.world.Ramp {
			grown = min(1, float64(s.tick-d.begun)/12)
		}
		s.arms[2].errors += d.defect.Errors * grown
		s.arms[2].slow *= 1 + (d.defect.Slow-1)*grown
	}
	if d.world.shape != nil {
		d.world.shape(s)
	}
	mean := d.cell.RPS * Tick.Seconds() * s.load
	t := tick{weight: weight, lost: s.r.Float64() < d.world.gap}
	t.candidate = d.draw(mean*weight, s.arms[2])
	for i := range t.halves {
		t.halves[i] = d.draw(mean*(1-weight)/2, s.arms[i])
	}
	s.tick++
	s.sinceShift++
	return t
}

// draw is what a group counts under a condition.
func (d *drawer) draw(mean float64, c condition) (g group) {
	if mean <= 0 {
		return g
	}
	r, p := d.s.r, min(c.errors, 1)
	g.n = r.poisson(mean)
	switch {
	case d.world.sticky > 0:
		g.errors = d.users(g.n, p)
	case d.world.clump > 0:
		for range r.binomial(g.n, min(p/d.world.clump, 1)) {
			g.errors += r.lasting(d.world.clump)
		}
		g.errors = min(g.errors, g.n)
	default:
		g.errors = r.binomial(g.n, p)
	}
	left, cover := g.n, 1.0
	for i, b := range Bounds {
		tail := survival(float64(b.Milliseconds()), c.slow)
		g.latency[i] = r.binomial(left, 1-tail/cover)
		left -= g.latency[i]
		cover = tail
		if left == 0 {
			return g
		}
	}
	g.latency[classes-1] = left
	return g
}

// users draws errors of users that make several requests in a tick each.
func (d *drawer) users(n int, p float64) (bad int) {
	each := int(d.world.sticky)
	whole, rest := n/each, n%each
	bad = d.s.r.binomial(whole, p) * each
	if d.s.r.Float64() < p {
		bad += rest
	}
	return bad
}

// survival is the share of requests that take longer than so many ms.
func survival(ms, slow float64) float64 {
	return 0.5 * math.Erfc(math.Log(ms/(median*slow))/(sigma*math.Sqrt2))
}
