// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// directive is a map or a split_clients.
type directive struct {
	name, from, to string
	pairs          [][2]string
}

// words splits a text as nginx does. A brace or a semicolon is a word of its own,
// and quoted words are told from them by their first byte, which is then a quote.
func words(text string) (list []string, err error) {
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case '{', '}', ';':
			list = append(list, text[i:i+1])
			i++
		case '"', '\'':
			word, n := unquote(text[i:])
			if n == 0 {
				return nil, errors.New("a quote is not closed")
			}
			list = append(list, `"`+word)
			i += n
		default:
			end := i + strings.IndexAny(text[i:]+";", " \t\r\n{};")
			list = append(list, text[i:end])
			i = end
		}
	}
	return list, nil
}

// unquote is the word at the start of a text that begins with a quote, and how
// much of the text it takes; 0 if it has no end.
func unquote(text string) (word string, n int) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == text[0]:
			return b.String(), i + 1
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`"'\`, text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0
}

// bare is a word without the mark of its quotes.
func bare(word string) string { return strings.TrimPrefix(word, `"`) }

// directivesOf reads maps and splits, and refuses all else.
func directivesOf(text string) (map[string]directive, error) {
	list, err := words(text)
	if err != nil {
		return nil, err
	}
	all := map[string]directive{}
	for len(list) > 0 {
		if len(list) < 5 || list[3] != "{" || list[0] != "map" && list[0] != "split_clients" {
			return nil, fmt.Errorf("%.40q begins neither a map nor a split_clients", list[0])
		}
		d := directive{name: list[0], from: bare(list[1]), to: bare(list[2])}
		for list = list[4:]; len(list) >= 3 && list[0] != "}"; list = list[3:] {
			if list[2] != ";" {
				return nil, fmt.Errorf("%s: %.40q stands where a semicolon should", d.to, list[2])
			}
			d.pairs = append(d.pairs, [2]string{bare(list[0]), bare(list[1])})
		}
		if len(list) == 0 || list[0] != "}" {
			return nil, fmt.Errorf("%s: its end is missing", d.to)
		}
		list = list[1:]
		if _, twice := all[d.to]; twice {
			return nil, fmt.Errorf("%s is there twice", d.to)
		}
		all[d.to] = d
	}
	return all, nil
}

// parse reads the directives back. What is not of their shape is foreign.
func (have *include) parse(variable string) {
	p := parser{variable: "$" + variable}
	p.all, have.foreign = directivesOf(have.text)
	if have.foreign != nil {
		return
	}
	have.generation, have.foreign = p.constant(p.variable + "_generation")
	if have.foreign != nil {
		return
	}
	have.upstream, have.foreign = p.constant(p.variable)
	if have.foreign != nil {
		have.route, have.foreign = p.route()
	}
	for name := range p.all {
		if have.foreign == nil {
			have.foreign = fmt.Errorf("%s is not part of a route", name)
		}
	}
	if have.foreign != nil {
		have.route, have.upstream = traffic.Route{}, ""
	}
}

// generationOf is what the directives of the include should be called.
func generationOf(variable string, have include) string {
	body := directives(variable, have.route)
	if have.route.IsZero() {
		body = blank(variable, have.upstream)
	}
	return sum([]byte(body))
}

// parser takes directives out of all as it understands them.
type parser struct {
	variable string
	all      map[string]directive
}

// take is the directive that defines the variable.
func (p parser) take(name, to string) (directive, error) {
	d, ok := p.all[to]
	if !ok || d.name != name {
		return d, fmt.Errorf("%s is not set by a %s", to, name)
	}
	delete(p.all, to)
	return d, nil
}

// choice is a map between a default and what one word leads to.
func (p parser) choice(to string) (d directive, word, then, otherwise string, err error) {
	d, err = p.take("map", to)
	if err != nil {
		return d, "", "", "", err
	}
	if len(d.pairs) == 2 {
		a, b := d.pairs[0], d.pairs[1]
		if a[0] == "default" {
			a, b = b, a
		}
		if b[0] == "default" && a[0] != "default" {
			return d, a[0], a[1], b[1], nil
		}
	}
	return d, "", "", "", fmt.Errorf("%s: want one word and a default", to)
}

// constant is a map that says the same for every request.
func (p parser) constant(to string) (string, error) {
	d, ok := p.all[to]
	if !ok || d.name != "map" || d.from != "$pid" || len(d.pairs) != 1 || d.pairs[0][0] != "default" {
		return "", fmt.Errorf("%s is not set to a constant", to)
	}
	delete(p.all, to)
	return d.pairs[0][1], nil
}

