// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/analysis"
)

// operator is how a matcher compares.
type operator string

const (
	equal    operator = "="
	unequal  operator = "!="
	matches  operator = "=~"
	mismatch operator = "!~"
)

// matcher is one condition on a label, as it was written: the value may hold
// placeholders.
type matcher struct {
	label string
	op    operator
	value template
}

// condition is a matcher for one check, with nothing left to fill in.
type condition struct {
	label string
	op    operator
	value string
	re    *regexp.Regexp
}

// selector is a metric and what its labels must be.
type selector struct {
	metric   string
	matchers []matcher
}

// parseSelector reads `metric` or `metric{label="value", ...}`.
func parseSelector(text string) (selector, error) {
	rest := strings.TrimSpace(text)
	name := leadingName(rest, true)
	if name == "" {
		return selector{}, fmt.Errorf("%q: want a metric's name, then {label=\"value\"} where needed", text)
	}
	s := selector{metric: name}
	rest = strings.TrimSpace(rest[len(name):])
	if rest == "" {
		return s, nil
	}
	if !strings.HasPrefix(rest, "{") || !strings.HasSuffix(rest, "}") {
		return selector{}, fmt.Errorf("%q: want nothing after the name but {label=\"value\"}", text)
	}
	var err error
	s.matchers, err = parseMatchers(rest[1 : len(rest)-1])
	return s, err
}

// parseMatchers reads `label="value", other=~"value"`.
func parseMatchers(text string) ([]matcher, error) {
	var list []matcher
	for rest := strings.TrimSpace(text); rest != ""; {
		m, after, err := parseMatcher(rest)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		list = append(list, m)
		rest = strings.TrimSpace(after)
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, fmt.Errorf("%q: want a comma before %q", text, rest)
		}
		rest = strings.TrimSpace(rest[1:])
	}
	return list, nil
}

func parseMatcher(text string) (m matcher, rest string, err error) {
	m.label = leadingName(text, false)
	if m.label == "" || m.label == nameLabel {
		return m, "", fmt.Errorf("want a label's name before %q", text)
	}
	rest = strings.TrimSpace(text[len(m.label):])
	for _, op := range [...]operator{matches, mismatch, unequal, equal} {
		if after, ok := strings.CutPrefix(rest, string(op)); ok {
			m.op, rest = op, strings.TrimSpace(after)
			break
		}
	}
	if m.op == "" {
		return m, "", fmt.Errorf("label %s: want =, !=, =~ or !~ before %q", m.label, rest)
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil || quoted[0] == '\'' {
		return m, "", fmt.Errorf("label %s: want a value in double quotes or backticks, not %q", m.label, rest)
	}
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return m, "", fmt.Errorf("label %s: %w", m.label, err)
	}
	if m.value, err = parseTemplate(value); err == nil && m.isRegexp() {
		err = m.value.checkRegexp()
	}
	if err != nil {
		return m, "", fmt.Errorf("label %s: %w", m.label, err)
	}
	return m, rest[len(quoted):], nil
}

func (m matcher) isRegexp() bool { return m.op == matches || m.op == mismatch }

// leadingName is the name that text begins with, "" if there is none.
func leadingName(text string, colons bool) string {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == ':' && colons, '0' <= c && c <= '9' && i > 0:
		default:
			return text[:i]
		}
	}
	return text
}

// template is a label's value with placeholders: literals and names take turns,
// beginning with a literal.
type template []string

// literal is a text that a template holds as it is.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// placeholders are what a template can be filled in with.
var placeholders = map[string]func(analysis.Check) string{
	"stable":    func(c analysis.Check) string { return c.Stable },
	"candidate": func(c analysis.Check) string { return c.Candidate },
	"service":   func(c analysis.Check) string { return c.Service },
	"target":    func(c analysis.Check) string { return c.Target },
	"lane":      func(c analysis.Check) string { return c.Lane },
}

