// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// quote makes a name an identifier.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// text makes a string literal, whatever sql_mode says of backslashes.
func text(s string) string {
	if !strings.ContainsAny(s, `\'`) {
		return "'" + s + "'"
	}
	return "CONVERT(X'" + hex.EncodeToString([]byte(s)) + "' USING utf8mb4)"
}

func listed(names []string, f func(string) string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = f(n)
	}
	return strings.Join(parts, ", ")
}

// ours is a name of ours for something of a change: the server allows 64 characters.
func ours(what string, parts ...any) string {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return "_rh_" + what + "_" + hex.EncodeToString(sum[:8])
}

// hiddenName is a name with the mark of what is hidden, within 64 characters.
func hiddenName(name string) string {
	if hidden := "_rh_old_" + name; len([]rune(hidden)) <= 64 {
		return hidden
	}
	return ours("old", name)
}

// overNew rewrites an expression over a row's columns for a trigger, where they are those
// of NEW. A column is a name, quoted or not, that columns holds in lower case, and that is
// neither qualified nor a function.
func overNew(expr string, columns map[string]string) string {
	var b strings.Builder
	for i := 0; i < len(expr); {
		n, name := word(expr[i:])
		token := expr[i : i+n]
		column, ok := columns[strings.ToLower(name)]
		if ok && !strings.HasSuffix(strings.TrimSpace(expr[:i]), ".") && !strings.HasPrefix(strings.TrimSpace(expr[i+n:]), "(") {
			token = "NEW." + quote(column)
		}
		b.WriteString(token)
		i += n
	}
	return b.String()
}

// mentions says whether an expression uses a column.
func mentions(expr, column string) bool {
	only := map[string]string{strings.ToLower(column): column}
	return overNew(expr, only) != expr
}

// word is the length of the next token, and the name that it is, if it is one.
func word(s string) (n int, name string) {
	switch c := s[0]; {
	case c == '`':
		return quoted(s, '`')
	case c == '\'' || c == '"':
		n, _ = quoted(s, c)
		return n, ""
	case letter(c):
		for n < len(s) && (letter(s[n]) || '0' <= s[n] && s[n] <= '9') {
			n++
		}
		if n < len(s) && s[n] == '\'' { // X'41', N'x', _utf8'x'
			return n, ""
		}
		return n, s[:n]
	case '0' <= c && c <= '9':
		for n < len(s) && (letter(s[n]) || '0' <= s[n] && s[n] <= '9' || s[n] == '.') {
			n++
		}
		return n, ""
	case strings.HasPrefix(s, "/*"):
		if end := strings.Index(s, "*/"); end > 0 {
			return end + 2, ""
		}
		return len(s), ""
	case c == '#' || strings.HasPrefix(s, "-- "):
		if end := strings.IndexByte(s, '\n'); end >= 0 {
			return end + 1, ""
		}
		return len(s), ""
	case c == '@':
		n, _ = 1, 0
		for n < len(s) && (letter(s[n]) || '0' <= s[n] && s[n] <= '9' || s[n] == '@') {
			n++
		}
		return n, ""
	}
	return 1, ""
}

// quoted is the length of a quoted token, and what is in it.
func quoted(s string, q byte) (int, string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && q != '`' && i+1 < len(s):
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
			b.WriteByte(q)
		case s[i] == q:
			return i + 1, b.String()
		default:
			b.WriteByte(s[i])
		}
	}
	return len(s), ""
}

func letter(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
