// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"testing"

	rheostat "github.com/rheostat-go/rheostat/flags"
)

func TestEveryPeerAnswersAsItShould(t *testing.T) {
	t.Parallel()
	f := New(1000)
	for _, p := range Peers {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			r, err := p.open(f)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		})
	}
}

func TestWrongAnswersAreNotMeasured(t *testing.T) {
	t.Parallel()
	always := func(_, n int) int { return n }
	for c := range cases {
		r := new(Running)
		r.Loops[c] = always
		if err := r.Check(); (err == nil) != (c == On) {
			t.Errorf("%s, on for everybody: %v", c, err)
		}
	}
}

// TestWithAHashOfAnotherTheSamePeopleAreIn holds our evaluation against the very code of
// those whose hashes it has, one person after the other.
func TestWithAHashOfAnotherTheSamePeopleAreIn(t *testing.T) {
	t.Parallel()
	f := New(4)
	for _, c := range []struct {
		hash rheostat.Hash
		salt string
		peer Peer
	}{
		{rheostat.Murmur3, "", flagd},
		{rheostat.LaunchDarkly, launchDarklySalt, launchDarkly},
		{rheostat.Unleash, "", unleashClient},
	} {
		t.Run(string(c.hash), func(t *testing.T) {
			t.Parallel()
			theirs, err := c.peer.open(f)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			text, err := json.Marshal(object{"flags": byFlag(f, func(flag Flag) object {
				text := ourFlag(f, flag, c.hash)
				text["salt"] = c.salt
				return text
			})})
			if err != nil {
				t.Fatal(err)
			}
			ours, err := startHandles(f, text)
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			for k := range cases {
				for i := range People {
					if got, want := ours.Loops[k](i, 1), theirs.Loops[k](i, 1); got != want {
						t.Errorf("%s of %s: %d, %s says %d", k, f.People[i].Key, got, c.peer.Name, want)
					}
				}
			}
		})
	}
}

func TestWhoNeedsNoHeapTakesNone(t *testing.T) {
	// Not parallel: what others allocate is counted with it.
	for _, p := range []Peer{byHandle, byKey} {
		r, err := p.open(New(1000))
		if err != nil {
			t.Fatal(err)
		}
		for c := range cases {
			if n := testing.AllocsPerRun(3, func() { r.Loops[c](0, People) }); n > 0 {
				t.Errorf("%s: %s: %v allocations in %d questions", p.Name, c, n, People)
			}
		}
		r.Close()
	}
}

func TestOneDrawIsToldFromAnother(t *testing.T) {
	t.Parallel()
	for _, q := range Qualities(2000) {
		// At 2,000 units two flags correlate by chance up to 0.1 or so; what shares people is far above.
		if q.Draw.Name == "rheostat" && q.Worst > 0.15 || q.Draw.Name == "31·h + c" && q.Worst < 0.5 {
			t.Errorf("%s, %s ids: two flags correlate by %.3f", q.Draw.Name, q.IDs, q.Worst)
		}
	}
}

func TestAWriteIsSeenByEverybody(t *testing.T) {
	t.Parallel()
	v, err := See(100, 8, 5)
	if err != nil || len(v.Times) != 5 {
		t.Errorf("%+v, %v", v, err)
	}
}

func BenchmarkFlags(b *testing.B) {
	f := New(1000)
	for _, p := range Peers {
		b.Run(p.Name, func(b *testing.B) {
			r, err := p.open(f)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			for c := range cases {
				if loop := r.Loops[c]; loop != nil {
					b.Run(c.String(), func(b *testing.B) {
						b.ReportAllocs()
						loop(0, b.N)
					})
				}
			}
		})
	}
}
