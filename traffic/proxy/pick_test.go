// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
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
	for _, w := range []traffic.Weight{100, 10_000, 100_000, 500_000, 900_000, 999_900} {
		share := float64(w) / float64(traffic.Full)
		var on, both int
		for i := range n {
			key := "user-" + strconv.Itoa(i)
			a := hash(salt("v2"), key)>>1 < places(w)
			b := hash(salt("v3"), key)>>1 < places(w)
			if a {
				on++
			}
			if a && b {
				both++
			}
		}
		for what, c := range map[string]struct{ got, share float64 }{"on one": {float64(on), share}, "on both": {float64(both), share * share}} {
			if sigma := math.Sqrt(n * c.share * (1 - c.share)); math.Abs(c.got-n*c.share) > 5*sigma+1 {
				t.Errorf("at %v %v of %d keys are %s, want %v ± %v", w, c.got, n, what, n*c.share, sigma)
			}
		}
	}
}

func TestPlacesAreExactAtTheEndsAndRise(t *testing.T) {
	t.Parallel()
	if places(0) != 0 || places(traffic.Full) != 1<<63 {
		t.Errorf("nothing is %d places and everything %d, want 0 and %d", places(0), places(traffic.Full), uint64(1)<<63)
	}
	last := uint64(0)
	for w := traffic.Weight(1); w <= traffic.Full; w += 37 {
		if p := places(w); p <= last {
			t.Fatalf("%v has %d places, no more than less weight", w, p)
		} else {
			last = p
		}
	}
}

func TestCookiesAreFoundAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "side=a", "side=a; x=b", "x=b; side=a", "x=b;side=a", "x=b;  side=a ;y=c", `side="a"`, `side="`, "side=", "xside=b; side=a",
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
		if got := cookie(r.Header["Cookie"], "side"); got != want && line != `side="` {
			t.Errorf("%q has side %q, want %q", line, got, want)
		}
	}
}

func FuzzCutCookie(f *testing.F) {
	f.Add("a=b; side=c", "side")
	f.Add(`side="x";;`, "side")
	f.Fuzz(func(t *testing.T, line, name string) {
		value, rest := cutCookie(line, name)
		if len(value)+len(rest) > len(line) {
			t.Fatalf("%q gave %q and %q", line, value, rest)
		}
		cookie([]string{line, line}, name)
	})
}

func TestMatchesAreByNameAndValue(t *testing.T) {
	t.Parallel()
	request := func(edit func(*http.Request)) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "http://tenant.example/", http.NoBody)
		edit(r)
		return r
	}
	twice := request(func(r *http.Request) { r.Header["X-Ring"] = []string{"", "outer", "inner"} })
	cookies := request(func(r *http.Request) { r.Header["Cookie"] = []string{"ring=outer", "a=b; ring=inner"} })
	for _, tt := range []struct {
		rule rule
		r    *http.Request
		want bool
	}{
		{rule{header: "X-Ring", value: "inner"}, twice, true},
		{rule{header: "X-Ring"}, twice, true},
		{rule{header: "X-Ring", value: "Inner"}, twice, false},
		{rule{header: "X-Other"}, twice, false},
		{rule{header: "Host", value: "tenant.example"}, twice, true},
		{rule{cookie: "ring", value: "inner"}, cookies, true},
		{rule{cookie: "ring", value: "core"}, cookies, false},
		{rule{cookie: "b"}, cookies, false},
		{rule{header: "X-Empty"}, request(func(r *http.Request) { r.Header.Set("X-Empty", "") }), false},
	} {
		if got := tt.rule.matches(tt.r); got != tt.want {
			t.Errorf("%+v matches: %v, want %v", tt.rule, got, tt.want)
		}
	}
}

func TestPickingAllocatesNothing(t *testing.T) {
	p, r := compiled(t, traffic.Split{Candidate: 500_000, Sticky: traffic.Sticky{Cookie: "side"}, Match: []traffic.Match{{Header: "X-Preview", Value: "yes"}}})
	if n := testing.AllocsPerRun(100, func() { p.pick(r) }); n != 0 {
		t.Errorf("a pick allocates %v times, want 0", n)
	}
}
