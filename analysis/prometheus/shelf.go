// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"container/list"
	"sync"
	"time"
)

const (
	// keptLedgers and keptSeries bound what is remembered. What falls out is read
	// again from the server, which costs requests and nothing else.
	keptLedgers = 4096
	keptSeries  = 500_000
)

// shelf holds the ledgers of rollouts, the one used last in front.
type shelf struct {
	mu     sync.Mutex
	order  list.List // of *entry
	of     map[rollout]*list.Element
	series int
}

// rollout is what two checks must share to be answered from one ledger.
type rollout struct {
	stable, candidate, service, target, lane string
	exposed                                  int64
}

// entry is a place for a ledger. Who holds the lock may use it.
type entry struct {
	rollout rollout
	lock    chan struct{} // holds one
	ledger  *ledger       // nil until it was read
	since   time.Time
	series  int // as counted by the shelf

	// The answer as of a moment, for other judges of the same check.
	asked  time.Time
	totals totals
}

func (s *shelf) entry(r rollout) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.of[r]; e != nil {
		s.order.MoveToFront(e)
		return value(e)
	}
	if s.of == nil {
		s.of = make(map[rollout]*list.Element)
	}
	e := &entry{rollout: r, lock: make(chan struct{}, 1)}
	s.of[r] = s.order.PushFront(e)
	s.trim()
	return e
}

// weigh notes how many series an entry's ledger has by now.
func (s *shelf) weigh(e *entry, series int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.of[e.rollout]; in == nil || value(in) != e {
		return // it fell out meanwhile
	}
	s.series += series - e.series
	e.series = series
	s.trim()
}

// trim drops what was not used for longest, but never the last one.
func (s *shelf) trim() {
	for s.order.Len() > 1 && (s.order.Len() > keptLedgers || s.series > keptSeries) {
		last := value(s.order.Back())
		s.order.Remove(s.order.Back())
		delete(s.of, last.rollout)
		s.series -= last.series
	}
}

func value(e *list.Element) *entry {
	v, ok := e.Value.(*entry)
	if !ok {
		panic("BUG: the shelf holds something else")
	}
	return v
}
