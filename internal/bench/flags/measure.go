// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench"
)

// Plan says how much is measured.
type Plan struct {
	// Flags is how many are loaded.
	Flags int
	// Rounds is how often every library has its turn with every case.
	Rounds int
	// Slot is the CPU time of a turn.
	Slot time.Duration
}

// mode is on how many processors questions are asked.
type mode int

const (
	serial mode = iota
	parallel
	modes
)

// turn is what one of the peers did in one case and mode.
type turn struct {
	cpu []float64 // ns a question, one for each round
	// rate is the most questions in a second of the clock.
	rate float64
}

// cost is what a case costs a peer.
type cost struct {
	done          bool // the peer can do it
	modes         [modes]turn
	bytes, allocs float64
}

// Costs are those of all cases, by the peer's name.
type Costs map[string]*[cases]cost

// Costs lets all peers take turns, so that what else the machine does hits them alike.
func (p Plan) Costs() (Costs, error) {
	type contestant struct {
		peer    *Peer
		running *Running
		n       [cases]int
	}
	var all []*contestant
	costs := make(Costs)
	defer func() {
		for _, c := range all {
			c.running.Close()
		}
	}()
	f := New(p.Flags)
	for i := range Peers {
		r, err := Peers[i].open(f)
		if err != nil {
			return nil, err
		}
		c := &contestant{peer: &Peers[i], running: r}
		all = append(all, c)
		costs[c.peer.Name] = new([cases]cost)
		for k := range cases {
			if loop := r.Loops[k]; loop != nil {
				c.n[k] = questions(loop, p.Slot)
				one := &costs[c.peer.Name][k]
				one.done = true
				one.bytes, one.allocs = allocations(loop)
			}
		}
	}
	chance := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // an order
	for range p.Rounds {
		for k := range cases {
			for m := range modes {
				chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				for _, c := range all {
					if loop := c.running.Loops[k]; loop != nil {
						costs[c.peer.Name][k].modes[m].run(loop, c.n[k], m)
					}
				}
			}
		}
	}
	return costs, nil
}

// questions is how many whole rounds of the people take about that much CPU.
func questions(loop Loop, slot time.Duration) int {
	for n := People; ; n *= 2 {
		before := bench.CPU()
		loop(0, n)
		if spent := bench.CPU() - before; spent >= slot/4 {
			rounds := float64(n) / People * float64(slot) / float64(spent)
			return People * max(1, int(rounds))
		}
	}
}

// allocations are the bytes and the objects of a question.
func allocations(loop Loop) (bytes, objects float64) {
	const n = 4 * People
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	loop(0, n)
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / n, float64(after.Mallocs-before.Mallocs) / n
}

// run is one turn. What others left for the collector is gone before it.
func (t *turn) run(loop Loop, n int, m mode) {
	runtime.GC()
	lanes := 1
	if m == parallel {
		lanes = runtime.GOMAXPROCS(0)
		n = max(People, n/lanes/People*People)
	}
	cpu, clock := bench.CPU(), time.Now()
	if lanes == 1 {
		loop(0, n)
	} else {
		var group sync.WaitGroup
		for lane := range lanes {
			group.Go(func() { loop(lane*People/lanes, n) })
		}
		group.Wait()
	}
	took := time.Since(clock)
	t.cpu = append(t.cpu, float64(bench.CPU()-cpu)/float64(n*lanes))
	t.rate = max(t.rate, float64(n*lanes)/took.Seconds())
}

// least is the fastest round: what others take of a machine is never negative.
func (t *turn) least() float64 { return slices.Min(t.cpu) }

func (t *turn) median() float64 { return median(t.cpu) }

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
