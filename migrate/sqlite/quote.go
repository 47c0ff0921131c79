// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import "strings"

// quote makes a name an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// text makes a string literal.
func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// listed is names, each written by f.
func listed(names []string, f func(string) string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = f(n)
	}
	return strings.Join(parts, ", ")
}

// mentions says whether an expression may use a name: whether it is there, in any case, as
// a word, and as it is or as one of SQLite's quotes has it. It may say yes of a string or a
// comment, which does no harm.
func mentions(expr, name string) bool {
	expr, name = strings.ToLower(expr), strings.ToLower(name)
	return hasWord(expr, name) ||
		hasWord(expr, strings.ReplaceAll(name, `"`, `""`)) || hasWord(expr, strings.ReplaceAll(name, "`", "``"))
}

func hasWord(expr, name string) bool {
	for from := 0; ; {
		i := strings.Index(expr[from:], name)
		if i < 0 || name == "" {
			return false
		}
		i += from
		if !wordAt(expr, i-1) && !wordAt(expr, i+len(name)) {
			return true
		}
		from = i + 1
	}
}

// wordAt says whether a name goes on at i.
func wordAt(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
}
