// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package murmur3 is MurmurHash3 x86_32, Austin Appleby's, taken piece by piece, so
// that a text which is put together only to be hashed need not be put together.
package murmur3

import "math/bits"

// Hash is the state after some text. The zero Hash is that of the seed 0.
type Hash struct {
	h     uint32
	carry uint32 // up to three bytes that make no block yet
	left  uint32 // bits of carry
	n     uint32 // bytes so far
}

// New is the empty text under a seed.
func New(seed uint32) Hash { return Hash{h: seed} }

// Add is the state with s behind it.
func (m Hash) Add(s string) Hash {
	m.n += uint32(len(s)) //nolint:gosec // a short text
	carry := uint64(m.carry)
	for len(s) >= 4 {
		block := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		carry |= uint64(block) << m.left
		m.block(uint32(carry)) //nolint:gosec // the low half
		carry >>= 32
		s = s[4:]
	}
	for i := range len(s) {
		carry |= uint64(s[i]) << m.left
		m.left += 8
	}
	if m.left >= 32 {
		m.block(uint32(carry)) //nolint:gosec // the low half
		carry >>= 32
		m.left -= 32
	}
	m.carry = uint32(carry) //nolint:gosec // at most three bytes
	return m
}

// Sum is the hash.
func (m Hash) Sum() uint32 {
	h := m.h ^ mix(m.carry) ^ m.n
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

func (m *Hash) block(k uint32) {
	m.h = bits.RotateLeft32(m.h^mix(k), 13)*5 + 0xe6546b64
}

func mix(k uint32) uint32 {
	return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
}
