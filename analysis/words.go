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

func percent(v float64) string { return strconv.FormatFloat(v*100, 'g', 4, 64) + "%" }

// odds says how strong evidence is.
func odds(nats float64) string {
	switch n := math.Exp(min(nats, 60*math.Ln10)); {
	case n >= 1e12:
		return "more than a trillion to 1 for harm"
	case n >= 10:
		return grouped(math.Floor(n)) + " to 1 for harm"
	case n >= 1:
		return strconv.FormatFloat(n, 'f', 1, 64) + " to 1 for harm"
	default:
		return "nothing speaks for harm"
	}
}

// grouped is a whole number with its thousands apart: 108,000.
func grouped(v float64) string {
	s := []byte(strconv.FormatFloat(v, 'f', 0, 64))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = slices.Insert(s, i, ',')
	}
	return string(s)
}
