// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import "testing"

func TestANameIsFoundHoweverItIsQuoted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr, name string
		want       bool
	}{
		{"lower(email)", "email", true},
		{"LOWER(Email)", "eMAIL", true},
		{"emails || my_email || email2", "email", false},
		{"emails || email", "email", true},
		{`"New ""Mail"`, `New "Mail`, true},
		{"`tick``ed`", "tick`ed", true},
		{"[in brackets]", "in brackets", true},
		{"1 + 1", "email", false},
		{"größe", "gr", false},
		{"'nothing'", "", false},
	} {
		if got := mentions(c.expr, c.name); got != c.want {
			t.Errorf("%s mentions %s: %v, want %v", c.expr, c.name, got, c.want)
		}
	}
}
