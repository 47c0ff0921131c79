// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"fmt"
	"math"
	"strings"
	"sync"
)

// together are the worlds where what strikes a request strikes others too.
var together = []string{"bursts", "shocks", "clumps", "sticky"}

// rivals are the rules that know how far stable's halves differ.
var rivals = []tuning{
	{"compare", oursAt},
	{"av-paired", pairedAt},
}

// togetherRow is one rule in one of those worlds, with one limit for all of them.
type togetherRow struct {
	rule, world string
	limit       float64
	// worst is the cell with the most false rollbacks, on other seeds than those that
	// the limit was set on.
	worst Tally
	// fivePoints and onePoint are +5pp at 5 rps, and +1pp at 5, 50 and 500 rps.
	fivePoints Tally
	onePoint   [3]Tally
}

// togetherRows are those of all rules, as they come and with an equal rate, without numbers.
func togetherRows() (rows []togetherRow) {
	for _, w := range together {
		for _, how := range []string{"%s", "%s, equal"} {
			for _, e := range rivals {
				rows = append(rows, togetherRow{rule: fmt.Sprintf(how, e.name), world: w, limit: math.Log(100)})
			}
		}
	}
	return rows
}

func eachCell(f func(Cell)) {
	for _, share := range Shares {
		for _, rps := range Rates {
			f(Cell{rps, share})
		}
	}
}

// inBursts finds for each rule the limit at which, in the worst of all cells of all
// these worlds, a good candidate in a hundred is rolled back, and tries it.
func (r *Results) inBursts() {
	var mu sync.Mutex
	var jobs []func()
	limits := make([]float64, len(rivals))
	for i, e := range rivals {
		for _, w := range together {
			eachCell(func(c Cell) {
				jobs = append(jobs, func() {
					limit := e.enough(worldOf(w), c, r.Seed, max(200, 2*r.Runs))
					mu.Lock()
					defer mu.Unlock()
					limits[i] = max(limits[i], limit)
				})
			})
		}
	}
	r.do(jobs)
	jobs = nil
	for i := range r.together {
		row := &r.together[i]
		e := rivals[i%len(rivals)]
		if row.rule != e.name {
			row.limit = limits[i%len(rivals)]
		}
		jobs = append(jobs, func() { row.simulate(e, r.Plan) })
	}
	r.do(jobs)
}

func (t *togetherRow) simulate(e tuning, p Plan) {
	w, rule := worldOf(t.world), &Rule{make: func() rule { return e.make(t.limit) }}
	t.worst.Runs = 1
	eachCell(func(c Cell) {
		if got := Simulate(rule, w, c, Defects[0], p.Seed, p.Runs); got.Back*t.worst.Runs >= t.worst.Back*got.Runs {
			t.worst = got
		}
	})
	bad := max(1, p.Runs)
	t.fivePoints = Simulate(rule, w, Cell{5, 0.001}, Defects[2], p.Seed, bad)
	for i := range t.onePoint {
		t.onePoint[i] = Simulate(rule, w, Cell{Rates[i], 0.001}, Defects[3], p.Seed, bad)
	}
}

func worldOf(name string) *World {
	for i := range Worlds {
		if Worlds[i].Name == name {
			return &Worlds[i]
		}
	}
	return nil
}

func (r *Results) inBurstsMarkdown(b *strings.Builder) {
	if len(r.together) == 0 {
		return
	}
	b.WriteString(`
## At an equal rate where requests fail together

compare beside av-paired, the research that it grew from, which knows stable's halves too. Each has one limit on evidence, in nats, for all
these worlds: 4.6, and, where it says equal, the one at which in the worst of their cells, on other seeds, one good candidate in a hundred was
rolled back. All runs of a cell are as many as those of good candidates above.

| rule | world | limit | false rollback, worst of 12 cells | missed +5pp at 5 rps | +1pp at 5 rps | at 50 rps | at 500 rps | harmed by +1pp at 500 rps |
|---|---|---|---|---|---|---|---|---|
`)
	for _, t := range r.together {
		fmt.Fprintf(b, "| %s | %s | %.4g | %s | %s | %s | %s | %s | %s |\n", t.rule, t.world, t.limit, percent(t.worst.Back, t.worst.Runs),
			missedOf(t.fivePoints), missedOf(t.onePoint[0]), missedOf(t.onePoint[1]), missedOf(t.onePoint[2]), harmedOf(t.onePoint[2]))
	}
}
