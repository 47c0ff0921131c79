// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/binary"
	"math/bits"
	"testing"
)

func TestMurmurIsTheReferences(t *testing.T) {
	t.Parallel()
	// From the reference implementation's own checks.
	for _, c := range []struct {
		text string
		seed uint32
		want uint32
	}{
		{"", 0, 0},
		{"", 1, 0x514e28b7},
		{"", 0xffffffff, 0x81f16f39},
		{"a", 0x9747b28c, 0x7fa09ea6},
		{"aa", 0x9747b28c, 0x5d211726},
		{"aaa", 0x9747b28c, 0x283e0130},
		{"aaaa", 0x9747b28c, 0x5a97808a},
		{"abc", 0, 0xb3dd93fa},
		{"hello", 0, 0x248bfa47},
		{"hello, world", 0, 0x149bbb7f},
		{"The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723},
		{"Hello, world!", 0x9747b28c, 0x24884cba},
	} {
		// Wherever it is cut, the sum is that of the whole.
		for cut := range len(c.text) + 1 {
			m := newMurmur(c.seed, c.text[:cut])
			if got := m.sum(c.text[cut:]); got != c.want {
				t.Errorf("murmur3(%q|%q, %#x) = %#x, want %#x", c.text[:cut], c.text[cut:], c.seed, got, c.want)
			}
		}
	}
}

// FuzzMurmur compares the cut sum with one written straight from the definition.
func FuzzMurmur(f *testing.F) {
	f.Add(uint32(0), "new-checkout", "user-42")
	f.Add(uint32(7), "", "abcdefgh")
	f.Fuzz(func(t *testing.T, seed uint32, salt, unit string) {
		m := newMurmur(seed, salt)
		if got, want := m.sum(unit), straight(seed, []byte(salt+unit)); got != want {
			t.Errorf("%q|%q: %#x, want %#x", salt, unit, got, want)
		}
	})
}

func straight(h uint32, b []byte) uint32 {
	n := uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := bits.RotateLeft32(binary.LittleEndian.Uint32(b)*0xcc9e2d51, 15) * 0x1b873593
		h = bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
	}
	if len(b) > 0 {
		var tail [4]byte
		copy(tail[:], b)
		h ^= bits.RotateLeft32(binary.LittleEndian.Uint32(tail[:])*0xcc9e2d51, 15) * 0x1b873593
	}
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
