// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

func TestPlacesAreThoseOfTheSystemsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hash       flags.Hash
		salt, unit string
		want       flags.Percent
	}{
		// LaunchDarkly's own tests of bucketing have 0.42157587, 0.6708485 and 0.10343106.
		{flags.LaunchDarkly, "hashKey.saltyA", "userKeyA", 42157},
		{flags.LaunchDarkly, "hashKey.saltyA", "userKeyB", 67084},
		{flags.LaunchDarkly, "hashKey.saltyA", "userKeyC", 10343},
		// Unleash's client specification: normalizedHash of these is 73 and 25, from 1.
		{flags.Unleash, "gr1", "123", 72_000},
		{flags.Unleash, "groupX", "999", 24_000},
		// Math.abs of the 32-bit hash of "new-checkout-flow:user-42", as Node has it.
		{flags.Java31, "AaBB", "x", mustPlace(t, flags.Java31, "BBAa", "x")}, // one flag to it
	} {
		got, err := flags.Bucket(c.hash, c.salt, c.unit)
		if err != nil || got != c.want {
			t.Errorf("Bucket(%s, %q, %q) = %v, %v, want %v", c.hash, c.salt, c.unit, got, err, c.want)
		}
	}
	if _, err := flags.Bucket("md5", "", ""); err == nil {
		t.Error("an unknown hash drew something")
	}
}

func mustPlace(tb testing.TB, hash flags.Hash, salt, unit string) flags.Percent {
	tb.Helper()
	p, err := flags.Bucket(hash, salt, unit)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// sound are the hashes that a rollout may be trusted to.
var sound = []flags.Hash{flags.Murmur3, flags.LaunchDarkly, flags.Unleash}

func TestPlacesAreUniform(t *testing.T) {
	t.Parallel()
	// Users are numbered, as real ones are; uuids would flatter a weak hash.
	for _, hash := range sound {
		var all []float64
		for flag := range 40 {
			all = append(all, chiSquare(t, hash, fmt.Sprintf("checkout-v%d", flag)))
		}
		// 99 degrees of freedom: 99 on average, and far below is as wrong as far above.
		mean, worst := 0.0, 0.0
		for _, x := range all {
			mean += x / float64(len(all))
			worst = max(worst, x)
		}
		t.Logf("%s: chi-square of 100 buckets, mean %.1f, worst %.1f", hash, mean, worst)
		if mean < 85 || mean > 113 || worst > 165 {
			t.Errorf("%s is not uniform: mean %.1f, worst %.1f of 40 flags", hash, mean, worst)
		}
	}
	if x := chiSquare(t, flags.Java31, "checkout-v1"); x > 20 {
		t.Errorf("%s came out at %.1f: it was thought to be far too even to be random", flags.Java31, x)
	}
}

func chiSquare(tb testing.TB, hash flags.Hash, salt string) float64 {
	tb.Helper()
	const users = 20_000
	var counts [100]float64
	for i := range users {
		place, err := flags.Bucket(hash, salt, fmt.Sprintf("user-%06d", i))
		if err != nil {
			tb.Fatal(err)
		}
		counts[place/1000]++
	}
	x := 0.0
	for _, n := range counts {
		x += (n - users/100) * (n - users/100) / (users / 100)
	}
	return x
}

func TestFlagsDrawIndependently(t *testing.T) {
	t.Parallel()
	// 70 flags at 10 %, 2,415 pairs, 100,000 users: independent pairs stay under 0.015,
	// nearly five standard deviations.
	const people, count = 100_000, 70
	if worst := worstCorrelation(t, flags.Murmur3, people, count); worst > 0.015 {
		t.Errorf("two flags share people: r = %.4f", worst)
	}
	if worst := worstCorrelation(t, flags.Java31, people/10, count); worst < 0.5 {
		t.Errorf("%s was thought to share people, r = %.3f", flags.Java31, worst)
	}
}

func worstCorrelation(tb testing.TB, hash flags.Hash, people, count int) float64 {
	tb.Helper()
	units := make([]string, people)
	for i := range units {
		units[i] = fmt.Sprintf("user-%06d", i)
	}
	in := make([][]uint64, count)
	on := make([]float64, count)
	for flag := range count {
		in[flag] = make([]uint64, (people+63)/64)
		salt := fmt.Sprintf("checkout-v%d", flag)
		for i, unit := range units {
			if place, err := flags.Bucket(hash, salt, unit); err != nil {
				tb.Fatal(err)
			} else if place < 10_000 {
				in[flag][i/64] |= 1 << (i % 64)
				on[flag]++
			}
		}
	}
	worst := 0.0
	for a := range count {
		for b := range a {
			worst = max(worst, math.Abs(correlation(in[a], in[b], on[a], on[b], float64(people))))
		}
	}
	return worst
}

func TestRaisingAPercentageOnlyAddsPeople(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(7, 7))
	for _, hash := range []flags.Hash{flags.Murmur3, flags.LaunchDarkly, flags.Unleash, flags.Java31} {
		f := &flags.Flag{Key: "ramp", Enabled: true, Hash: hash, Rollout: &flags.Rollout{Type: "percentage"}}
		store := flags.NewMemory(f)
		source := newFeed(t)
		on := map[int]bool{}
		for to := flags.Percent(0); ; to = min(flags.Everybody, to+1+flags.Percent(chance.IntN(15_000))) {
			if _, err := flags.Ramp(t.Context(), store, "ramp", "", to, flags.Note{}); err != nil {
				t.Fatal(err)
			}
			f, err := store.Get(t.Context(), "ramp")
			if err != nil {
				t.Fatal(err)
			}
			source.publish(flags.Update{Full: true, Document: flags.Document{Flags: map[string]*flags.Flag{"ramp": f}}})
			n := 0
			for i := range 2000 {
				who := flags.User(fmt.Sprintf("user-%d", i))
				got := source.client.Bool("ramp", false, &who)
				if on[i] && !got {
					t.Fatalf("%s: user-%d had the flag and lost it at %v", hash, i, to)
				}
				on[i] = got
				if got {
					n++
				}
			}
			if to == 0 && n > 0 || to == flags.Everybody && n < 2000 {
				t.Fatalf("%s: %d of 2000 at %v", hash, n, to)
			}
			if to == flags.Everybody {
				break
			}
		}
	}
}

// correlation is Pearson's of two sets of people.
func correlation(a, b []uint64, onA, onB, people float64) float64 {
	both := 0.0
	for i := range a {
		both += float64(bits.OnesCount64(a[i] & b[i]))
	}
	cov := both/people - onA/people*onB/people
	return cov / math.Sqrt(onA/people*(1-onA/people)*onB/people*(1-onB/people))
}
