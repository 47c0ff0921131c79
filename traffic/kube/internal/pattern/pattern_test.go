// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package pattern_test

import (
	"regexp"
	"testing"

	"github.com/rheostat-go/rheostat/traffic/kube/internal/pattern"
)

func TestACookieIsFoundByItsWholeNameAndValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value, header string
		want                bool
	}{
		{"ring", "internal", "ring=internal", true},
		{"ring", "internal", "a=b; ring=internal; c=d", true},
		{"ring", "internal", `a=b;ring="internal"`, true},
		{"ring", "internal", "ring=internals", false},
		{"ring", "internal", "string=internal", false},
		{"ring", "internal", "a=ring=internal", false},
		{"ring", "a.b", "ring=a.b", true},
		{"ring", "a.b", "ring=axb", false},
		{"ring", "", "ring=anything", true},
		{"ring", "", "x=1; ring=1", true},
		{"ring", "", "ring=", false},
		{"ring", "", "ring=; x=1", false},
		{"ring", "", `ring=""`, false},
		{"ring", "", "rings=1", false},
	} {
		p := pattern.Cookie(c.name, c.value)
		// Some search, and some compare the whole value.
		for _, text := range []string{p, "^(?:" + p + ")$"} {
			if got := regexp.MustCompile(text).MatchString(c.header); got != c.want {
				t.Errorf("%s=%s in %q: %t, want %t by %s", c.name, c.value, c.header, got, c.want, text)
			}
		}
	}
}

func TestAPatternOfACookieIsReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"ring", "internal"}, {"ring", ""}, {"a.b", `x|y+(z)\w`}, {"r", "="}, {"r", "a=b"}, {"r", "("}, {"r", "ü"}} {
		name, value, ok := pattern.ReadCookie(pattern.Cookie(c[0], c[1]))
		if !ok || name != c[0] || value != c[1] {
			t.Errorf("%q: read as %q %q %t", c, name, value, ok)
		}
	}
	for _, foreign := range []string{"", pattern.Any, "ring=.*", pattern.Cookie("ring", "a") + "x", `^(.*;)?[ \t]*=[ \t]*(;.*)?$`} {
		if name, value, ok := pattern.ReadCookie(foreign); ok {
			t.Errorf("%q is read as %q %q", foreign, name, value)
		}
	}
}
