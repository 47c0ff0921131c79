// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/internal/bench"
)

// Scale is how a peer does with many flags.
type Scale struct {
	Peer  string
	Flags int
	// Load is the least CPU time from JSON text to answers.
	Load time.Duration
	// Heap is what flags and client hold after a collection, in bytes.
	Heap int64
	// Asked is the least cost of asking for one flag again and again, Swept of asking for
	// all of them in no order: ns of CPU.
	Asked, Swept float64
}

// Scales measures the peers that can sweep, with so many flags.
func (p Plan) Scales(sizes ...int) ([]Scale, error) {
	var all []Scale
	for _, size := range sizes {
		f := New(size, On, Pct, Rules)
		for i := range Peers {
			if Peers[i].Text == nil {
				continue
			}
			s, err := p.scale(&Peers[i], f)
			if err != nil {
				return nil, err
			}
			if s != nil {
				all = append(all, *s)
			}
		}
	}
	return all, nil
}

// loads is how often flags are loaded, to find the least time.
const loads = 3

// scale is nil for a peer that does not sweep.
func (p Plan) scale(peer *Peer, f *Fixture) (*Scale, error) {
	s := &Scale{Peer: peer.Name, Flags: len(f.Flags)}
	text, err := peer.text(f)
	if err != nil {
		return nil, err
	}
	var running *Running
	var heap int64
	for i := range loads {
		if i > 0 {
			running.Close()
		}
		heap = bench.Heap()
		before := bench.CPU()
		if running, err = peer.Start(f, text); err != nil {
			return nil, fmt.Errorf("%s: %w", peer.Name, err)
		}
		if spent := bench.CPU() - before; i == 0 || spent < s.Load {
			s.Load = spent
		}
		if running.Sweep == nil {
			running.Close()
			return nil, nil
		}
	}
	defer running.Close()
	s.Heap = bench.Heap() - heap
	runtime.KeepAlive(text)
	if err := running.Check(); err != nil {
		return nil, fmt.Errorf("%s: %d flags: %w", peer.Name, s.Flags, err)
	}
	sweep := running.Sweep()
	sweep(0, len(f.Flags)) // handles find their flags
	loops := []Loop{running.Loops[Pct], sweep}
	n := []int{questions(loops[0], p.Slot), questions(loops[1], p.Slot)}
	var turns [2]turn
	for range p.Rounds {
		for i := range loops {
			turns[i].run(loops[i], max(n[i], len(f.Flags)), serial)
		}
	}
	s.Asked, s.Swept = turns[0].least(), turns[1].least()
	return s, nil
}

// perFlag is the heap that a flag takes: what the larger of two sizes has more than the
// smaller, so that what does not depend on flags falls out.
func perFlag(all []Scale, peer string) float64 {
	var of []Scale
	for _, s := range all {
		if s.Peer == peer {
			of = append(of, s)
		}
	}
	slices.SortFunc(of, func(a, b Scale) int { return a.Flags - b.Flags })
	if len(of) < 2 {
		return 0
	}
	least, most := of[0], of[len(of)-1]
	return float64(most.Heap-least.Heap) / float64(most.Flags-least.Flags)
}
