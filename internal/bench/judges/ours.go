// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"context"
	"errors"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// Verdict is what a rule says of a tick.
type Verdict uint8

// What a rule may say: nothing, that the step may end, that the weight must not
// rise, or that the candidate must go.
const (
	Nothing Verdict = iota
	Early
	Hold
	Rollback
)

// rule decides tick by tick.
type rule interface {
	// begin sees the ticks before the rollout.
	begin(past []tick)
	// step begins the next step.
	step()
	// observe takes a tick; ends says that a minute is over with it.
	observe(t tick, ends bool) Verdict
}

// counters are what the world has counted, and a Source of it.
type counters struct {
	totals [3]analysis.Counts // both halves, candidate
	past   []tick
	lost   bool
}

func newCounters(past []tick) *counters {
	c := &counters{past: past}
	for i := range c.totals {
		c.totals[i] = empty()
	}
	for _, t := range past {
		c.count(t)
	}
	return c
}

func empty() analysis.Counts {
	return analysis.Counts{Bounds: Bounds, Latency: make([]uint64, classes)}
}

func (c *counters) count(t tick) {
	add(&c.totals[0], t.halves[0])
	add(&c.totals[1], t.halves[1])
	add(&c.totals[2], t.candidate)
	c.lost = t.lost
}

func add(to *analysis.Counts, g group) {
	to.Requests += uint64(g.n)    //nolint:gosec // a count
	to.Errors += uint64(g.errors) //nolint:gosec // a count
	for i, n := range g.latency {
		to.Latency[i] += uint64(n) //nolint:gosec // a count
	}
}

func copied(c analysis.Counts) analysis.Counts {
	c.Latency = append([]uint64(nil), c.Latency...)
	return c
}

var errLost = errors.New("the scrape was lost")

// Counts are the totals.
func (c *counters) Counts(context.Context, analysis.Check) (stable, candidate analysis.Counts, err error) {
	if c.lost {
		return analysis.Counts{}, analysis.Counts{}, errLost
	}
	stable = copied(c.totals[0])
	stable.Requests += c.totals[1].Requests
	stable.Errors += c.totals[1].Errors
	for i, n := range c.totals[1].Latency {
		stable.Latency[i] += n
	}
	return stable, copied(c.totals[2]), nil
}

// halved are counters that tell the halves of stable apart.
type halved struct{ *counters }

// Halves are the totals of both halves.
func (h halved) Halves(context.Context, analysis.Check) (a, b analysis.Counts, err error) {
	return copied(h.totals[0]), copied(h.totals[1]), nil
}

// History are the ticks before the rollout.
func (h halved) History(_ context.Context, _ analysis.Check, _ time.Duration, n int) ([]analysis.Halved, error) {
	list := make([]analysis.Halved, 0, n)
	for _, t := range h.past[max(0, len(h.past)-n):] {
		p := analysis.Halved{A: empty(), B: empty()}
		add(&p.A, t.halves[0])
		add(&p.B, t.halves[1])
		list = append(list, p)
	}
	return list, nil
}

// ours is analysis.Compare, asked as a runner asks it.
type ours struct {
	blind bool // no halves, no history
	o     analysis.CompareOptions

	n     *counters
	judge *analysis.Compare
	check analysis.Check
	// most is the most evidence so far, in nats, for tuning.
	most float64
}

var firstMoment = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func (j *ours) begin(past []tick) {
	j.n = newCounters(past)
	var src analysis.Source = halved{j.n}
	if j.blind {
		src = j.n
	}
	var err error
	if j.judge, err = analysis.NewCompare(src, j.o); err != nil {
		panic(err) // the options are this program's own
	}
	j.check = analysis.Check{Service: "bench", Run: 1, Stable: "stable", Candidate: "candidate", Since: firstMoment, Exposed: firstMoment, Until: firstMoment}
	j.ask()
}

// worst is the least evidence to ask for at which it would not have rolled back.
func (j *ours) worst() float64 { return j.most }

func (j *ours) ask() analysis.Verdict {
	f, err := j.judge.Judge(context.Background(), j.check)
	if err != nil {
		panic(err) // it has no reason to
	}
	j.check.State = f.State
	j.most = max(j.most, f.Evidence)
	return f.Verdict
}

func (j *ours) observe(t tick, _ bool) Verdict {
	j.n.count(t)
	j.check.Until = j.check.Until.Add(Tick)
	return said(j.ask())
}

func (j *ours) step() {
	j.check.Step++
	j.check.Since = j.check.Until
	j.ask()
}

func said(v analysis.Verdict) Verdict {
	switch v {
	case analysis.Fail:
		return Rollback
	case analysis.Safe:
		return Early
	case analysis.Inconclusive, analysis.Pending:
		return Hold
	case analysis.Pass:
	}
	return Nothing
}
