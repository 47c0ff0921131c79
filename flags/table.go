// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"math/bits"
	"math/rand/v2"
)

// table finds numbers by keys: where a flag is, which variant a user gets, who is in
// a segment. It is made once and then only read, so it can be sparse: most answers
// touch one slot, and a key's text only where its hash agrees. That is half of what a
// map takes. The empty key is nobody's, and is never added.
type table struct {
	seed  uint64
	slots []uint64 // a hash's upper half over 1 + the place in keys; 0 is free
	keys  []string
	nums  []int32
}

// newTable takes each key once; the first number counts.
func newTable(n int) *table {
	t := &table{seed: rand.Uint64(), slots: make([]uint64, 8)} //nolint:gosec // against colliding keys, no secret
	for len(t.slots) < 2*n {
		t.slots = make([]uint64, 2*len(t.slots))
	}
	t.keys, t.nums = make([]string, 0, n), make([]int32, 0, n)
	return t
}

// add stores a number unless the key has one, which it returns then.
func (t *table) add(key string, num int32) (before int32, had bool) {
	if before, had = t.find(key); had || key == "" {
		return before, had
	}
	if 2*(len(t.keys)+1) > len(t.slots) {
		t.grow()
	}
	t.keys, t.nums = append(t.keys, key), append(t.nums, num)
	t.place(key, len(t.keys))
	return 0, false
}

func (t *table) grow() {
	t.slots = make([]uint64, 2*len(t.slots))
	for i, key := range t.keys {
		t.place(key, i+1)
	}
}

// place puts the key that is the nth into a free slot.
func (t *table) place(key string, n int) {
	h := t.hash(key)
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = h>>32<<32 | uint64(n) //nolint:gosec // fewer than 2^32 keys
}

// find is the number of a key.
func (t *table) find(key string) (int32, bool) {
	if t == nil || len(t.slots) == 0 {
		return 0, false
	}
	h := t.hash(key)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := t.slots[i]
		if slot == 0 {
			return 0, false
		}
		if slot>>32 == h>>32 {
			if at := uint32(slot) - 1; t.keys[at] == key { //nolint:gosec // the lower half
				return t.nums[at], true
			}
		}
	}
}

// all are the keys. They must not be changed.
func (t *table) all() []string {
	if t == nil {
		return nil
	}
	return t.keys
}

// has reports whether there is such a key.
func (t *table) has(key string) bool {
	_, ok := t.find(key)
	return ok
}

// clone is a copy that can be added to.
func (t *table) clone() *table {
	c := newTable(0)
	if t != nil {
		c = &table{seed: t.seed, slots: append([]uint64(nil), t.slots...), keys: append([]string(nil), t.keys...), nums: append([]int32(nil), t.nums...)}
	}
	return c
}

// hash multiplies 16 bytes at a time into 128 bits and folds them, as Wang Yi's wyhash
// does. Keys come from users: the seed keeps them from choosing a slot.
func (t *table) hash(s string) uint64 {
	const one, two = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h := t.seed ^ uint64(len(s))*one
	for len(s) > 16 {
		h = fold(load64(s)^one, load64(s[8:])^h)
		s = s[16:]
	}
	var a, b uint64
	switch {
	case len(s) >= 8:
		a, b = load64(s), load64(s[len(s)-8:])
	case len(s) >= 4:
		a, b = uint64(load32(s)), uint64(load32(s[len(s)-4:]))
	case len(s) > 0:
		a = uint64(s[0])<<16 | uint64(s[len(s)/2])<<8 | uint64(s[len(s)-1])
	}
	return fold(fold(a^two, b^h), h^one)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func load64(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
