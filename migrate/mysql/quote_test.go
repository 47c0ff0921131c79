// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"strings"
	"testing"
)

func TestAnExpressionIsRewrittenForATrigger(t *testing.T) {
	t.Parallel()
	columns := map[string]string{"email": "Email", "a b": "a b", "left": "left", "x": "x"}
	for expr, want := range map[string]string{
		"lower(email)":                          "lower(NEW.`Email`)",
		"EMAIL":                                 "NEW.`Email`",
		"`email`":                               "NEW.`Email`",
		"`a b` + 1":                             "NEW.`a b` + 1",
		"left(email, 3)":                        "left(NEW.`Email`, 3)",
		"t.email":                               "t.email",
		"'email' = \"email\"":                   "'email' = \"email\"",
		"'it''s email' + email":                 "'it''s email' + NEW.`Email`",
		`'\' email' + email`:                    "'\\' email' + NEW.`Email`",
		"/* email */ email -- email\n + @email": "/* email */ NEW.`Email` -- email\n + @email",
		"x'41' + x":                             "x'41' + NEW.`x`",
		"1e5 + emails":                          "1e5 + emails",
		"'never closed email":                   "'never closed email",
		"/* never closed email":                 "/* never closed email",
	} {
		if got := overNew(expr, columns); got != want {
			t.Errorf("%s: %s, want %s", expr, got, want)
		}
	}
}

func FuzzOverNew(f *testing.F) {
	f.Add("lower(email) || 'x' -- y")
	f.Add("`a``b` + \"c\\\"\" # d")
	f.Fuzz(func(t *testing.T, expr string) {
		if got := overNew(expr, map[string]string{}); got != expr {
			t.Errorf("with no columns %q became %q", expr, got)
		}
	})
}

func TestNamesAndValuesAreQuoted(t *testing.T) {
	t.Parallel()
	if got := quote("a`b"); got != "`a``b`" {
		t.Error(got)
	}
	if got := text("it's"); !strings.HasPrefix(got, "CONVERT(X'69742773'") {
		t.Error(got)
	}
	if got := hiddenName(strings.Repeat("x", 60)); len(got) > 64 || got == hiddenName(strings.Repeat("x", 61)) {
		t.Error(got)
	}
}
