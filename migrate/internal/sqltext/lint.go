// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Finding is what is wrong with a statement.
type Finding struct {
	// Rule is its name, as in an allowance: "drop-column".
	Rule string
	// Op is the statement in short, without any literal.
	Op, Why, Fix string
	Line         int
	// Table is the one it is about. A finding that is Sized says nothing about a table that
	// has no rows.
	Table string
	Sized bool
	// Broken says that the statement cannot do what it says, wherever it is run.
	Broken bool

	at     ref
	column string // that a check may have proven not to be null
}

// Unless are queries of one boolean. Where one of them is true, the finding says nothing
// about the database that answers it: the table is not there yet, has no rows, or a check
// has proven what is asked for. A query may fail.
func (f Finding) Unless(d Dialect) []string {
	if f.at.name == "" || f.Broken {
		return nil
	}
	name := f.at.quoted(d)
	var queries []string
	switch d {
	case Postgres:
		queries = []string{"SELECT to_regclass(" + literal(name) + ") IS NULL"}
		if f.column != "" {
			check := "CHECK ((" + f.column + " IS NOT NULL))"
			queries = append(queries, "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass("+literal(name)+
				") AND convalidated AND pg_get_constraintdef(oid) = "+literal(check)+")")
		}
	case MySQL:
		queries = []string{there("SELECT 1 FROM information_schema.tables"+where(f.at), false)}
	case SQLite:
		queries = []string{"SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = " + literal(f.at.name) + " COLLATE NOCASE)"}
	case Generic:
		return nil
	}
	if f.Sized {
		queries = append(queries, "SELECT NOT EXISTS (SELECT 1 FROM "+name+")")
	}
	return queries
}

// Linter finds what would stop the users of a database, or break those of the version
// before. It is given the scripts of one batch in order, and remembers what they make: a
// table that nobody has used yet can be changed at will.
type Linter struct {
	d Dialect
	// made are tables of this batch, and added "table.column" its columns.
	made, added map[string]bool
	// notNull are checks of a column's not being null, by "table.constraint"; those whose
	// column is in proven have been validated.
	notNull map[string]string
	proven  map[string]bool

	// of one script
	findings []Finding
	whole    bool
	at       Statement
	locked   map[string]string // the tables locked against everybody, and by what
}

// NewLinter makes one for a batch of scripts.
func NewLinter(d Dialect) *Linter {
	return &Linter{d: d, made: map[string]bool{}, added: map[string]bool{}, notNull: map[string]string{}, proven: map[string]bool{}}
}

// Lint finds what is wrong with a script. whole says that it is one transaction. What a
// comment allows is left out; a comment that is wrong is an *Error.
func (l *Linter) Lint(all []Statement, whole bool) ([]Finding, error) {
	l.findings, l.whole, l.locked = nil, whole, map[string]string{}
	for _, s := range all {
		allowed, err := allows(s.Comments)
		if err != nil {
			return nil, err
		}
		from := len(l.findings)
		for _, piece := range s.pieces() {
			l.at = piece
			l.transaction()
			switch p := parser(piece.Tokens); l.d {
			case Postgres:
				l.statement(p.folded())
			case MySQL, SQLite:
				l.statement(p)
			case Generic:
			}
		}
		kept := slices.DeleteFunc(slices.Clone(l.findings[from:]), func(f Finding) bool { return allowed[f.Rule] })
		l.findings = append(l.findings[:from], kept...)
	}
	return l.findings, nil
}

// pieces are the statements that goose's annotations made one.
func (s Statement) pieces() []Statement {
	if len(s.Words) == 0 || makesRoutine(s.Words) {
		return []Statement{s}
	}
	var all []Statement
	rest := s.Tokens
	for i, t := range slices.Backward(s.Tokens) {
		if t.Text == ";" && t.Kind == Symbol && i+1 < len(rest) {
			all = append(all, Statement{Line: rest[i+1].Line, Tokens: rest[i+1:]})
			rest = rest[:i]
		}
	}
	all = append(all, Statement{Line: s.Line, Tokens: rest})
	slices.Reverse(all)
	return all
}

// Rules are the names of all rules.
func Rules() []string { return slices.Sorted(maps.Keys(rules)) }

var rules = map[string]string{
	"add-check":           "a check that looks at every row under a lock",
	"add-column-not-null": "a column that the version before does not fill",
	"add-foreign-key":     "a reference that looks at every row under locks on two tables",
	"add-unique":          "a constraint that builds an index under a lock",
	"algorithm":           "an ALTER that may copy the table",
	"change-type":         "a column's type changed under those who use it",
	"copy-stdin":          "rows that a client would have to send",
	"create-index":        "an index built under a lock",
	"drop-column":         "a column that the version before needs",
	"drop-index":          "an index dropped under a lock",
	"drop-schema":         "everything in a schema",
	"drop-table":          "a table that the version before needs",
	"lock-table":          "a lock held by hand",
	"long-lock":           "a strong lock held while something else is done",
	"not-in-transaction":  "a statement that cannot be in a transaction",
	"refresh":             "a view refreshed under a lock",
	"rename-column":       "a column under another name",
	"rename-table":        "a table under another name",
	"rewrite":             "a table rewritten under a lock",
	"session-setting":     "a setting that stays in the connection",
	"set-not-null":        "every row looked at under a lock",
	"transaction-control": "a transaction within a transaction",
	"truncate":            "all rows",
	"unbounded-write":     "every row written at once",
	"volatile-default":    "every row rewritten for a default",
}

