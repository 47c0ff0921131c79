// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"slices"
	"strings"
)

// parser goes through tokens.
type parser []Token

// is says whether the next words are these, which are in capitals.
func (p parser) is(words ...string) bool {
	if len(p) < len(words) {
		return false
	}
	for i, w := range words {
		if !p[i].is(w) {
			return false
		}
	}
	return true
}

// accept skips the next words if they are these.
func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	*p = (*p)[len(words):]
	return true
}

// acceptAny skips whichever of these words come next.
func (p *parser) acceptAny(words ...string) {
	for len(*p) > 0 && slices.ContainsFunc(words, (*p)[0].Is) {
		*p = (*p)[1:]
	}
}

// exists skips IF EXISTS or IF NOT EXISTS.
func (p *parser) exists() bool { return p.accept("IF", "NOT", "EXISTS") || p.accept("IF", "EXISTS") }

// ref is a name with its schema, if one is given.
type ref struct{ schema, name string }

// String is as it is compared: the default schemas are as good as none, and letters are
// small.
func (r ref) String() string {
	schema, name := strings.ToLower(r.schema), strings.ToLower(r.name)
	if schema == "" || schema == "public" || schema == "main" {
		return name
	}
	return schema + "." + name
}

// ref reads a name.
func (p *parser) ref() (ref, bool) {
	first, ok := p.name()
	if !ok || !p.accept(".") {
		return ref{name: first}, ok
	}
	second, ok := p.name()
	if p.accept(".") { // a database's name before
		first = second
		second, ok = p.name()
	}
	return ref{schema: first, name: second}, ok
}

// name reads one name.
func (p *parser) name() (string, bool) {
	if len(*p) == 0 {
		return "", false
	}
	n, ok := (*p)[0].name()
	if ok {
		*p = (*p)[1:]
	}
	return n, ok
}

// refs reads names with commas between.
func (p *parser) refs() []ref {
	var all []ref
	for {
		r, ok := p.ref()
		if !ok {
			return all
		}
		all = append(all, r)
		if !p.accept(",") {
			return all
		}
	}
}

// has says whether those words come one after another anywhere.
func (p parser) has(words ...string) bool { return p.index(words...) >= 0 }

func (p parser) index(words ...string) int {
	for i := range p {
		if p[i:].is(words...) {
			return i
		}
	}
	return -1
}

// top is has, outside parentheses.
func (p parser) top(words ...string) bool {
	depth := 0
	for i, t := range p {
		switch {
		case t.Text == "(" && t.Kind == Symbol:
			depth++
		case t.Text == ")" && t.Kind == Symbol:
			depth--
		case depth == 0 && p[i:].is(words...):
			return true
		}
	}
	return false
}

// parts splits at the commas outside parentheses.
func (p parser) parts() []parser {
	var all []parser
	depth, from := 0, 0
	for i, t := range p {
		switch {
		case t.Kind != Symbol:
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case t.Text == "," && depth == 0:
			all = append(all, p[from:i])
			from = i + 1
		}
	}
	return append(all, p[from:])
}

// after is what follows those words.
func (p parser) after(words ...string) parser {
	if i := p.index(words...); i >= 0 {
		return p[i+len(words):]
	}
	return nil
}