// parseTemplate finds $name and ${name}. Two dollars are one, and one that no letter
// and no brace follows stands for itself.
func parseTemplate(text string) (template, error) {
	var t template
	plain := ""
	for text != "" {
		at := strings.IndexByte(text, '$')
		if at < 0 {
			plain += text
			break
		}
		plain, text = plain+text[:at], text[at+1:]
		if after, ok := strings.CutPrefix(text, "$"); ok {
			plain, text = plain+"$", after
			continue
		}
		name := leadingName(text, false)
		after := text[len(name):]
		if inner, ok := strings.CutPrefix(text, "{"); ok {
			if name, after, ok = strings.Cut(inner, "}"); !ok {
				return nil, errors.New("${ has no }")
			}
		}
		if name == "" {
			plain += "$"
			continue
		}
		if _, ok := placeholders[name]; !ok {
			return nil, fmt.Errorf("$%s: want $stable, $candidate, $service, $target or $lane", name)
		}
		t, plain, text = append(t, plain, name), "", after
	}
	return append(t, plain), nil
}

// checkRegexp reports an expression that is none, or that has a placeholder where
// what is filled in would be more than a literal. Each placeholder is tried with two
// characters of private use, which stay together as long as they are a literal.
func (t template) checkRegexp() error {
	const first = '\ue000'
	parts := slices.Clone(t)
	for i := 1; i < len(t); i += 2 {
		parts[i] = "(?:" + string([]rune{first + rune(i), first + rune(i+1)}) + ")"
	}
	text := strings.Join(parts, "")
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return err
	}
	if len(t) > 1 && strings.Contains(text, `\Q`) {
		return errors.New(`a placeholder cannot be used beside \Q`)
	}
	for i := 1; i < len(t); i += 2 {
		if !hasLiteral(tree, string([]rune{first + rune(i), first + rune(i+1)})) {
			return fmt.Errorf("$%s cannot stand between [ and ]", t[i])
		}
	}
	return nil
}

func hasLiteral(tree *syntax.Regexp, text string) bool {
	return tree.Op == syntax.OpLiteral && strings.Contains(string(tree.Rune), text) ||
		slices.ContainsFunc(tree.Sub, func(sub *syntax.Regexp) bool { return hasLiteral(sub, text) })
}

// fill puts in the names of a check. In an expression they are literals.
func (m matcher) fill(c analysis.Check) (condition, error) {
	parts := slices.Clone(m.value)
	for i := 1; i < len(parts); i += 2 {
		name := placeholders[m.value[i]](c)
		if name == "" {
			return condition{}, fmt.Errorf("label %s: the check has no %s for $%s", m.label, m.value[i], m.value[i])
		}
		if !utf8.ValidString(name) {
			return condition{}, fmt.Errorf("label %s: the check's %s %q is not UTF-8, as all labels are", m.label, m.value[i], name)
		}
		if m.isRegexp() {
			name = "(?:" + regexp.QuoteMeta(name) + ")"
		}
		parts[i] = name
	}
	text := strings.Join(parts, "")
	f := condition{label: m.label, op: m.op, value: text}
	if m.isRegexp() {
		var err error
		// As Prometheus does: the whole value, and a dot is any character.
		if f.re, err = regexp.Compile("^(?s:" + text + ")$"); err != nil {
			return condition{}, fmt.Errorf("label %s: %w", m.label, err)
		}
	}
	return f, nil
}

func fillAll(list []matcher, c analysis.Check) ([]condition, error) {
	filled := make([]condition, len(list))
	for i, m := range list {
		var err error
		if filled[i], err = m.fill(c); err != nil {
			return nil, err
		}
	}
	return filled, nil
}

// holds reports whether a label with this value is as asked. A label that is not
// there has the value "".
func (f condition) holds(value string) bool {
	switch f.op {
	case equal:
		return value == f.value
	case unequal:
		return value != f.value
	case matches:
		return f.re.MatchString(value)
	default:
		return !f.re.MatchString(value)
	}
}

// String is the condition in PromQL.
func (f condition) String() string { return f.label + string(f.op) + strconv.Quote(f.value) }

func allHold(list []condition, labels map[string]string) bool {
	return !slices.ContainsFunc(list, func(f condition) bool { return !f.holds(labels[f.label]) })
}

// either is one condition for what satisfies a or b, false where there is none.
func either(a, b condition) (condition, bool) {
	if a.op == b.op && a.value == b.value {
		return a, true
	}
	if (a.op != equal && a.op != matches) || (b.op != equal && b.op != matches) {
		return condition{}, false
	}
	return condition{label: a.label, op: matches, value: a.expression() + "|" + b.expression()}, true
}

func (f condition) expression() string {
	if f.op == equal {
		return regexp.QuoteMeta(f.value)
	}
	return "(?:" + f.value + ")"
}
