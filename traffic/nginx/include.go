// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

const (
	// step is what split_clients can tell apart.
	step = traffic.Full / 10_000
	// mostMatches is far from the hundred variables that nginx lets depend on each other.
	mostMatches = 64
	// nginx takes no word of more than 4096 bytes. A byte of a value takes up to 4
	// in the include, and one of a parameter up to 17.
	longestName  = 128
	longestValue = 512
	longestQuery = 128
)

var (
	armPattern    = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	headerPattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	wordPattern   = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
)

// check refuses what cannot be written so that nginx reads it as it is meant.
// Nothing that gets through can end a word of the include: names are of the
// characters above, and values are encoded.
func check(route traffic.Route) error {
	s := route.Split
	for _, name := range []struct {
		field, name string
		pattern     *regexp.Regexp
	}{
		{"arms.stable", route.Arms.Stable, armPattern},
		{"arms.candidate", route.Arms.Candidate, armPattern},
		{"sticky.cookie", s.Sticky.Cookie, wordPattern},
		{"sticky.header", s.Sticky.Header, headerPattern},
	} {
		if err := checkName(name.field, name.name, name.pattern); err != nil {
			return err
		}
	}
	if len(s.Match) > mostMatches {
		return fmt.Errorf("match: %d are too many, want at most %d: %w", len(s.Match), mostMatches, errors.ErrUnsupported)
	}
	for i, m := range s.Match {
		field, longest := fmt.Sprintf("match[%d]", i), longestValue
		if m.Query != "" {
			longest = longestQuery
		}
		err := errors.Join(
			checkName(field+".header", m.Header, headerPattern),
			checkName(field+".cookie", m.Cookie, wordPattern),
			checkName(field+".query", m.Query, wordPattern),
		)
		if err != nil {
			return err
		}
		if len(m.Value) > longest {
			return fmt.Errorf("%s.value: %d bytes are too many, want at most %d: %w", field, len(m.Value), longest, errors.ErrUnsupported)
		}
	}
	return nil
}

func checkName(field, name string, pattern *regexp.Regexp) error {
	if name == "" || len(name) <= longestName && pattern.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%s: %.140q is not of %v or longer than %d: %w", field, name, pattern, longestName, errors.ErrUnsupported)
}

// digest tells routes apart in a note.
func digest(route traffic.Route) string {
	text, err := json.Marshal(route)
	if err != nil {
		return "" // of a weight that is not valid, which is never written
	}
	return sum(text)
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:16])
}

// compose is the whole include, and its generation: a name for what its
// directives say, which nginx tells once its workers have them.
func compose(variable string, n note, route traffic.Route) (text, generation string) {
	return seal(variable, n, directives(variable, route))
}

// seal puts the note and the generation above the directives.
func seal(variable string, n note, body string) (text, generation string) {
	generation = sum([]byte(body))
	return n.line() +
		"# The route of a rollout, kept by rheostat. What is edited here is seen, and\n" +
		"# undone by the next route.\n" +
		block("map", "$pid", "$"+variable+"_generation", "default", quoted(generation)) +
		body, generation
}

// directives decide about a request. The first map names the upstreams, a map for
// each match and a split follow, of which each names the next.
func directives(variable string, route traffic.Route) string {
	side := "$" + variable + "_side"
	var b strings.Builder
	b.WriteString(block("map", side, "$"+variable, "default", quoted(route.Arms.Stable), quoted("candidate"), quoted(route.Arms.Candidate)))
	at := side
	for i, m := range route.Split.Match {
		next := fmt.Sprintf("%s_%d", side, i+1)
		if m.Value == "" {
			b.WriteString(block("map", source(m), at, `""`, next, "default", `"candidate"`))
		} else {
			b.WriteString(block("map", source(m), at, quoted(pattern(m)), `"candidate"`, "default", next))
		}
		at = next
	}
	key := "$request_id"
	if s := route.Split.Sticky; s != (traffic.Sticky{}) {
		from := source(traffic.Match{Header: s.Header, Cookie: s.Cookie})
		key = "$" + variable + "_key"
		// With the candidate's name, so that another rollout meets other clients first.
		b.WriteString(block("map", from, key, `""`, "$request_id", "default", quoted(route.Arms.Candidate+"/"+from)))
	}
	// The candidate comes first, so that a higher weight only adds clients to it.
	// nginx refuses 0%, and its 100% leaves out the last of the hashes.
	switch w := route.Split.Candidate; w {
	case 0:
		b.WriteString(block("split_clients", key, at, "*", `"stable"`))
	case traffic.Full:
		b.WriteString(block("split_clients", key, at, "*", `"candidate"`))
	default:
		share := fmt.Sprintf("%d.%02d%%", w/step/100, w/step%100)
		b.WriteString(block("split_clients", key, at, share, `"candidate"`, "*", `"stable"`))
	}
	return b.String()
}

// blank is directives that send all to one upstream: no route.
func blank(variable, upstream string) string {
	return block("map", "$pid", "$"+variable, "default", quoted(upstream))
}

func block(name, from, to string, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s {\n", name, from, to)
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "    %s %s;\n", pairs[i], pairs[i+1])
	}
	b.WriteString("}\n")
	return b.String()
}

// quoted is a word that needs no escapes.
func quoted(word string) string { return `"` + word + `"` }

// source is the variable that a match looks at. nginx ignores the case of a
// variable's name, so the spelling of the route is kept in it.
func source(m traffic.Match) string {
	switch {
	case m.Header != "":
		return "$http_" + strings.ReplaceAll(m.Header, "-", "_")
	case m.Cookie != "":
		return "$cookie_" + m.Cookie
	}
	return "$arg_" + m.Query
}

// pattern is a regular expression for exactly the value. A plain word would be
// compared without regard to case.
func pattern(m traffic.Match) string {
	var b strings.Builder
	b.WriteString("~^")
	for i := range len(m.Value) {
		if m.Query != "" {
			b.WriteString(queryByte(m.Value[i]))
		} else {
			b.WriteString(plainByte(m.Value[i]))
		}
	}
	return b.String() + `\z`
}

// plainByte is one byte in a regular expression, and harmless in a configuration.
func plainByte(c byte) string {
	if isAlnum(c) || c == '_' || c == '-' {
		return string(rune(c))
	}
	return fmt.Sprintf(`\x%02x`, c)
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// queryByte is one byte as it may stand in a query, which nginx does not decode.
func queryByte(c byte) string {
	code := "%" + hexDigit(c>>4) + hexDigit(c&15)
	switch c {
	case '+', '%', '&', '#', ';':
		return code
	case ' ':
		return `(?:\x2b|` + code + ")"
	}
	return "(?:" + plainByte(c) + "|" + code + ")"
}

func hexDigit(n byte) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return "[" + string(rune('A'+n-10)) + string(rune('a'+n-10)) + "]"
}
