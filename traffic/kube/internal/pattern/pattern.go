// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package pattern is the regular expressions that routes of several kinds match requests
// with, and how they are read back. They mean the same in RE2 and in PCRE, to whoever looks
// for them in a value and to whoever holds them against all of it.
package pattern

import (
	"regexp"
	"strings"
)

// Any is any value but an empty one.
const Any = "^.+$"

const (
	before = `^(.*;)?[ \t]*`
	after  = `[ \t]*(;.*)?$`
	some   = `("[^";]+"|[^" \t;][^;]*)`
)

// Cookie finds a cookie in the header Cookie, with this value, in quotes or not, or with
// any but none if the value is empty.
func Cookie(name, value string) string {
	want := some
	if value != "" {
		value = regexp.QuoteMeta(value)
		want = `("` + value + `"|` + value + `)`
	}
	return before + regexp.QuoteMeta(name) + "=" + want + after
}

// ReadCookie reads what Cookie has made, and nothing else.
func ReadCookie(pattern string) (name, value string, ok bool) {
	middle, ok := strings.CutPrefix(pattern, before)
	if !ok {
		return "", "", false
	}
	middle, ok = strings.CutSuffix(middle, after)
	if !ok {
		return "", "", false
	}
	name, value, _ = strings.Cut(middle, "=")
	name = plain(name)
	if value == some {
		value = ""
	} else {
		value = value[:len(value)/2] // once in quotes, once without
		value = plain(strings.TrimSuffix(strings.TrimPrefix(value, `("`), `"`))
	}
	return name, value, Cookie(name, value) == pattern
}

// plain undoes QuoteMeta.
func plain(quoted string) string {
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		if quoted[i] == '\\' && i+1 < len(quoted) {
			i++
		}
		b.WriteByte(quoted[i])
	}
	return b.String()
}

// Token reports whether text can be the name of a header or of a cookie (RFC 9110, 5.6.2).
func Token(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
}
