// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"crypto/sha1" //nolint:gosec // no secret: LaunchDarkly draws with it
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
)

// Hash is the way a flag draws its units. It is part of the flag: another hash
// draws other people, so it never changes unless somebody writes it.
type Hash string

// The hashes.
const (
	// Murmur3 is MurmurHash3 x86_32 of salt and unit, as flagd does: the whole
	// 32 bits, scaled. It is what "" means.
	Murmur3 Hash = "murmur3"
	// LaunchDarkly is the first 60 bits of SHA-1 of salt, a dot and unit, where
	// the salt is key.salt.
	LaunchDarkly Hash = "launchdarkly"
	// Unleash is MurmurHash3 x86_32 of salt, a colon and unit, modulo 100.
	Unleash Hash = "unleash"
	// Java31 is 31·h + c over salt, a colon and unit in UTF-16, modulo 100. Flags
	// that draw with it share their people or exclude each other, and neighbours go
	// together: it is here to take running rollouts over, and a flag that uses it
	// gets a Problem that says so.
	Java31 Hash = "java31"
)

// Bucket is the place of unit among all, from 0 to just under 100 %: a split
// whose first share is 10 % has the units below 10. A unit keeps its place while salt
// and hash stay, so raising a percentage only adds people. The salt of a flag is
// its key, unless it has a salt of its own.
//
// Sources: Appleby's MurmurHash3; flagd's fractional, LaunchDarkly's and Unleash's
// published bucketing.
func Bucket(hash Hash, salt, unit string) (Percent, error) {
	d, err := newDraw(hash, salt)
	if err != nil {
		return 0, err
	}
	return d.place(unit), nil
}

// draw is a hash with its salt worked in.
type draw struct {
	hash  Hash
	salt  string
	state murmur // of the salt
	java  uint32 // of the salt
}

func newDraw(hash Hash, salt string) (draw, error) {
	d := draw{hash: hash, salt: salt}
	switch hash {
	case "", Murmur3:
		d.hash = ""
		d.state = newMurmur(0, salt)
	case Unleash:
		d.state = newMurmur(0, salt+":")
	case LaunchDarkly:
		d.salt = salt + "."
	case Java31:
		d.java = java31(0, salt+":")
	default:
		return draw{}, fmt.Errorf("unknown hash %q: use %s, %s, %s or %s", string(hash), Murmur3, LaunchDarkly, Unleash, Java31)
	}
	return d, nil
}

// place is where unit stands, below Everybody.
func (d *draw) place(unit string) Percent {
	switch d.hash {
	case "":
		high, _ := bits.Mul32(d.state.sum(unit), uint32(Everybody))
		return Percent(high)
	case Unleash:
		return Percent(d.state.sum(unit)%100) * 1000
	case Java31:
		h := d.java
		h = java31(h, unit)
		if int32(h) < 0 { //nolint:gosec // the sign is what is asked for
			h = -h
		}
		return Percent(h%100) * 1000
	default:
		return d.sha1(unit)
	}
}

// sha1 is LaunchDarkly's place. It works in float32, as their evaluators do, so that
// whoever stands within a rounding of the edge is on the same side here.
func (d *draw) sha1(unit string) Percent {
	var room [256]byte
	text := append(append(room[:0], d.salt...), unit...)
	sum := sha1.Sum(text) //nolint:gosec // see above
	first := binary.BigEndian.Uint64(sum[:8]) >> 4
	part := float32(first) / float32(0xFFFFFFFFFFFFFFF)
	// The last place of all: shares end at Everybody, and theirs at 1.
	return min(Percent(part*float32(Everybody)), Everybody-1)
}

func java31(h uint32, s string) uint32 {
	for _, r := range s {
		if r > 0xFFFF {
			high, low := utf16.EncodeRune(r)
			h = h*31*31 + uint32(high)*31 + uint32(low) //nolint:gosec // UTF-16
			continue
		}
		h = h*31 + uint32(r) //nolint:gosec // a rune
	}
	return h
}

// murmur is the state of MurmurHash3 x86_32 after a prefix: the blocks that are
// whole are mixed in, the up to three bytes left over wait for the rest.
type murmur struct {
	h     uint32
	carry uint32
	left  uint32 // bits of carry: 0, 8, 16 or 24
	n     uint32 // bytes of the prefix
}

func newMurmur(seed uint32, prefix string) murmur {
	m := murmur{h: seed, n: uint32(len(prefix))} //nolint:gosec // a short text
	for len(prefix) >= 4 {
		m.h = mixBlock(m.h, load(prefix))
		prefix = prefix[4:]
	}
	for i := range len(prefix) {
		m.carry |= uint32(prefix[i]) << m.left
		m.left += 8
	}
	return m
}

// sum is the hash of the prefix with s behind it.
func (m *murmur) sum(s string) uint32 {
	h, carry, left := m.h, uint64(m.carry), m.left
	n := m.n + uint32(len(s)) //nolint:gosec // a short text
	for len(s) >= 4 {
		carry |= uint64(load(s)) << left
		h = mixBlock(h, uint32(carry)) //nolint:gosec // the low half
		carry >>= 32
		s = s[4:]
	}
	for i := range len(s) {
		carry |= uint64(s[i]) << left
		left += 8
	}
	if left >= 32 {
		h = mixBlock(h, uint32(carry)) //nolint:gosec // the low half
		carry >>= 32
	}
	h ^= mixWord(uint32(carry)) //nolint:gosec // at most three bytes
	h ^= n
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

func load(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func mixWord(k uint32) uint32 {
	k *= 0xcc9e2d51
	k = bits.RotateLeft32(k, 15)
	return k * 0x1b873593
}

func mixBlock(h, k uint32) uint32 {
	h ^= mixWord(k)
	h = bits.RotateLeft32(h, 13)
	return h*5 + 0xe6546b64
}
