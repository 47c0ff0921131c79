// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package murmur3_test

import (
	"encoding/binary"
	"math/bits"
	"testing"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// FuzzAdd compares the sum of pieces with one written straight from the definition.
func FuzzAdd(f *testing.F) {
	f.Add(uint32(0), "new-checkout", "user-42")
	f.Add(uint32(7), "", "abcdefgh")
	f.Fuzz(func(t *testing.T, seed uint32, salt, unit string) {
		if got, want := murmur3.New(seed).Add(salt).Add(unit).Sum(), straight(seed, []byte(salt+unit)); got != want {
			t.Errorf("%q|%q: %#x, want %#x", salt, unit, got, want)
		}
	})
}

func straight(h uint32, b []byte) uint32 {
	n := uint32(len(b)) //nolint:gosec // a short text
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
