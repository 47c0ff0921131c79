// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"strings"
)

// Kind is what a token is.
type Kind uint8

// The kinds of tokens.
const (
	Word    Kind = iota + 1 // a keyword or a name
	Quoted                  // a name in quotes
	String                  // a string, without a letter before it
	Number                  // a number
	Symbol                  // one character of anything else
	Hint                    // a comment that MySQL executes: /*! … */
	Comment                 // any other comment
)

// Token is a piece of a statement.
type Token struct {
	Kind Kind
	Text string
	// Pos is its place in the text that was split, in bytes, and Line its line there. In a
	// statement between goose's annotations Pos is that from the statement's beginning.
	Pos, Line int
}

// Is says whether it is that keyword, which is in capitals.
func (t Token) Is(keyword string) bool { return t.Kind == Word && strings.EqualFold(t.Text, keyword) }

// is says whether it is that keyword or character.
func (t Token) is(what string) bool { return t.Is(what) || t.Kind == Symbol && t.Text == what }

// name is the name it stands for, if it is one.
func (t Token) name() (string, bool) {
	if t.Kind == Word {
		return t.Text, true
	}
	if t.Kind != Quoted {
		return "", false
	}
	end := t.Text[len(t.Text)-1:]
	inside := t.Text[1 : len(t.Text)-1]
	if end == "]" {
		return inside, true
	}
	return strings.ReplaceAll(inside, end+end, end), true
}

// lexed is the n bytes at which the scanner is, which are one token.
func (s *scanner) lexed(n int) Token {
	t := Token{Kind: Symbol, Text: s.text[s.at : s.at+n], Pos: s.at, Line: s.line}
	switch c := t.Text[0]; {
	case c == '\'', c == '"' && s.d == MySQL, c == '$' && n > 1 && s.d != MySQL && s.d != SQLite:
		t.Kind = String
	case c == '"', c == '`' && n > 1, c == '[' && n > 1:
		t.Kind = Quoted
	case c == '/' && n > 1:
		t.Kind = Hint
	case c >= '0' && c <= '9':
		t.Kind = Number
	case wordByte(c):
		t.Kind = Word
	}
	return t
}

// tokens reads a text that stood between goose's annotations. One that cannot be read has
// no tokens.
func tokens(text string, d Dialect, line int) (all []Token, words []string) {
	inside, err := Split(text, d, line)
	if err != nil {
		return nil, nil
	}
	for i, s := range inside {
		if i > 0 {
			all = append(all, Token{Kind: Symbol, Text: ";", Pos: s.Tokens[0].Pos, Line: s.Line})
		}
		all = append(all, s.Tokens...)
	}
	if len(inside) > 0 {
		words = inside[0].Words
	}
	return all, words
}