const allowMark = "migrate:allow"

// allows reads allowances: "-- migrate:allow drop-column nobody has read it since v41".
func allows(comments []Token) (map[string]bool, error) {
	var allowed map[string]bool
	for _, c := range comments {
		for i, line := range strings.Split(c.Text, "\n") {
			words := strings.Fields(strings.TrimSuffix(strings.Trim(line, "-/*# \t"), "*/"))
			if len(words) == 0 || words[0] != allowMark {
				continue
			}
			fail := func(why string) error { return &Error{Line: c.Line + i, Why: why} }
			switch {
			case len(words) == 1:
				return nil, fail(allowMark + " names no rule: write the rule and the reason")
			case rules[words[1]] == "":
				return nil, fail(fmt.Sprintf("there is no rule %q to allow; there are %s", words[1], strings.Join(Rules(), ", ")))
			case len(words) == 2:
				return nil, fail(allowMark + " " + words[1] + " gives no reason: say after the rule why it is safe here")
			}
			if allowed == nil {
				allowed = map[string]bool{}
			}
			allowed[words[1]] = true
		}
	}
	return allowed, nil
}

// Short is the beginning of a statement, up to its first literal, which may be secret.
func (s Statement) Short() string {
	const most = 60
	var b strings.Builder
	end := 0
	for _, t := range s.Tokens {
		if t.Kind == String || t.Kind == Hint || b.Len()+len(t.Text) > most {
			b.WriteString(" …")
			break
		}
		if end > 0 && t.Pos > end {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
		end = t.Pos + len(t.Text)
	}
	return b.String()
}

func (l *Linter) add(f Finding) {
	f.Op, f.Line = l.at.Short(), l.at.Line
	l.findings = append(l.findings, f)
}

// refuse adds a finding about a table, unless this batch has made it.
func (l *Linter) refuse(rule string, t ref, sized bool, why, fix string) {
	if !l.made[t.String()] {
		l.add(Finding{Rule: rule, Table: t.name, Sized: sized, Why: why, Fix: fix, at: t})
	}
}

// transaction finds what does not work in a transaction, or outside one.
func (l *Linter) transaction() {
	p := parser(l.at.Tokens)
	switch {
	case l.at.Control():
		why := "the script is a transaction already, together with the record of it, and this would split them"
		if !l.whole {
			why = "each statement is recorded by itself, and this would leave a transaction open in a connection that others use"
		}
		l.add(Finding{Rule: "transaction-control", Broken: true, Why: why, Fix: "remove it"})
	case l.whole && l.d != MySQL && l.at.Alone(l.d) && !p.is("PRAGMA"):
		l.add(Finding{
			Rule: "not-in-transaction", Broken: true, Why: "the database refuses it within a transaction",
			Fix: "put it in a file of its own that says -- migrate:up transaction:false",
		})
	case l.d == SQLite && p.is("PRAGMA") && l.at.Alone(SQLite) && (p.has("=") || p.has("(")):
		l.add(Finding{
			Rule: "session-setting", Broken: true, Why: "it sets one connection, and does nothing within a transaction",
			Fix: "set it where the database is opened; PRAGMA defer_foreign_keys = on works within a transaction, until its end",
		})
	case l.d == Postgres && p.is("SET") && !p.is("SET", "LOCAL") && !p.is("SET", "CONSTRAINTS") && !p.is("SET", "TRANSACTION"),
		l.d == Postgres && p.is("RESET"):
		l.add(Finding{
			Rule: "session-setting", Broken: true, Why: "it stays set in a connection that others use afterwards", Fix: "write SET LOCAL, within a transaction",
		})
	case l.d == MySQL && p.is("SET") && (!p.is("SET", "@") || p.is("SET", "@", "@")) && !p.is("SET", "GLOBAL"), l.d == MySQL && p.is("USE"):
		l.add(Finding{
			Rule: "session-setting", Broken: true, Why: "it stays set in a connection that others use afterwards, and the next statement may have another one",
			Fix: "set it where the database is opened",
		})
	case p.is("COPY") && p.has("FROM", "STDIN"):
		l.add(Finding{Rule: "copy-stdin", Broken: true, Why: "its rows would have to be sent by a client", Fix: "write INSERT statements"})
	}
}

// Removes says that the finding is that something old goes, and nothing else.
func (f Finding) Removes() bool {
	switch f.Rule {
	case "drop-column", "drop-table", "drop-schema", "rename-column", "rename-table":
		return true
	}
	return false
}
