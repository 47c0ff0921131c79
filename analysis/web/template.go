// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
)

// placeholder is what a check has for a name in braces.
type placeholder struct {
	// number says that it is made of digits, and a sign at most.
	number bool
	of     func(c analysis.Check) string
}

var placeholders = map[string]placeholder{
	"service":   {of: func(c analysis.Check) string { return c.Service }},
	"lane":      {of: func(c analysis.Check) string { return c.Lane }},
	"target":    {of: func(c analysis.Check) string { return c.Target }},
	"stable":    {of: func(c analysis.Check) string { return c.Stable }},
	"candidate": {of: func(c analysis.Check) string { return c.Candidate }},
	"run":       {true, func(c analysis.Check) string { return strconv.FormatUint(c.Run, 10) }},
	"step":      {true, func(c analysis.Check) string { return strconv.Itoa(c.Step) }},

	"since": moment(since), "since.unix": seconds(since), "since.ms": milliseconds(since),
	"until": moment(until), "until.unix": seconds(until), "until.ms": milliseconds(until),
	"exposed": moment(began), "exposed.unix": seconds(began), "exposed.ms": milliseconds(began),
}

const allPlaceholders = "service, lane, target, stable, candidate, run, step, since, until, exposed; with .unix or .ms behind the last three"

func until(c analysis.Check) time.Time { return c.Until }

// since is when the window or the step began.
func since(c analysis.Check) time.Time {
	if c.Since.IsZero() {
		return c.Until
	}
	return c.Since
}

// began is when the candidate got its first request, as far as the check knows.
func began(c analysis.Check) time.Time {
	if c.Exposed.IsZero() {
		return since(c)
	}
	return c.Exposed
}

func moment(at func(analysis.Check) time.Time) placeholder {
	return placeholder{of: func(c analysis.Check) string { return at(c).UTC().Format(time.RFC3339Nano) }}
}

func seconds(at func(analysis.Check) time.Time) placeholder {
	return placeholder{true, func(c analysis.Check) string { return strconv.FormatInt(at(c).Unix(), 10) }}
}

func milliseconds(at func(analysis.Check) time.Time) placeholder {
	return placeholder{true, func(c analysis.Check) string { return strconv.FormatInt(at(c).UnixMilli(), 10) }}
}

// template is text with placeholders: each part is one, after the text before it.
type template []part

type part struct {
	before string
	name   string // "" at the end
	placeholder
}

// parse finds the placeholders in text. Braces that hold anything but lower case
// letters and dots are text where loose is set, as in JSON, and a mistake otherwise.
func parse(text string, loose bool) (template, error) {
	var t template
	before := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '{' && text[i] != '}' {
			continue
		}
		n := 0
		if text[i] == '{' {
			n = strings.IndexByte(text[i:], '}')
		}
		name := ""
		if n > 1 {
			name = text[i+1 : i+n]
		}
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '.' }) {
			if loose {
				continue
			}
			return nil, fmt.Errorf("a brace at byte %d holds no placeholder: want one of %s", i, allPlaceholders)
		}
		p, ok := placeholders[name]
		if !ok {
			return nil, fmt.Errorf("placeholder {%s}: want one of %s", name, allPlaceholders)
		}
		t = append(t, part{text[before:i], name, p})
		i += n
		before = i + 1
	}
	return append(t, part{before: text[before:]}), nil
}

// fill is the text with what value says of each placeholder.
func (t template) fill(value func(p part) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.before)
		if p.name == "" {
			break
		}
		v, err := value(p)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// escaped fills t with what c has, escaped.
func (t template) escaped(c analysis.Check, escape func(string) string) string {
	text, _ := t.fill(func(p part) (string, error) { return escape(p.of(c)), nil }) // it has no error
	return text
}

// sample fills t with something that is like what will be there.
func (t template) sample() string {
	text, _ := t.fill(func(p part) (string, error) { // it has no error
		if p.number {
			return "1", nil
		}
		return "x", nil
	})
	return text
}

// address is a URL whose path and query have placeholders.
type address struct {
	origin      string // scheme and host
	path, query template
	hasQuery    bool
}

var errNoURL = errors.New("want a URL such as https://stats.example.com/v1/{service}")

// parseAddress never has text in its errors: there may be a key in it.
func parseAddress(text string) (address, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return address{}, errors.New("it has a character that must be percent-encoded")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return address{}, errNoURL
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host := rest[:end]
	switch {
	case host == "":
		return address{}, errNoURL
	case strings.Contains(host, "@"):
		return address{}, errors.New("it has a user: set the header Authorization instead")
	case strings.ContainsAny(host, "{}"):
		return address{}, errors.New("a placeholder cannot stand in the host")
	case strings.Contains(rest, "#"):
		return address{}, errors.New("it has a fragment, which is never sent")
	}
	path, query, hasQuery := strings.Cut(rest[end:], "?")
	a := address{origin: scheme + "://" + host, hasQuery: hasQuery}
	var err error
	if a.path, err = parse(path, false); err != nil {
		return address{}, fmt.Errorf("path: %w", err)
	}
	if a.query, err = parse(query, false); err != nil {
		return address{}, fmt.Errorf("query: %w", err)
	}
	if _, err := url.Parse(a.origin + a.path.sample()); err != nil {
		return address{}, errNoURL
	}
	if _, err := url.ParseQuery(a.query.sample()); err != nil {
		return address{}, errors.New("query: want name=value pairs, percent-encoded and joined by &")
	}
	return a, stays(a.path.sample())
}

// url is the address for c.
func (a address) url(c analysis.Check) (*url.URL, error) {
	path, err := a.path.fill(func(p part) (string, error) {
		v := p.of(c)
		if v == "" {
			return "", fmt.Errorf("{%s} is empty and stands in the path", p.name)
		}
		return url.PathEscape(v), nil
	})
	if err != nil {
		return nil, err
	}
	if err := stays(path); err != nil {
		return nil, err
	}
	u, err := url.Parse(a.origin + path)
	if err != nil {
		return nil, errNoURL // its error has the URL in it
	}
	u.RawQuery = a.query.escaped(c, url.QueryEscape)
	return u, nil
}

// stays reports a path that leads upwards for a server that decodes it too early.
func stays(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return errNoURL
		}
		for element := range strings.FieldsFuncSeq(plain, func(r rune) bool { return r == '/' || r == '\\' }) {
			if element == "." || element == ".." {
				return errors.New("the path leads upwards by dots")
			}
		}
	}
	return nil
}

// parseBody is JSON whose text placeholders stand in strings: elsewhere the sample
// is not JSON.
func parseBody(text string) (template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := parse(text, true)
	if err != nil {
		return nil, err
	}
	if !json.Valid([]byte(t.sample())) {
		return nil, errors.New("it is not JSON; a placeholder that is text must stand inside of a string")
	}
	return t, nil
}

// inString is v as it is written within the quotes of a JSON string.
func inString(v string) string {
	quoted, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a string is no JSON: " + err.Error())
	}
	return string(quoted[1 : len(quoted)-1])
}
