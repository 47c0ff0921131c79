// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestNearestMovesAWeightToTheGranularity(t *testing.T) {
	t.Parallel()
	percent := traffic.Percent(1)
	for _, tt := range []struct{ grain, weight, want traffic.Weight }{
		{1, 0, 0},
		{1, 1, 1},
		{1, 999_999, 999_999},
		{1, traffic.Full, traffic.Full},
		{percent, 0, 0},
		{percent, 1, percent},          // something never becomes nothing
		{percent, 14_999, percent},     // the nearer neighbour
		{percent, 15_000, 2 * percent}, // up from the middle
		{percent, 994_999, 99 * percent},
		{percent, 999_999, 99 * percent}, // a part never becomes the whole
		{percent, traffic.Full, traffic.Full},
		{3922, 1, 3922}, // 255 weights
		{3922, 999_999, 996_188},
		{333_333, 500_000, 666_666}, // a granule that does not divide the whole
		{333_333, 999_999, 999_999},
		{traffic.Full / 2, 1, traffic.Full / 2},
		{traffic.Full / 2, 999_999, traffic.Full / 2},
		{traffic.Full, 0, 0},
		{traffic.Full, traffic.Full, traffic.Full},
	} {
		near, err := traffic.Caps{Granularity: tt.grain}.Nearest(traffic.Split{Candidate: tt.weight})
		if err != nil || near.Candidate != tt.want {
			t.Errorf("granularity %v: %v moved to %v, %v, want %v", tt.grain, tt.weight, near.Candidate, err, tt.want)
		}
	}
}

func TestWhatARouterCannotDoIsUnsupportedByName(t *testing.T) {
	t.Parallel()
	able := traffic.Caps{Granularity: 1, Mirror: true, Match: true, Sticky: true}
	everything := traffic.Split{Candidate: 1, Mirror: 1, Match: []traffic.Match{{Header: "h"}}, Sticky: traffic.Sticky{Cookie: "c"}}
	for _, tt := range []struct {
		name string
		caps func(*traffic.Caps)
		says string
	}{
		{"able", func(*traffic.Caps) {}, ""},
		{"the zero caps", func(c *traffic.Caps) { *c = traffic.Caps{} }, "candidate: "},
		{"an invalid granularity", func(c *traffic.Caps) { c.Granularity = traffic.Full + 1 }, "candidate: "},
		{"all or nothing", func(c *traffic.Caps) { c.Granularity = traffic.Full }, "candidate: "},
		{"more than half", func(c *traffic.Caps) { c.Granularity = traffic.Full/2 + 1 }, "candidate: "},
		{"no mirror", func(c *traffic.Caps) { c.Mirror = false }, "mirror: "},
		{"no match", func(c *traffic.Caps) { c.Match = false }, "match: "},
		{"no sticky", func(c *traffic.Caps) { c.Sticky = false }, "sticky: "},
	} {
		caps := able
		tt.caps(&caps)
		near, err := caps.Nearest(everything)
		if tt.says == "" {
			if err != nil || !near.Equal(everything) {
				t.Errorf("%s: %+v, %v, want the split as it is", tt.name, near, err)
			}
			continue
		}
		if !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), tt.says) {
			t.Errorf("%s: %v, want unsupported that begins with %q", tt.name, err, tt.says)
		}
	}
	if _, err := able.Nearest(traffic.Split{Candidate: traffic.Full + 1}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a malformed split: %v, want an error that is not unsupported", err)
	}
}

func FuzzNearest(f *testing.F) {
	for _, seed := range [][2]uint32{{1, 1}, {10_000, 994_999}, {333_333, 999_999}, {500_000, 1}, {500_001, 1}, {1_000_000, 0}, {0, 5}, {3922, 999_999}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, grain, weight uint32) {
		g, w := traffic.Weight(grain), traffic.Weight(weight)
		caps := traffic.Caps{Granularity: g}
		near, err := caps.Nearest(traffic.Split{Candidate: w})
		partial := w > 0 && w < traffic.Full
		if refused := !w.Valid() || !g.Valid() || g == 0 || partial && 2*g > traffic.Full; refused != (err != nil) {
			t.Fatalf("granularity %d, weight %d: %v, want an error: %v", g, w, err, refused)
		}
		if err != nil {
			return
		}
		n := near.Candidate
		switch {
		case w > 0 && n == 0:
			t.Fatalf("granularity %d: %d became nothing", g, w)
		case w < traffic.Full && n >= traffic.Full:
			t.Fatalf("granularity %d: %d became the whole", g, w)
		case !partial && n != w:
			t.Fatalf("granularity %d: the end %d moved to %d", g, w, n)
		case partial && n%g != 0:
			t.Fatalf("granularity %d: %d moved to %d, which is no multiple", g, w, n)
		}
		if again, err := caps.Nearest(near); err != nil || again.Candidate != n {
			t.Fatalf("granularity %d: %d moved to %d, and that to %d, %v", g, w, n, again.Candidate, err)
		}
		// Within half a granule, but where the nearest would be an end.
		distance := max(n, w) - min(n, w)
		last := (traffic.Full - 1) / g * g
		first := w < g && n == g
		if atEnd := first || w > last && n == last; 2*distance > g && !atEnd {
			t.Fatalf("granularity %d: %d moved to %d, further than half a granule", g, w, n)
		}
	})
}

func TestEvidenceSurvivesItsText(t *testing.T) {
	t.Parallel()
	for e := traffic.Unknown; e <= traffic.Effective; e++ {
		text, err := e.MarshalText()
		var got traffic.Evidence
		if err != nil || got.UnmarshalText(text) != nil || got != e {
			t.Errorf("%s was read as %v", text, got)
		}
	}
	var e traffic.Evidence
	if err := e.UnmarshalText([]byte("certain")); err == nil {
		t.Errorf("\"certain\" was read as %v", e)
	}
	if got := traffic.Evidence(9).String(); got != "evidence(9)" {
		t.Errorf("an evidence of 9 is written %q", got)
	}
}
