// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"crypto/sha1" //nolint:gosec // what LaunchDarkly draws with
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/twmb/murmur3"

	rheostat "github.com/rheostat-go/rheostat/flags"
)

// Draw is a way to place a unit, from 0 to just under 100,000.
type Draw struct {
	Name, About string
	Place       func(flag, unit string) int
}

const places = 100_000

// Draws are the ways of this package and of others. Those of others are written down
// here again, from their sources, with the hash functions that they import.
var Draws = []Draw{
	{"rheostat", "`flags.Bucket`, the default", func(flag, unit string) int {
		place, err := rheostat.Bucket(rheostat.Murmur3, flag, unit)
		if err != nil {
			panic("BUG: the default hash is not known: " + err.Error())
		}
		return int(place)
	}},
	{"flagd", "murmur3 of flag and unit, scaled", func(flag, unit string) int {
		return int(uint64(murmur3.StringSum32(flag+unit)) * places >> 32)
	}},
	{"LaunchDarkly", "60 bits of SHA-1 of flag.salt.unit", func(flag, unit string) int {
		sum := sha1.Sum([]byte(flag + "." + launchDarklySalt + "." + unit)) //nolint:gosec // theirs
		return min(int(float32(binary.BigEndian.Uint64(sum[:])>>4)/float32(0xFFFFFFFFFFFFFFF)*places), places-1)
	}},
	{"Unleash", "murmur3 of flag:unit, modulo 100", func(flag, unit string) int {
		return int(murmur3.StringSum32(flag+":"+unit)%100) * (places / 100)
	}},
	{"GrowthBook 2", "FNV-1a of FNV-1a of flag and unit, modulo 10,000", func(flag, unit string) int {
		return int(fnv1a(strconv.FormatUint(uint64(fnv1a(flag+unit)), 10))%10_000) * (places / 10_000)
	}},
	{"GO Feature Flag", "FNV-1a of flag and unit, modulo 100,000", func(flag, unit string) int {
		return int(fnv1a(flag+unit) % places)
	}},
	{"31·h + c", "of flag:unit, modulo 100; `flags.Java31` takes such rollouts over", func(flag, unit string) int {
		place, err := rheostat.Bucket(rheostat.Java31, flag, unit)
		if err != nil {
			panic("BUG: a hash of the package is not known to it: " + err.Error())
		}
		return int(place)
	}},
}

func fnv1a(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // a hash takes everything
	return h.Sum32()
}

// Quality is how a draw does with one kind of ids.
type Quality struct {
	Draw *Draw
	IDs  string
	// ChiMedian and ChiMost are of the flags' chi-square over 100 buckets: 99 on average
	// where units are placed at random, and 148 is passed by one in a thousand.
	ChiMedian, ChiMost float64
	// Worst is the largest correlation of two flags at 10 %, over so many Pairs; Shared pairs
	// are above 0.1, and Disjoint ones have no unit in common.
	Worst                   float64
	Pairs, Shared, Disjoint int
	// Neighbours is how many of the units of the first flag are within one bucket of the
	// unit that follows: 3 % where units are placed at random.
	Neighbours float64
}

// flagNames are seventy: numbered ones, ordinary ones, and two pairs that 31·h + c takes
// for one flag each.
func flagNames() []string {
	names := []string{
		"dark-mode", "search", "new-checkout", "beta", "recommendations", "invoice-export", "AaBB", "BBAa", "Aa-flow", "BB-flow",
	}
	for i := len(names); i < 70; i++ {
		names = append(names, fmt.Sprintf("checkout-v%d", i-9))
	}
	return names
}

// unitIDs are numbered ones, as sign-ups get, and random ones.
func unitIDs(n int) map[string][]string {
	chance := rand.New(rand.NewPCG(3, 3)) //nolint:gosec // the same each time
	numbered, random := make([]string, n), make([]string, n)
	for i := range n {
		numbered[i] = fmt.Sprintf("user-%06d", i)
		random[i] = fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", chance.Uint32(), chance.Uint32N(1<<16), chance.Uint32N(1<<12), chance.Uint32N(1<<12), chance.Uint64N(1<<48))
	}
	return map[string][]string{"numbered": numbered, "random": random}
}

// Qualities measures all draws over so many units. It is the same each time.
func Qualities(units int) []Quality {
	var all []Quality
	ids := unitIDs(units)
	for i := range Draws {
		for _, kind := range []string{"numbered", "random"} {
			q := Draws[i].quality(ids[kind])
			q.IDs = kind
			all = append(all, q)
		}
	}
	return all
}

func (d *Draw) quality(units []string) Quality {
	q := Quality{Draw: d}
	var chi []float64
	var in [][]uint64
	var on []float64
	for i, flag := range flagNames() {
		var buckets [100]float64
		set, count := make([]uint64, (len(units)+63)/64), 0.0
		near, before := 0, -10
		for u, unit := range units {
			place := d.Place(flag, unit)
			bucket := place / (places / 100)
			buckets[bucket]++
			if place < percent*places/100 {
				set[u/64] |= 1 << (u % 64)
				count++
			}
			if i == 0 && bucket-before >= -1 && bucket-before <= 1 {
				near++
			}
			before = bucket
		}
		if i == 0 {
			q.Neighbours = float64(near) / float64(len(units)-1)
		}
		chi, in, on = append(chi, chiSquare(buckets[:], len(units))), append(in, set), append(on, count)
	}
	q.ChiMedian, q.ChiMost = median(chi), slices.Max(chi)
	for a := range in {
		for b := range a {
			r, both := correlation(in[a], in[b], on[a], on[b], float64(len(units)))
			q.Pairs++
			q.Worst = max(q.Worst, math.Abs(r))
			if math.Abs(r) > 0.1 {
				q.Shared++
			}
			if both == 0 {
				q.Disjoint++
			}
		}
	}
	return q
}

func chiSquare(buckets []float64, units int) (x float64) {
	want := float64(units) / float64(len(buckets))
	for _, n := range buckets {
		x += (n - want) * (n - want) / want
	}
	return x
}

// correlation is Pearson's of two sets, and how many units are in both.
func correlation(a, b []uint64, onA, onB, units float64) (r, both float64) {
	for i := range a {
		both += float64(bits.OnesCount64(a[i] & b[i]))
	}
	pa, pb := onA/units, onB/units
	return (both/units - pa*pb) / math.Sqrt(pa*(1-pa)*pb*(1-pb)), both
}
