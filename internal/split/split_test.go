// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package split

import (
	"math"
	"net/http"
	"strconv"
	"testing"
)

// TestTheHashNeverChanges has values of the first version: another hash would
// put the clients of running rollouts on other sides.
func TestTheHashNeverChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		candidate, key string
		want           uint64
	}{
		{"v2", "user-1", 0xec3ea2b31554abb9},
		{"v2", "user-2", 0x7302a36e218c593d},
		{"v3", "user-1", 0x53571a0dfd6bfb7c},
	} {
		if got := hash(salt(tt.candidate), tt.key); got != tt.want {
			t.Errorf("%s for %s is %#x, want %#x", tt.key, tt.candidate, got, tt.want)
		}
	}
}

func TestTheHashIsEvenAndRolloutsAreIndependent(t *testing.T) {
	t.Parallel()
	const n = 200_000
	for _, ppm := range []uint32{100, 10_000, 100_000, 500_000, 900_000, 999_900} {
		share := float64(ppm) / whole
		one, other := New("v2", ppm), New("v3", ppm)
		var on, both int
		for i := range n {
			key := "user-" + strconv.Itoa(i)
			a, b := one.Candidate(key), other.Candidate(key)
			if a {
				on++
			}
			if a && b {
				both++
			}
		}
		for what, c := range map[string]struct{ got, share float64 }{"on one": {float64(on), share}, "on both": {float64(both), share * share}} {
			if sigma := math.Sqrt(n * c.share * (1 - c.share)); math.Abs(c.got-n*c.share) > 5*sigma+1 {
				t.Errorf("at %d ppm %v of %d keys are %s, want %v ± %v", ppm, c.got, n, what, n*c.share, sigma)
			}
		}
	}
}

func TestPlacesAreExactAtTheEndsAndRise(t *testing.T) {
	t.Parallel()
	if places(0) != 0 || places(whole) != 1<<63 || places(whole+1) != 1<<63 {
		t.Errorf("nothing is %d places, everything %d and more %d, want 0 and %d twice", places(0), places(whole), places(whole+1), uint64(1)<<63)
	}
	last := uint64(0)
	for ppm := uint32(1); ppm <= whole; ppm += 37 {
		p := places(ppm)
		if p <= last {
			t.Fatalf("%d ppm has %d places, no more than less weight", ppm, p)
		}
		last = p
	}
}

func TestCookiesAreFoundAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "side=a", "side=a; x=b", "x=b; side=a", "x=b;side=a", "x=b;  side=a ;y=c", `side="a"`, "side=", "xside=b; side=a",
		"side", "side=; side=a", "Side=b; side=a", "a=side=b; side=c", ";;side=a", "side=a=b",
	} {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		want := ""
		for _, c := range r.CookiesNamed("side") {
			if c.Value != "" {
				want = c.Value
				break
			}
		}
		if got := Cookie(r.Header["Cookie"], "side"); got != want {
			t.Errorf("%q has side %q, want %q", line, got, want)
		}
	}
}

func FuzzCutCookie(f *testing.F) {
	f.Add("a=b; side=c", "side")
	f.Add(`side="x";;`, "side")
	f.Add(`side="`, "side")
	f.Fuzz(func(t *testing.T, line, name string) {
		value, rest := CutCookie(line, name)
		if len(value)+len(rest) > len(line) {
			t.Fatalf("%q gave %q and %q", line, value, rest)
		}
		Cookie([]string{line, line}, name)
	})
}

func TestChoosingAllocatesNothing(t *testing.T) {
	s := New("v2", whole/2)
	if n := testing.AllocsPerRun(100, func() { s.Candidate(""); s.Candidate("user-1") }); n != 0 {
		t.Errorf("it allocates %v times, want 0", n)
	}
}

func BenchmarkCandidate(b *testing.B) {
	s := New("v2", whole/4)
	for name, key := range map[string]string{"chance": "", "key": "fedcba9876543210"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Candidate(key)
			}
		})
	}
}
