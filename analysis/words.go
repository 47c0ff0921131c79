// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxReason bounds a reason; it is saved and shown with the rollout.
const maxReason = 400

// sentence makes text fit for a reason: one line, valid UTF-8, bounded.
func sentence(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxReason {
		return text
	}
	cut := maxReason - len("...")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// plainNumber keeps as many digits as tell one number from its neighbours on a page.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func percent(v float64) string { return string(appendPercent(nil, v)) }

func appendPercent(b []byte, v float64) []byte {
	return append(strconv.AppendFloat(b, v*100, 'g', 4, 64), '%')
}

// odds says how strong evidence is.
func odds(nats float64) string { return string(appendOdds(nil, nats)) }

func appendOdds(b []byte, nats float64) []byte {
	switch n := math.Exp(min(nats, 60*math.Ln10)); {
	case n >= 1e12:
		b = append(b, "more than a trillion"...)
	case n >= 10:
		b = appendGrouped(b, math.Floor(n))
	case n >= 1:
		b = strconv.AppendFloat(b, n, 'f', 1, 64)
	default:
		return append(b, "nothing speaks for harm"...)
	}
	return append(b, " to 1 for harm"...)
}

// grouped is a whole number with its thousands apart: 108,000.
func grouped(v float64) string { return string(appendGrouped(nil, v)) }

func appendGrouped(b []byte, v float64) []byte {
	from := len(b)
	b = strconv.AppendFloat(b, v, 'f', 0, 64)
	for i := len(b) - 3; i > from; i -= 3 {
		b = slices.Insert(b, i, ',')
	}
	return b
}
