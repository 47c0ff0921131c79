// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"slices"
	"strings"
)

// Control says whether the statement begins or ends a transaction.
func (s Statement) Control() bool {
	p := parser(s.Tokens)
	return p.is("COMMIT") || p.is("ROLLBACK") && !p.has("TO") || p.is("ABORT") || p.is("START", "TRANSACTION") ||
		p.begins() || p.is("END") || p.is("PREPARE", "TRANSACTION") || p.is("XA")
}

// begins says whether it is BEGIN with nothing but its options.
func (p parser) begins() bool { return p.is("BEGIN") && len(p) <= 4 }

// Unwrap drops a BEGIN before and a COMMIT after everything else.
func Unwrap(all []Statement) []Statement {
	if len(all) < 2 {
		return all
	}
	first, last := parser(all[0].Tokens), parser(all[len(all)-1].Tokens)
	if (first.begins() || first.is("START", "TRANSACTION")) && (last.is("COMMIT") || last.is("END")) {
		return all[1 : len(all)-1]
	}
	return all
}

// Alone says whether the statement cannot be in a transaction together with anything
// else: the database refuses it there, or commits by itself before and after it.
func (s Statement) Alone(d Dialect) bool {
	p := parser(s.Tokens)
	switch d {
	case MySQL:
		return !p.is("INSERT") && !p.is("UPDATE") && !p.is("DELETE") && !p.is("REPLACE") && !p.is("SELECT") &&
			!p.is("WITH") && !p.is("VALUES") && !p.is("DO") && (!p.is("SET") || p.is("SET", "PASSWORD"))
	case SQLite:
		return p.is("VACUUM") || p.is("ATTACH") || p.is("DETACH") || p.is("PRAGMA") && !p.has("DEFER_FOREIGN_KEYS")
	case Postgres:
		return p.concurrently() || p.is("VACUUM") || p.is("CREATE", "DATABASE") || p.is("DROP", "DATABASE") ||
			p.is("CREATE", "TABLESPACE") || p.is("DROP", "TABLESPACE") || p.is("ALTER", "SYSTEM") || p.is("CALL") ||
			p.is("REINDEX", "DATABASE") || p.is("REINDEX", "SYSTEM") || p.is("REINDEX", "SCHEMA") || p.is("DO") || p.is("CLUSTER") && len(p) == 1 ||
			(p.is("CREATE", "SUBSCRIPTION") || p.is("DROP", "SUBSCRIPTION")) || p.is("DISCARD", "ALL")
	default:
		return false
	}
}

// concurrently says whether PostgreSQL does it in transactions of its own.
func (p parser) concurrently() bool {
	q := p
	if q.accept("CREATE") {
		q.acceptAny("UNIQUE")
		return q.is("INDEX", "CONCURRENTLY")
	}
	return p.is("DROP", "INDEX", "CONCURRENTLY") || p.is("REINDEX") && p.has("CONCURRENTLY") ||
		p.is("ALTER", "TABLE") && p.has("DETACH", "PARTITION") && p.has("CONCURRENTLY")
}

// Recheck is how it can be told, after a crash, whether a statement was done.
type Recheck struct {
	// Holds is a query of one boolean. Empty is none.
	Holds string
	// Clean removes what a failed attempt leaves.
	Clean []string
	// Again says that doing it twice is as good as once.
	Again bool
}

// Recheck is how to tell whether a statement that is Alone was done.
func (s Statement) Recheck(d Dialect) Recheck {
	p := parser(s.Tokens)
	again := p.is("VACUUM") || p.is("ANALYZE") || p.is("REINDEX") || p.is("OPTIMIZE") || p.is("PRAGMA") || p.is("CLUSTER") ||
		p.is("TRUNCATE") || p.is("CREATE", "OR", "REPLACE") || p.is("ALTER", "SYSTEM") || p.is("DISCARD")
	switch {
	case again:
		return Recheck{Again: true}
	case d == Postgres:
		return recheckPostgres(p)
	case d == MySQL:
		return recheckMySQL(p)
	}
	return Recheck{}
}

// folded has the words as PostgreSQL reads them, in small letters.
func (p parser) folded() parser {
	p = slices.Clone(p)
	for i := range p {
		if p[i].Kind == Word {
			p[i].Text = strings.ToLower(p[i].Text)
		}
	}
	return p
}

func recheckPostgres(p parser) Recheck {
	p = p.folded()
	if p.accept("CREATE", "DATABASE") {
		if n, ok := p.name(); ok {
			return Recheck{Holds: "SELECT EXISTS (SELECT FROM pg_database WHERE datname = " + literal(n) + ")"}
		}
	}
	if p.accept("DROP", "INDEX", "CONCURRENTLY") {
		again := p.exists()
		if r, ok := p.ref(); ok {
			return Recheck{Holds: "SELECT to_regclass(" + literal(r.quoted(Postgres)) + ") IS NULL", Again: again}
		}
	}
	if !p.accept("CREATE") {
		return Recheck{}
	}
	p.acceptAny("UNIQUE")
	if !p.accept("INDEX", "CONCURRENTLY") {
		return Recheck{}
	}
	again := p.exists()
	if p.is("ON") {
		return Recheck{} // the database chooses the name
	}
	index, ok := p.name()
	if !ok || !p.accept("ON") {
		return Recheck{}
	}
	p.acceptAny("ONLY")
	table, ok := p.ref()
	if !ok {
		return Recheck{}
	}
	name := ref{schema: table.schema, name: index}.quoted(Postgres)
	return Recheck{
		Holds: "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(" + literal(name) + ") AND indisvalid)",
		Clean: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + name}, Again: again,
	}
}

