// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "v2", "\xff", strings.Repeat("é", 100), strings.Repeat("a", 127) + "€", strings.Repeat("\xff", 200), "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		// A byte that is not UTF-8 becomes one character of three bytes.
		if got == "" || !utf8.ValidString(got) || len(got) > 3*maxLabelBytes {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if utf8.ValidString(s) && s != "" && !strings.HasPrefix(s, got) {
			t.Errorf("clean(%q) = %q, which is no beginning of it", s, got)
		}
		if len(s) <= maxLabelBytes && utf8.ValidString(s) && s != "" && got != s {
			t.Errorf("clean(%q) = %q, though it was clean", s, got)
		}
	})
}
