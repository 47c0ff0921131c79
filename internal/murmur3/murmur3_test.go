// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package murmur3_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// The sums of the algorithm's author and of what others published of it.
func TestSums(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed uint32
		text string
		want uint32
	}{
		{0, "", 0},
		{1, "", 0x514E28B7},
		{0xffffffff, "", 0x81F16F39},
		{0, "\xff\xff\xff\xff", 0x76293B50},
		{0, "!Ce\x87", 0xF55B516B},
		{0x5082EDEE, "!Ce\x87", 0x2362F9DE},
		{0, "!Ce", 0x7E4A8634},
		{0, "!C", 0xA0F7B07A},
		{0, "!", 0x72661CF4},
		{0x9747b28c, "Hello, world!", 0x24884CBA},
		{0x9747b28c, "The quick brown fox jumps over the lazy dog", 0x2FA826CD},
	} {
		if got := murmur3.New(c.seed).Add(c.text).Sum(); got != c.want {
			t.Errorf("%q under %#x: %#x, want %#x", c.text, c.seed, got, c.want)
		}
	}
}

func TestPiecesAreTheWhole(t *testing.T) {
	t.Parallel()
	const text = "a text of some length ✓"
	want := murmur3.New(7).Add(text).Sum()
	for i := range text {
		for j := i; j <= len(text); j++ {
			if got := murmur3.New(7).Add(text[:i]).Add(text[i:j]).Add(text[j:]).Sum(); got != want {
				t.Fatalf("cut at %d and %d: %#x, want %#x", i, j, got, want)
			}
		}
	}
}
