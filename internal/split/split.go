// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package split chooses a side. It is shared by all that choose in this process,
// so that a client with a sticky key is on the same side by each of them.
package split

import (
	"math/bits"
	"math/rand/v2"
)

// whole is a candidate's weight that is everything, in parts per million.
const whole = 1_000_000

// Split is a candidate's weight, ready to choose by. The zero Split never
// chooses the candidate. It is immutable.
type Split struct {
	salt uint64
	// below counts of 2^63 places the ones that are the candidate's. One bit is
	// left over so that the whole can be counted, too.
	below uint64
}

// New gives the candidate of that name ppm parts per million, at most all.
func New(candidate string, ppm uint32) Split {
	return Split{salt: salt(candidate), below: places(ppm)}
}

// Candidate reports whether a request is the candidate's: by its key, or by
// chance if it has none. Whoever is the candidate's stays so when the weight rises.
func (s Split) Candidate(key string) bool {
	var place uint64
	if key == "" {
		place = rand.Uint64() //nolint:gosec // chance, no secret
	} else {
		place = hash(s.salt, key)
	}
	return place>>1 < s.below
}

// places is the weight's part of 2^63.
func places(ppm uint32) uint64 {
	hi, lo := bits.Mul64(uint64(min(ppm, whole)), 1<<63)
	quo, _ := bits.Div64(hi, lo, whole)
	return quo
}

const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

// salt begins the hash of a rollout with its candidate's name: another rollout
// exposes other people first. The same name gives the same salt in every
// process and in every version of this package, or clients would change sides.
func salt(candidate string) uint64 { return fnv(fnv(fnvOffset, candidate), "\x00") }

// hash is a key's place among 2^64: FNV-1a, whose low bits are good, spread over
// all bits by the finalizer of MurmurHash3. It depends on nothing but its
// arguments. The threshold rises with the weight, so who is below it stays there.
func hash(salt uint64, key string) uint64 {
	h := fnv(salt, key)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h ^= uint64(s[i])
		h *= fnvPrime
	}
	return h
}
