// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd

import (
	"math"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/flags"
)

// kind is the type of a value in JSON.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

// value is what a node of a targeting computes to. Only lists and objects are on the
// heap.
type value struct {
	kind kind
	num  float64 // a boolean is 1 or 0
	text string
	in   *inner // of a list or an object; the same pointer is the same list
}

// inner is the items of a list, or the fields of an object.
type inner struct {
	names []string
	items []value
}

func truth(b bool) value {
	if b {
		return value{kind: boolean, num: 1}
	}
	return value{kind: boolean}
}

func num(n float64) value { return value{kind: number, num: n} }

func str(s string) value { return value{kind: text, text: s} }

func listOf(items []value) value { return value{kind: list, in: &inner{items: items}} }

// of is an attribute of a context as JSON would have it.
func of(v flags.Value) value {
	switch v.Kind() {
	case flags.StringKind:
		return str(v.Text())
	case flags.NumberKind:
		return num(v.Number())
	case flags.BoolKind:
		return truth(v.Truth())
	case flags.TimeKind:
		return str(v.Instant().Format("2006-01-02T15:04:05.999999Z07:00"))
	default:
		return value{}
	}
}

// truthy is JSONLogic's idea of it: an empty list is false, the text "0" is true.
func (v *value) truthy() bool {
	switch v.kind {
	case boolean:
		return v.num == 1
	case number:
		return v.num != 0 && !math.IsNaN(v.num)
	case text:
		return v.text != ""
	case list:
		return len(v.in.items) > 0
	default:
		return v.kind == object
	}
}

// same is ===.
func (v *value) same(w *value) bool {
	return v.kind == w.kind && v.num == w.num && v.text == w.text && v.in == w.in
}

// field is what a path leads to within a value, null if nowhere.
func (v value) field(path string) value {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		v = v.child(name)
	}
	return v
}

func (v *value) child(name string) value {
	switch v.kind {
	case object:
		for i := range v.in.names {
			if v.in.names[i] == name {
				return v.in.items[i]
			}
		}
	case list:
		if i, ok := index(name); ok && i < len(v.in.items) {
			return v.in.items[i]
		}
	default:
	}
	return value{}
}

// index reads a name as the place in a list.
func index(name string) (int, bool) {
	if name == "" || len(name) > 6 {
		return 0, false
	}
	i := 0
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return 0, false
		}
		i = i*10 + int(c-'0')
	}
	return i, true
}

// appendNumber writes a number as JavaScript does.
func appendNumber(b []byte, n float64) []byte {
	switch size := math.Abs(n); {
	case math.IsNaN(n):
		return append(b, "NaN"...)
	case n == 0:
		return append(b, '0')
	case math.IsInf(n, 0):
		if n < 0 {
			b = append(b, '-')
		}
		return append(b, "Infinity"...)
	case size >= 1e21 || size < 1e-6:
		var room [32]byte
		written := strconv.AppendFloat(room[:0], n, 'e', -1, 64)
		// Go has at least two digits in an exponent, JavaScript no leading zero.
		if at := len(written) - 2; written[at] == '0' {
			written = append(written[:at], written[at+1])
		}
		return append(b, written...)
	default:
		return strconv.AppendFloat(b, n, 'f', -1, 64)
	}
}

// numberOf is what JavaScript makes of a text: the whole of it must be a number.
func numberOf(s string) float64 {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if len(s) > 2 && s[0] == '0' {
		if base := baseOf(s[1]); base != 0 {
			n, err := strconv.ParseUint(s[2:], base, 64)
			if err != nil {
				return math.NaN()
			}
			return float64(n)
		}
	}
	n, length := prefixNumber(s)
	if length != len(s) {
		return math.NaN()
	}
	return n
}

func baseOf(c byte) int {
	switch c {
	case 'x', 'X':
		return 16
	case 'o', 'O':
		return 8
	case 'b', 'B':
		return 2
	default:
		return 0
	}
}

// prefixNumber is the number that s begins with, as JavaScript's parseFloat reads it, and
// its length.
func prefixNumber(s string) (n float64, length int) {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	if strings.HasPrefix(s[i:], "Infinity") {
		if s[0] == '-' {
			return math.Inf(-1), i + 8
		}
		return math.Inf(1), i + 8
	}
	whole := digits(s[i:])
	i += whole
	if i < len(s) && s[i] == '.' {
		part := digits(s[i+1:])
		if whole+part > 0 {
			i += 1 + part
		}
		whole += part
	}
	if whole == 0 {
		return math.NaN(), 0
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if power := digits(s[j:]); power > 0 {
			i = j + power
		}
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	if err != nil && !math.IsInf(n, 0) {
		return math.NaN(), 0
	}
	return n, i
}

func digits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}
