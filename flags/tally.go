// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"cmp"
	"hash/maphash"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Tally counts exposures by flag, variant and reason, in bounded memory. Give its
// Expose to Options.Exposed, and Take the counts now and then. It is safe for many
// goroutines, and made so that cores do not wait for each other. It does not know units: see
// [Firsts].
type Tally struct {
	limit  int
	shards []shard
	// near has, for each processor, the shard that it used last. All shards are
	// in shards, so that nothing is lost with what the pool forgets.
	near sync.Pool
	turn atomic.Uint32

	mu       sync.Mutex
	admitted map[entry]struct{}
	overflow atomic.Uint64
}

type shard struct {
	mu     sync.Mutex
	counts map[entry]*uint64
	_      [112]byte // a shard has cache lines of its own
}

type entry struct {
	flag, variant string
	reason        Reason
}

// Count is how often a variant of a flag was served for a reason.
type Count struct {
	Flag    string
	Variant string // "" for the caller's default
	Reason  Reason
	N       uint64
}

// NewTally makes a tally of at most limit different entries; what comes beyond is only counted
// as Overflow. A limit below 1 is 10,000.
func NewTally(limit int) *Tally {
	if limit < 1 {
		limit = 10_000
	}
	t := &Tally{limit: limit, shards: make([]shard, 2*runtime.GOMAXPROCS(0)), admitted: make(map[entry]struct{})}
	for i := range t.shards {
		t.shards[i].counts = make(map[entry]*uint64)
	}
	t.near.New = func() any { return &t.shards[int(t.turn.Add(1))%len(t.shards)] }
	return t
}

// Expose counts an exposure.
func (t *Tally) Expose(e Exposure) {
	key := entry{e.Flag, e.Variant, e.Reason}
	s := t.near.Get().(*shard) //nolint:errcheck,forcetypeassert // there is nothing else in it
	s.mu.Lock()
	if n := s.counts[key]; n != nil {
		*n++
		s.mu.Unlock()
	} else {
		s.mu.Unlock()
		t.admit(s, key)
	}
	t.near.Put(s)
}

// admit counts an entry that is new to the shard, if there is room for it.
func (t *Tally) admit(s *shard, key entry) {
	t.mu.Lock()
	_, ok := t.admitted[key]
	if !ok && len(t.admitted) < t.limit {
		t.admitted[key] = struct{}{}
		ok = true
	}
	t.mu.Unlock()
	if !ok {
		t.overflow.Add(1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[key] == nil {
		s.counts[key] = new(uint64)
	}
	*s.counts[key]++
}

// Each yields the counts since the last Take, by flag, variant and reason.
func (t *Tally) Each() iter.Seq[Count] {
	return func(yield func(Count) bool) {
		for _, c := range t.sum(false) {
			if !yield(c) {
				return
			}
		}
	}
}

// Take returns the counts since the last Take, by flag, variant and reason, and how many
// exposures more there were no entries left for; all begin again at 0. Each exposure is in
// exactly one Take.
func (t *Tally) Take() (counts []Count, overflow uint64) {
	t.mu.Lock()
	clear(t.admitted)
	t.mu.Unlock()
	counts = t.sum(true)
	return counts, t.overflow.Swap(0)
}

// Overflow is how many exposures since the last Take there were no entries left for.
func (t *Tally) Overflow() uint64 { return t.overflow.Load() }

// sum adds the shards up, and empties them if they are to be taken.
func (t *Tally) sum(take bool) []Count {
	all := make(map[entry]uint64)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for key, n := range s.counts {
			all[key] += *n
		}
		if take {
			clear(s.counts)
		}
		s.mu.Unlock()
	}
	counts := make([]Count, 0, len(all))
	for key, n := range all {
		counts = append(counts, Count{Flag: key.flag, Variant: key.variant, Reason: key.reason, N: n})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Flag, b.Flag), cmp.Compare(a.Variant, b.Variant), cmp.Compare(a.Reason, b.Reason))
	})
	return counts
}

// Firsts passes on the first exposure of each unit to each variant of a flag, and drops those
// that follow, in a fixed memory of 8 bytes a unit and flag. What it has no room to
// remember it passes on again: it errs by repeating, but for two in about 10^19 whose hashes are
// the same. It is safe for many goroutines, takes no lock and no heap.
type Firsts struct {
	next  func(Exposure)
	seed  maphash.Seed
	slots []atomic.Uint64 // hashes, 0 for none, in lines of eight
}

const line = 8

// NewFirsts remembers about limit units and flags, and hands what is new to next, on the
// goroutine that evaluates. A limit below 1 is 1,000,000.
func NewFirsts(limit int, next func(Exposure)) *Firsts {
	if limit < 1 {
		limit = 1_000_000
	}
	return &Firsts{next: next, seed: maphash.MakeSeed(), slots: make([]atomic.Uint64, (limit+line-1)/line*line)}
}

// Expose passes an exposure on if it is a first one. One without a unit always is.
func (f *Firsts) Expose(e Exposure) {
	if e.Unit == "" || !f.seen(e) {
		f.next(e)
	}
}

// seen reports whether there was such an exposure before, and remembers it.
func (f *Firsts) seen(e Exposure) bool {
	const odd = 0x9e3779b97f4a7c15
	h := maphash.String(f.seed, e.Unit)
	h = h*odd + maphash.String(f.seed, e.Flag)
	h = h*odd + maphash.String(f.seed, e.Variant)
	h ^= h >> 32
	h |= 1                                             // no hash is 0
	at := int((h>>3)%uint64(len(f.slots)/line)) * line //nolint:gosec // below len
	slots := f.slots[at : at+line]
	for i := range slots {
		switch was := slots[i].Load(); {
		case was == h:
			return true
		case was == 0 && slots[i].CompareAndSwap(0, h):
			return false
		}
	}
	slots[h>>61].Store(h)
	return false
}

// Forget has everything be a first one again, as at the start of a day.
func (f *Firsts) Forget() {
	for i := range f.slots {
		f.slots[i].Store(0)
	}
}