// recheckMySQL looks for one thing that the statement does. The databases of these days
// (MySQL 8, MariaDB 10.6) do all of a statement or nothing.
func recheckMySQL(p parser) Recheck {
	switch {
	case p.accept("CREATE", "TABLE"), p.accept("CREATE", "VIEW"):
		again := p.exists()
		return table(p, again, true)
	case p.accept("DROP", "TABLE"), p.accept("DROP", "VIEW"):
		again := p.exists()
		return table(p, again, false)
	case p.accept("RENAME", "TABLE"):
		q := p.after("TO")
		return table(q, false, true)
	case p.accept("ALTER", "TABLE"):
		return alter(p)
	case p.accept("DROP", "INDEX"):
		again := p.exists()
		if n, ok := p.name(); ok && p.accept("ON") {
			r := index(p, n, false)
			r.Again = again
			return r
		}
	case p.is("DROP"):
		return Recheck{Again: p.has("IF", "EXISTS")}
	case p.accept("CREATE"):
		p.acceptAny("UNIQUE", "FULLTEXT", "SPATIAL")
		if p.accept("INDEX") {
			again := p.exists()
			if n, ok := p.name(); ok && p.accept("ON") {
				r := index(p, n, true)
				r.Again = again
				return r
			}
		}
		return Recheck{Again: p.has("IF", "NOT", "EXISTS")}
	}
	return Recheck{}
}

// alter looks for the first thing in the catalog that an ALTER TABLE changes.
func alter(p parser) Recheck {
	t, ok := p.ref()
	if !ok {
		return Recheck{}
	}
	at := parser{{Kind: Quoted, Text: "`" + strings.ReplaceAll(t.name, "`", "``") + "`"}}
	if t.schema != "" {
		at = append(parser{{Kind: Quoted, Text: "`" + strings.ReplaceAll(t.schema, "`", "``") + "`"}, {Kind: Symbol, Text: "."}}, at...)
	}
	var first Recheck
	repeats, seen := true, map[string]bool{}
	for _, a := range p.parts() {
		if a.is("MODIFY") || a.is("ALGORITHM") || a.is("LOCK") {
			continue
		}
		r, name := action(a, at)
		if seen[name] { // dropped and added again: the catalog looks the same before and after
			return Recheck{}
		}
		seen[name] = name != ""
		repeats = repeats && r.Again
		if first.Holds == "" && !r.Again {
			first = r
		}
	}
	if first.Holds == "" {
		return Recheck{Again: repeats}
	}
	return first
}

// action is what tells that one action of an ALTER TABLE was done, and the name it is
// about.
func action(a, at parser) (_ Recheck, name string) {
	switch {
	case a.accept("RENAME", "COLUMN"):
		return columnOf(a.after("TO"), at, true), ""
	case a.accept("RENAME", "TO"):
		return table(a, false, true), ""
	case a.accept("RENAME"), a.accept("CHANGE"):
		return Recheck{}, ""
	}
	adds := a.accept("ADD")
	if !adds && !a.accept("DROP") {
		return Recheck{}, ""
	}
	for _, kind := range []string{"CONSTRAINT", "FOREIGN", "PRIMARY", "CHECK", "PARTITION", "PERIOD", "SYSTEM", "("} {
		if a.is(kind) {
			return Recheck{}, ""
		}
	}
	indexed := a.is("UNIQUE") || a.is("INDEX") || a.is("KEY") || a.is("FULLTEXT") || a.is("SPATIAL")
	a.acceptAny("UNIQUE", "FULLTEXT", "SPATIAL")
	a.acceptAny("INDEX", "KEY", "COLUMN")
	again := a.exists()
	q := a
	name, ok := q.name()
	if !ok {
		return Recheck{}, ""
	}
	name = strings.ToLower(name)
	switch {
	case again:
		return Recheck{Again: true}, name
	case indexed:
		return index(at, name, adds), "index " + name
	}
	return columnOf(a, at, adds), name
}

// where is a table in information_schema.
func where(t ref) string {
	schema := "DATABASE()"
	if t.schema != "" {
		schema = literal(t.schema)
	}
	return " WHERE table_schema = " + schema + " AND table_name = " + literal(t.name)
}

func there(query string, is bool) string {
	if is {
		return "SELECT EXISTS (" + query + ")"
	}
	return "SELECT NOT EXISTS (" + query + ")"
}

func table(p parser, again, is bool) Recheck {
	t, ok := p.ref()
	if !ok {
		return Recheck{Again: again}
	}
	return Recheck{Holds: there("SELECT 1 FROM information_schema.tables"+where(t), is), Again: again}
}

func columnOf(p, at parser, is bool) Recheck {
	t, ok := at.ref()
	c, named := p.name()
	if !ok || !named {
		return Recheck{}
	}
	return Recheck{Holds: there("SELECT 1 FROM information_schema.columns"+where(t)+" AND column_name = "+literal(c), is)}
}

func index(at parser, name string, is bool) Recheck {
	t, ok := at.ref()
	if !ok {
		return Recheck{}
	}
	return Recheck{Holds: there("SELECT 1 FROM information_schema.statistics"+where(t)+" AND index_name = "+literal(name), is)}
}

// literal is a string as SQL. A backslash cannot be in it, in any mode of MySQL: names do
// not have one in practice, and a name that has is looked for in vain.
func literal(text string) string {
	return "'" + strings.NewReplacer("'", "''", "\\", "").Replace(text) + "'"
}

// quoted is the name as the database reads it. PostgreSQL's words are in small letters
// already where they have to be.
func (r ref) quoted(d Dialect) string {
	quote := `"`
	if d == MySQL {
		quote = "`"
	}
	q := func(n string) string { return quote + strings.ReplaceAll(n, quote, quote+quote) + quote }
	if r.schema == "" {
		return q(r.name)
	}
	return q(r.schema) + "." + q(r.name)
}
