// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"regexp"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/split"
	"github.com/rheostat-go/rheostat/traffic"
)

// has is what package proxy makes of a line of cookies.
func has(line, name, value string) bool {
	for line != "" {
		var got string
		if got, line = split.CutCookie(line, name); got != "" && (value == "" || got == value) {
			return true
		}
	}
	return false
}

func TestCookiesAreFoundAsTheProxyDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value string }{{"side", "a"}, {"side", ""}, {"side", "a.b"}, {"si.de", "a+"}, {"side", "(a"}} {
		pattern := regexp.MustCompile("^(?:" + cookiePattern(tt.name, tt.value) + ")$")
		for _, line := range []string{
			"", "side=a", "side=a; x=b", "x=b; side=a", "x=b;side=a", "x=b;  side=a ;y=c", `side="a"`, `x=1; side="a"; y=2`, "side=", `side=""`, "xside=a; side=b",
			"side", "side=; side=a", "Side=a; side=b", "a=side=a; side=c", ";;side=a", "side=a=b", "side=ab", "side=a b", "siXde=a", "side=a.b", "side=aXb",
			"si.de=a+", "si.de=aa", "side=(a", "side=b; side=a", "side =a", "sides=a", "side=a;", " side=a", "\tside=a",
		} {
			if got, want := pattern.MatchString(line), has(line, tt.name, tt.value); got != want {
				t.Errorf("%q has %s=%s: %v, want %v", line, tt.name, tt.value, got, want)
			}
		}
	}
	// gRPC joins lines with commas.
	if !regexp.MustCompile("^(?:" + cookiePattern("side", "a") + ")$").MatchString("x=1; y=2,side=a; z=3") {
		t.Error("a cookie of the second line is not found")
	}
}

func FuzzCookiePattern(f *testing.F) {
	f.Add("x=1; side=a", "side", "a")
	f.Add(`side="a"`, "side", "")
	f.Fuzz(func(t *testing.T, line, name, value string) {
		plain := func(s, more string) bool {
			return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"+more) == ""
		}
		if !token(name) || !plain(name, ".+*-") || !plain(value, ".+*-()[]^$|=") || !plain(line, "; =.+*-()[]^$|") {
			return
		}
		pattern, err := regexp.Compile("^(?:" + cookiePattern(name, value) + ")$")
		if err != nil {
			t.Fatalf("%s=%s: %v", name, value, err)
		}
		if got, want := pattern.MatchString(line), has(line, name, value); got != want {
			t.Errorf("%q has %s=%s: %v, want %v by %s", line, name, value, got, want, pattern)
		}
	})
}

// TestAnEnvoyCopiesItsShareOfStablesRequests draws every number that an Envoy can
// draw, and routes and copies by it as an Envoy does.
func TestAnEnvoyCopiesItsShareOfStablesRequests(t *testing.T) {
	t.Parallel()
	r := &Router{name: "web", options: RouterOptions{Envoy: true}}
	for _, tt := range []struct{ candidate, mirror traffic.Weight }{
		{0, traffic.Full}, {0, traffic.Full / 2}, {0, 1}, {traffic.Full / 4, traffic.Full / 2}, {traffic.Full / 2, traffic.Full}, {traffic.Full - 1, traffic.Full / 2}, {traffic.Full, traffic.Full},
	} {
		route := &traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: tt.candidate, Mirror: tt.mirror}}
		var stable, candidate, copied uint64
		list := r.weighted(route)
		for number := range uint32(traffic.Full) {
			for _, x := range list {
				if part := x.GetMatch().GetRuntimeFraction(); part != nil && number >= part.GetDefaultValue().GetNumerator() {
					continue
				}
				if x.GetRoute().GetCluster() == "web/v2" {
					candidate++
				} else {
					stable++
					if number < x.GetRoute().GetRequestMirrorPolicies()[0].GetRuntimeFraction().GetDefaultValue().GetNumerator() {
						copied++
					}
				}
				break
			}
		}
		if want := stable * uint64(tt.mirror) / uint64(traffic.Full); candidate != uint64(tt.candidate) || copied != want {
			t.Errorf("at %v and mirror %v the candidate got %d and copies %d, want %d and %d", tt.candidate, tt.mirror, candidate, copied, tt.candidate, want)
		}
	}
}
