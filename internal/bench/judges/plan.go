// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"fmt"
	"slices"
	"sync"
)

// Rates are the requests a second that are tried, and Shares stable's shares of errors.
var (
	Rates  = []float64{5, 50, 500, 5000}
	Shares = []float64{0, 0.001, 0.01}
)

// Plan is what is simulated.
type Plan struct {
	Seed          uint64
	Runs, Workers int
	Worlds, Rules []string // empty is all
}

type key struct {
	world, rule, defect string
	cell                Cell
}

// Results are what came of a plan.
type Results struct {
	Plan
	worlds []*World
	rules  []*Rule
	tally  map[key]Tally
	equal  []equalRow
	// together are those of worlds where requests fail together.
	together []togetherRow
}

// chosen is the plan without what came of it.
func (p Plan) chosen() (*Results, error) {
	res := &Results{Plan: p, tally: map[key]Tally{}}
	for i := range Worlds {
		if named(p.Worlds, Worlds[i].Name) {
			res.worlds = append(res.worlds, &Worlds[i])
		}
	}
	for i := range Rules {
		if named(p.Rules, Rules[i].Name) && (len(p.Rules) > 0 || !Rules[i].aside) {
			res.rules = append(res.rules, &Rules[i])
		}
	}
	if len(res.worlds) < max(1, len(p.Worlds)) || len(res.rules) < max(1, len(p.Rules)) {
		return nil, fmt.Errorf("not all of the worlds %q and rules %q exist", p.Worlds, p.Rules)
	}
	if named(p.Worlds, Worlds[0].Name) {
		res.equal = make([]equalRow, len(equals)*len(Rates))
	}
	if !slices.ContainsFunc(together, func(w string) bool { return !named(p.Worlds, w) }) && named(p.Rules, "compare") {
		res.together = togetherRows()
	}
	return res, nil
}

// Run simulates all of it. The error names a world or a rule that does not exist.
func (p Plan) Run() (*Results, error) {
	res, err := p.chosen()
	if err != nil {
		return nil, err
	}
	var jobs []func()
	var mu sync.Mutex
	for _, w := range res.worlds {
		for _, r := range res.tried(w) {
			for i, d := range Defects {
				for _, share := range Shares {
					if i > 0 && share != 0.001 {
						continue // power is told at one share of errors
					}
					for _, rps := range Rates {
						c, runs := Cell{rps, share}, p.Runs
						if i > 0 {
							runs = badRuns(runs)
						}
						jobs = append(jobs, func() {
							t := Simulate(r, w, c, d, p.Seed, runs)
							mu.Lock()
							defer mu.Unlock()
							res.tally[key{w.Name, r.Name, d.Name, c}] = t
						})
					}
				}
			}
		}
	}
	for i := range res.equal {
		jobs = append(jobs, func() { res.equal[i] = equalise(equals[i/len(Rates)], Rates[i%len(Rates)], p.Seed, max(200, 2*p.Runs)) })
	}
	p.do(jobs)
	if len(res.together) > 0 {
		res.inBursts()
	}
	return res, nil
}

// tried are the rules that a world is simulated with.
func (r *Results) tried(w *World) (list []*Rule) {
	for _, rule := range r.rules {
		if rule.only == "" || rule.only == w.Name {
			list = append(list, rule)
		}
	}
	return list
}

// badRuns is how many rollouts of bad candidates a cell gets beside so many of good ones.
func badRuns(good int) int { return max(1, good*2/5) }

func (p Plan) do(jobs []func()) {
	queue := make(chan func())
	var wait sync.WaitGroup
	for range max(1, p.Workers) {
		wait.Go(func() {
			for job := range queue {
				job()
			}
		})
	}
	for _, job := range jobs {
		queue <- job
	}
	close(queue)
	wait.Wait()
}

// named reports whether names hold the name, or none at all.
func named(names []string, name string) bool {
	return len(names) == 0 || slices.Contains(names, name)
}
