// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package split

import "strings"

// Cookie is the first value of a cookie that is not empty.
func Cookie(lines []string, name string) string {
	for _, line := range lines {
		for line != "" {
			var value string
			if value, line = CutCookie(line, name); value != "" {
				return value
			}
		}
	}
	return ""
}

// CutCookie is the value of the first cookie of that name in line, and the rest
// of the line behind it. http.Request.Cookie would allocate for all of them.
func CutCookie(line, name string) (value, rest string) {
	for line != "" {
		var part string
		if i := strings.IndexByte(line, ';'); i >= 0 {
			part, line = line[:i], line[i+1:]
		} else {
			part, line = line, ""
		}
		for part != "" && (part[0] == ' ' || part[0] == '\t') {
			part = part[1:]
		}
		if len(part) > len(name) && part[len(name)] == '=' && part[:len(name)] == name {
			value = strings.TrimRight(part[len(name)+1:], " \t")
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value, line
		}
	}
	return "", ""
}