func (p parser) route() (route traffic.Route, err error) {
	d, word, candidate, stable, err := p.choice(p.variable)
	switch {
	case err != nil:
		return route, err
	case d.from != p.variable+"_side" || word != "candidate":
		return route, fmt.Errorf("%s does not name the upstreams of both sides", d.to)
	}
	route.Arms = traffic.Arms{Stable: stable, Candidate: candidate}
	at := d.from
	for p.all[at].name == "map" {
		var m traffic.Match
		if m, at, err = p.match(at); err != nil {
			return route, err
		}
		route.Split.Match = append(route.Split.Match, m)
	}
	if d, err = p.take("split_clients", at); err != nil {
		return route, err
	}
	if route.Split.Candidate, err = share(d); err != nil {
		return route, err
	}
	if d.from != "$request_id" {
		if route.Split.Sticky, err = p.sticky(d.from, candidate); err != nil {
			return route, err
		}
	}
	return route, errors.Join(route.Validate(), check(route))
}

// match reads one match, and which variable decides about other requests.
func (p parser) match(to string) (m traffic.Match, next string, err error) {
	d, word, then, otherwise, err := p.choice(to)
	if err != nil {
		return m, "", err
	}
	if m, err = matchOn(d.from); err != nil {
		return m, "", err
	}
	next = otherwise
	if word == "" { // nothing goes on, and anything else matches
		next, then = then, otherwise
	}
	if then != "candidate" || !strings.HasPrefix(next, "$") {
		return m, "", fmt.Errorf("%s: want the candidate or the next variable", to)
	}
	if word != "" {
		if m.Value, err = unpattern(word, m.Query != ""); err != nil {
			return m, "", fmt.Errorf("%s: %w", to, err)
		}
	}
	return m, next, nil
}

// matchOn is the reverse of source.
func matchOn(variable string) (m traffic.Match, err error) {
	if name, ok := strings.CutPrefix(variable, "$http_"); ok {
		m.Header = strings.ReplaceAll(name, "_", "-")
	} else if name, ok := strings.CutPrefix(variable, "$cookie_"); ok {
		m.Cookie = name
	} else if name, ok := strings.CutPrefix(variable, "$arg_"); ok {
		m.Query = name
	}
	if m == (traffic.Match{}) {
		return m, fmt.Errorf("%s is neither a header nor a cookie nor a parameter", variable)
	}
	return m, nil
}

func (p parser) sticky(key, candidate string) (traffic.Sticky, error) {
	if key != p.variable+"_key" {
		return traffic.Sticky{}, fmt.Errorf("%s splits by neither chance nor a key", key)
	}
	d, word, then, otherwise, err := p.choice(key)
	if err != nil {
		return traffic.Sticky{}, err
	}
	m, err := matchOn(d.from)
	if err != nil {
		return traffic.Sticky{}, err
	}
	if word != "" || then != "$request_id" || otherwise != candidate+"/"+d.from || m.Query != "" {
		return traffic.Sticky{}, fmt.Errorf("%s is not the key of a client", key)
	}
	return traffic.Sticky{Cookie: m.Cookie, Header: m.Header}, nil
}

// share is the candidate's part of a split.
func share(d directive) (traffic.Weight, error) {
	wrong := fmt.Errorf("%s: want a share of the candidate, and the rest to stable", d.to)
	switch len(d.pairs) {
	case 1:
		switch d.pairs[0] {
		case [2]string{"*", "stable"}:
			return 0, nil
		case [2]string{"*", "candidate"}:
			return traffic.Full, nil
		}
	case 2:
		if d.pairs[0][1] != "candidate" || d.pairs[1] != [2]string{"*", "stable"} {
			return 0, wrong
		}
		w, err := traffic.ParseWeight(d.pairs[0][0])
		if err != nil || w%step != 0 {
			return 0, wrong
		}
		return w, nil
	}
	return 0, wrong
}

// unpattern is the reverse of pattern: it takes one byte after the other, and
// trusts only what would be written again in the same way.
func unpattern(text string, query bool) (string, error) {
	m := traffic.Match{Header: "x"}
	if query {
		m = traffic.Match{Query: "x"}
	}
	var value strings.Builder
	rest := strings.TrimPrefix(strings.TrimSuffix(text, `\z`), "~^")
	for rest != "" {
		c, n, ok := unescape(rest, query)
		if !ok {
			break
		}
		value.WriteByte(c)
		rest = rest[n:]
	}
	if m.Value = value.String(); m.Value == "" || pattern(m) != text {
		return "", fmt.Errorf("%.60q is not the pattern of a value", text)
	}
	return m.Value, nil
}

// unescape is the first byte of a pattern, and how long it is there.
func unescape(text string, query bool) (c byte, n int, ok bool) {
	encode := plainByte
	if query {
		encode = queryByte
	}
	for _, c := range candidates(text) {
		if e := encode(c); strings.HasPrefix(text, e) {
			return c, len(e), true
		}
	}
	return 0, 0, false
}

// candidates are the bytes that the pattern may begin with.
func candidates(text string) []byte {
	text = strings.TrimPrefix(text, "(?:")
	switch {
	case strings.HasPrefix(text, `\x`) && len(text) >= 4:
		c, err := strconv.ParseUint(text[2:4], 16, 8)
		if err != nil {
			return nil
		}
		return []byte{byte(c), ' '} // a plus stands for a space
	case strings.HasPrefix(text, "%"):
		return []byte("+%&#;")
	case text != "":
		return []byte{text[0]}
	}
	return nil
}
