// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package semver_test

import (
	"testing"

	"github.com/rheostat-go/rheostat/internal/semver"
)

// The chain of precedence that semver.org gives, and its neighbours.
var ordered = []string{
	"0.0.0", "0.9.99999999999999999999", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
	"1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.2", "1.2.0", "1.10.0", "2.0.0-0.3.7", "2.0.0-x-y-z.4", "2.0.0",
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for i, a := range ordered {
		v, ok := semver.Parse(a + "+build.01")
		if !ok {
			t.Fatalf("%s is refused", a)
		}
		for j, b := range ordered {
			w, _ := semver.Parse(b)
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v.Compare(w); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestWhatIsNoVersion(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.0-a..b", "1.0.0-ä", "1..0", "1.0-rc", "1+b", "a", " 1.0.0"} {
		if v, ok := semver.ParseShort(s); ok {
			t.Errorf("%q is read as %v", s, v)
		}
	}
}

func TestShortVersions(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1", "1.0", "1.0.0"} {
		v, ok := semver.ParseShort(s)
		if want, _ := semver.Parse("1.0.0"); !ok || v != want {
			t.Errorf("%q is %v", s, v)
		}
		if _, ok := semver.Parse(s); ok != (s == "1.0.0") {
			t.Errorf("%q is whole: %v", s, ok)
		}
	}
}
