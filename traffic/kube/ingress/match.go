// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/traffic"
)

const (
	always = "always"
	// anything is the pattern of a header that is there and not empty.
	anything = "^.+$"
)

// allowed is what the controller accepts in names and values; it drops the whole Ingress
// for anything else.
var allowed = regexp.MustCompile(`^[-._~a-zA-Z0-9/:]+$`)

// read is the matches that the annotations say, in the order in which the controller asks.
func (c codec) read(o *unstructured.Unstructured) (matches []traffic.Match) {
	notes := o.GetAnnotations()
	value, pattern := notes[c.prefix+"canary-by-header-value"], notes[c.prefix+"canary-by-header-pattern"]
	if header := notes[c.prefix+"canary-by-header"]; header != "" {
		for _, v := range values(value, pattern) {
			matches = append(matches, traffic.Match{Header: header, Value: v})
		}
	}
	if cookie := notes[c.prefix+"canary-by-cookie"]; cookie != "" {
		matches = append(matches, traffic.Match{Cookie: cookie, Value: always})
	}
	return matches
}

// values are those that a value and a pattern stand for. A pattern that is not ours is
// shown as itself after a tilde.
func values(value, pattern string) []string {
	switch {
	case value != "":
		return []string{value}
	case pattern == "":
		return []string{always}
	case pattern == anything:
		return []string{""}
	}
	inner, ok := strings.CutPrefix(pattern, "^(")
	inner, end := strings.CutSuffix(inner, ")$")
	list := strings.Split(strings.ReplaceAll(inner, `\.`, "."), "|")
	if !ok || !end || len(list) < 2 || patternOf(list) != pattern {
		return []string{"~" + pattern}
	}
	return list
}

// patternOf matches each of the values as a whole.
func patternOf(values []string) string {
	return "^(" + strings.ReplaceAll(strings.Join(values, "|"), ".", `\.`) + ")$"
}

// write makes the annotations say the matches. They can send requests to the arm of the
// canary only.
func (c codec) write(o *unstructured.Unstructured, matches []traffic.Match, canary bool) error {
	if len(matches) > 0 && !canary {
		return fmt.Errorf("match: the Ingress itself has the candidate, and a match can only lead away from it; make it have stable: %w", errors.ErrUnsupported)
	}
	header, cookie := "", ""
	var values []string
	for i, m := range matches {
		if !allowed.MatchString(m.Header+m.Cookie) || m.Value != "" && !allowed.MatchString(m.Value) {
			return fmt.Errorf("match[%d]: the controller takes letters, digits and -._~/: only: %w", i, errors.ErrUnsupported)
		}
		switch {
		case m.Header != "" && cookie != "":
			return fmt.Errorf("match[%d]: headers come before the cookie: %w", i, errors.ErrUnsupported)
		case m.Header != "" && (header == "" || header == m.Header):
			header = m.Header
			values = append(values, m.Value)
		case m.Cookie != "" && cookie == "" && m.Value == always:
			cookie = m.Cookie
		default:
			return fmt.Errorf("match[%d]: an Ingress can say one header with its values, and one cookie whose value is %q: %w", i, always, errors.ErrUnsupported)
		}
	}
	c.note(o, "canary-by-cookie", cookie)
	c.note(o, "canary-by-header", header)
	c.note(o, "canary-by-header-value", "")
	c.note(o, "canary-by-header-pattern", "")
	switch {
	case len(values) > 1:
		c.note(o, "canary-by-header-pattern", patternOf(values))
	case len(values) == 1 && values[0] == "":
		c.note(o, "canary-by-header-pattern", anything)
	case len(values) == 1 && values[0] != always:
		c.note(o, "canary-by-header-value", values[0])
	}
	return nil
}
