// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"fmt"
	"slices"
	"strings"
)

// Dialect says whose quotes and comments a script has.
type Dialect uint8

// The dialects. Generic is the union of the others where they do not contradict each other.
const (
	Generic Dialect = iota
	Postgres
	MySQL
	SQLite
)

// Of is the dialect of a database of that name, or Generic.
func Of(name string) Dialect {
	switch name {
	case "postgres":
		return Postgres
	case "mysql":
		return MySQL
	case "sqlite":
		return SQLite
	default:
		return Generic
	}
}

// Statement is one statement without its delimiter, and without comments before and after.
type Statement struct {
	Text string
	// Line is where Text begins.
	Line int
	// Words are the first few bare words, in upper case: CREATE, UNIQUE, INDEX.
	Words []string
	// Tokens are all of it. Comments are those before it, from the end of the statement
	// before, and within it.
	Tokens, Comments []Token
}

// Error is what is wrong with a script, and on which line it began.
type Error struct {
	Line int
	Why  string
}

// Error is the line and the reason.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// Split splits a script whose first line is number line. An error is an *Error.
func Split(text string, d Dialect, line int) ([]Statement, error) {
	s := scanner{text: text, d: d, line: line, delimiter: ";"}
	for s.at < len(s.text) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	if s.blockLine > 0 {
		return nil, &Error{Line: s.blockLine, Why: "StatementBegin without StatementEnd"}
	}
	if s.depth > 0 {
		return nil, &Error{Line: s.begunLine, Why: "BEGIN or CASE without END"}
	}
	s.end()
	return s.all, nil
}

// scanner is at one byte of a script.
type scanner struct {
	text string
	d    Dialect
	at   int
	line int
	all  []Statement

	delimiter string
	// The statement goes from begun to last, once there is something of it.
	some                   bool
	begun, begunLine, last int
	words                  []string
	routine                bool // its body may have semicolons
	depth                  int  // of BEGIN and CASE
	previous               string
	blockLine              int // of StatementBegin; 0 is outside
	tokens, comments       []Token
}

const manyWords = 8

// next reads one token.
func (s *scanner) next() error {
	rest := s.text[s.at:]
	c := rest[0]
	switch {
	case c == ' ', c == '\t', c == '\r', c == '\n', c == '\f', c == '\v':
		s.skip(1)
		return nil
	case s.comment(rest):
		return s.skipLine(rest)
	case strings.HasPrefix(rest, "/*"):
		return s.block(rest)
	case s.blockLine > 0: // everything up to StatementEnd is one statement
		s.token(1, "")
		return nil
	case strings.HasPrefix(rest, s.delimiter) && s.depth == 0:
		s.end()
		s.skip(len(s.delimiter))
		return nil
	case c == '\'':
		return s.quoted('\'', s.d == MySQL || s.previous == "E'")
	case c == '"':
		return s.quoted('"', s.d == MySQL)
	case c == '`' && s.d != Postgres:
		return s.quoted('`', false)
	case c == '[' && s.d == SQLite:
		return s.quoted(']', false)
	case c == '$' && (s.d == Postgres || s.d == Generic):
		return s.dollar(rest)
	case c == '\\' && !s.some && s.d != MySQL:
		return &Error{Line: s.line, Why: "commands of psql are not SQL"}
	case wordByte(c):
		return s.word(rest)
	}
	s.token(1, rest[:1])
	return nil
}

// skip passes over n bytes that belong to no statement, or to the middle of one.
func (s *scanner) skip(n int) {
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
}

// token takes n bytes as part of the statement.
func (s *scanner) token(n int, what string) {
	if !s.some {
		s.some, s.begun, s.begunLine = true, s.at, s.line
	}
	if s.blockLine == 0 {
		s.tokens = append(s.tokens, s.lexed(n))
	}
	s.skip(n)
	s.last, s.previous = s.at, what
}

// end ends the statement, if there is something of it.
func (s *scanner) end() {
	if s.some {
		text := s.text[s.begun:s.last]
		if s.tokens == nil { // between StatementBegin and StatementEnd nothing was read
			s.tokens, s.words = tokens(text, s.d, s.begunLine)
		}
		s.all = append(s.all, Statement{Text: text, Line: s.begunLine, Words: s.words, Tokens: s.tokens, Comments: s.comments})
		s.tokens, s.comments = nil, nil
	}
	s.some, s.words, s.routine, s.depth, s.previous = false, nil, false, 0, ""
}

// comment says whether a comment to the end of the line begins here.
func (s *scanner) comment(rest string) bool {
	if rest[0] == '#' {
		return s.d == MySQL
	}
	if !strings.HasPrefix(rest, "--") {
		return false
	}
	return s.d != MySQL || len(rest) == 2 || rest[2] <= ' '
}

// skipLine passes over a comment, unless it is a directive.
func (s *scanner) skipLine(rest string) error {
	line, _, _ := strings.Cut(rest, "\n")
	switch strings.ToLower(Directive(line)) {
	case "+goose statementbegin":
		if s.blockLine > 0 {
			return &Error{Line: s.line, Why: "StatementBegin inside StatementBegin"}
		}
		s.end()
		s.blockLine = s.line
	case "+goose statementend":
		if s.blockLine == 0 {
			return &Error{Line: s.line, Why: "StatementEnd without StatementBegin"}
		}
		s.blockLine = 0
		if s.some { // the delimiter is not part of a statement
			text := strings.TrimRight(s.text[s.begun:s.last], "; \t\r\n")
			s.last = s.begun + len(text)
			s.some = text != ""
		}
		s.end()
	}
	s.comments = append(s.comments, Token{Kind: Comment, Text: line, Pos: s.at, Line: s.line})
	s.skip(len(line))
	return nil
}

// Directive is what a comment to the end of a line says, in one space between words, or
// nothing if the line is no comment.
func Directive(line string) string {
	text, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
	if !ok {
		return ""
	}
	return strings.Join(strings.Fields(text), " ")
}

// block passes over a comment in slashes and stars. PostgreSQL nests them, and MySQL runs
// those with an exclamation mark.
func (s *scanner) block(rest string) error {
	depth, i := 1, 2
	for depth > 0 {
		switch {
		case i >= len(rest):
			return &Error{Line: s.line, Why: "comment without end"}
		case strings.HasPrefix(rest[i:], "*/"):
			depth, i = depth-1, i+2
		case strings.HasPrefix(rest[i:], "/*") && (s.d == Postgres || s.d == Generic):
			depth, i = depth+1, i+2
		default:
			i++
		}
	}
	if s.blockLine > 0 || s.d == MySQL && (strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!")) {
		s.token(i, "")
		return nil
	}
	s.comments = append(s.comments, Token{Kind: Comment, Text: rest[:i], Pos: s.at, Line: s.line})
	s.skip(i)
	return nil
}

// quoted takes a string or a quoted name. The quote, doubled, stands for itself.
func (s *scanner) quoted(quote byte, backslash bool) error {
	rest := s.text[s.at:]
	for i := 1; i < len(rest); i++ {
		switch {
		case backslash && rest[i] == '\\':
			i++
		case rest[i] != quote:
		case quote != ']' && i+1 < len(rest) && rest[i+1] == quote:
			i++
		default:
			s.token(i+1, "")
			return nil
		}
	}
	return &Error{Line: s.line, Why: fmt.Sprintf("%c without its other end", rest[0])}
}

// dollar takes a dollar quote, or a dollar.
func (s *scanner) dollar(rest string) error {
	n := 1
	for n < len(rest) && wordByte(rest[n]) && rest[n] != '$' && (n > 1 || rest[n] < '0' || rest[n] > '9') {
		n++
	}
	if n >= len(rest) || rest[n] != '$' {
		s.token(1, "")
		return nil
	}
	tag := rest[:n+1]
	i := strings.Index(rest[n+1:], tag)
	if i < 0 {
		return &Error{Line: s.line, Why: tag + " without its other end"}
	}
	s.token(n+1+i+len(tag), "")
	return nil
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// word takes a word, and counts those that open and close a body.
func (s *scanner) word(rest string) error {
	n := 1
	for n < len(rest) && wordByte(rest[n]) && !strings.HasPrefix(rest[n:], s.delimiter) {
		n++
	}
	word := strings.ToUpper(rest[:n])
	if !s.some && word == "DELIMITER" && (s.d == MySQL || s.d == Generic) {
		return s.setDelimiter(rest[n:])
	}
	if word == "E" && n < len(rest) && rest[n] == '\'' && s.d != MySQL && s.d != SQLite {
		s.token(n, "E'")
		return nil
	}
	before := s.previous
	if len(s.words) < manyWords {
		s.words = append(s.words, word)
		s.routine = s.routine || makesRoutine(s.words)
	}
	s.token(n, word)
	if s.routine && s.delimiter == ";" && before != "." {
		s.body(word, before)
	}
	return nil
}

// setDelimiter reads the command of MySQL's client.
func (s *scanner) setDelimiter(rest string) error {
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return &Error{Line: s.line, Why: "DELIMITER without a delimiter"}
	}
	s.delimiter = fields[0]
	s.skip(len("DELIMITER") + len(line))
	return nil
}

// makesRoutine says whether a statement that begins so may have a body of statements.
func makesRoutine(words []string) bool {
	return words[0] == "CREATE" && slices.ContainsFunc(words[1:], func(w string) bool {
		return w == "TRIGGER" || w == "FUNCTION" || w == "PROCEDURE" || w == "EVENT"
	})
}

// body counts BEGIN and CASE up, and their END down.
func (s *scanner) body(word, before string) {
	switch word {
	case "BEGIN":
		// PostgreSQL's are in dollar quotes, unless they are ATOMIC.
		if s.d == Postgres {
			return
		}
		if s.depth == 0 || slices.Contains([]string{";", "BEGIN", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":"}, before) {
			s.depth++
		}
	case "ATOMIC":
		if s.d == Postgres && before == "BEGIN" {
			s.depth++
		}
	case "CASE":
		if before != "END" {
			s.depth++
		}
	case "END":
		if s.depth > 0 && !s.endsLoop() {
			s.depth--
		}
	}
}

// endsLoop says whether the word after END is that of a statement that is not counted.
func (s *scanner) endsLoop() bool {
	fields := strings.FieldsFunc(s.text[s.at:min(len(s.text), s.at+40)], func(r rune) bool { return r <= ' ' || r == ';' || r == '\'' || r == '(' })
	after := strings.TrimLeft(s.text[s.at:], " \t\r\n")
	if len(fields) == 0 || !strings.HasPrefix(after, fields[0]) {
		return false
	}
	return s.d != SQLite && slices.Contains([]string{"IF", "LOOP", "WHILE", "REPEAT", "FOR"}, strings.ToUpper(fields[0]))
}
