// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"strings"
)

const (
	useChange = "make it a migrate.Change, which keeps both versions working"
	inBatches = "use the Backfill of a migrate.Change, which works in batches"
	ownFile   = "put it in a file of its own that says -- migrate:up transaction:false"
)

// statement finds what a statement does to others.
func (l *Linter) statement(p parser) {
	switch {
	case p.accept("CREATE"):
		l.create(p)
	case p.accept("ALTER", "TABLE"):
		l.alter(p)
	case p.accept("DROP"):
		l.drop(p)
	case p.accept("RENAME", "TABLE"):
		for _, part := range p.parts() {
			if t, ok := part.ref(); ok {
				l.refuse("rename-table", t, false, "the version before looks for it under its old name", "keep the name, or "+useChange)
				l.renamed(t, part.after("TO"))
			}
		}
	case p.accept("TRUNCATE"):
		p.acceptAny("TABLE", "ONLY")
		for _, t := range p.refs() {
			l.refuse("truncate", t, true, "all its rows are gone, and everybody waits meanwhile", "delete the rows that are not needed in batches")
			l.holds(t, "TRUNCATE")
		}
	case p.is("UPDATE"), p.is("DELETE"), p.is("INSERT"), p.is("REPLACE"), p.is("WITH"):
		l.write(p)
	case p.is("ALTER", "INDEX") || p.is("ALTER", "VIEW") || p.is("ALTER", "TYPE"):
	default:
		l.maintenance(p)
	}
}

// maintenance finds what keeps a table from everybody while it works on it.
func (l *Linter) maintenance(p parser) {
	switch {
	case p.accept("LOCK"):
		p.acceptAny("TABLE", "TABLES", "ONLY")
		for _, t := range p.refs() {
			l.refuse("lock-table", t, false, "everybody waits until the transaction ends", "leave it to the statements, or "+useChange)
		}
	case l.d == Postgres && p.accept("VACUUM"):
		if p.has("FULL") {
			l.refuse("rewrite", ref{}, false, "it rewrites the table under a lock that stops everybody", "use pg_repack, or VACUUM without FULL")
		}
	case l.d == Postgres && p.accept("CLUSTER"):
		l.refuse("rewrite", ref{}, false, "it rewrites the table under a lock that stops everybody", "use pg_repack")
	case l.d == Postgres && p.accept("REINDEX"):
		if !p.has("CONCURRENTLY") {
			l.refuse("create-index", ref{}, false, "writers wait until it is built", "write REINDEX … CONCURRENTLY; "+ownFile)
		}
	case l.d == Postgres && p.accept("REFRESH", "MATERIALIZED", "VIEW"):
		if !p.is("CONCURRENTLY") {
			if t, ok := p.ref(); ok {
				l.refuse("refresh", t, true, "readers wait until it is done", "write CONCURRENTLY, for which it needs a unique index")
			}
		}
	case l.d == MySQL && p.accept("OPTIMIZE"):
		l.refuse("rewrite", ref{}, false, "it rebuilds the table", "run it apart from a deployment")
	}
}

// create remembers what is new, and finds indexes built under a lock.
func (l *Linter) create(p parser) {
	replace := p.accept("OR", "REPLACE")
	p.acceptAny("GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "MATERIALIZED", "UNIQUE", "FULLTEXT", "SPATIAL", "VIRTUAL", "FOREIGN")
	switch {
	case p.accept("TABLE"), p.accept("VIEW"):
		maybe := p.exists()
		t, ok := p.ref()
		if !ok {
			return
		}
		if replace && p.has("(") && l.d == MySQL {
			l.refuse("drop-table", t, false, "a table of that name is dropped with its rows", "write CREATE TABLE")
		}
		if !maybe { // with IF NOT EXISTS it may be old
			l.made[t.String()] = true
		}
	case p.accept("INDEX"):
		l.createIndex(p)
	}
}

func (l *Linter) createIndex(p parser) {
	concurrently := p.accept("CONCURRENTLY")
	t, ok := tableAfterOn(p)
	switch {
	case !ok || l.made[t.String()]:
	case l.d == Postgres && !concurrently:
		l.refuse("create-index", t, true, "writers wait until it is built", "write CREATE INDEX CONCURRENTLY; "+ownFile)
		l.works(t)
	case l.d == MySQL:
		l.algorithm(t, p)
	}
}

func tableAfterOn(p parser) (ref, bool) {
	p = p.after("ON")
	p.acceptAny("ONLY")
	return p.ref()
}

func (l *Linter) drop(p parser) {
	switch {
	case p.accept("TABLE"):
		p.exists()
		for _, t := range p.refs() {
			l.refuse("drop-table", t, false, "the version before may still use it, and its rows are gone", "drop it with a migrate.Change, which first hides it and sees that nobody is left")
			l.holds(t, "DROP TABLE")
			delete(l.made, t.String())
		}
	case p.accept("INDEX"):
		concurrently := p.accept("CONCURRENTLY")
		switch {
		case l.d == Postgres && !concurrently:
			l.refuse("drop-index", ref{}, false, "everybody waits for it behind whoever uses the table", "write DROP INDEX CONCURRENTLY; "+ownFile)
		case l.d == MySQL:
			if t, ok := tableAfterOn(p); ok {
				l.algorithm(t, p)
			}
		}
	case p.is("SCHEMA"), p.is("DATABASE"), p.is("OWNED"):
		l.refuse("drop-schema", ref{}, false, "everything in it is gone", "drop its tables one by one")
	}
}

// write finds statements that write every row.
func (l *Linter) write(p parser) {
	var t ref
	var ok bool
	switch {
	case p.accept("UPDATE"):
		p.acceptAny("ONLY", "LOW_PRIORITY", "IGNORE")
		t, ok = p.ref()
	case p.accept("DELETE"):
		p.acceptAny("FROM", "ONLY", "LOW_PRIORITY", "QUICK", "IGNORE")
		t, ok = p.ref()
	default:
		rows := p.after("INTO")
		if t, ok := rows.ref(); ok && !p.top("VALUES") { // INSERT … SELECT
			l.works(t)
		}
		return
	}
	if !ok {
		return
	}
	if !p.top("WHERE") && !p.top("LIMIT") {
		l.refuse("unbounded-write", t, true, "every row is written at once, and whoever wants one of them waits until the end", inBatches)
	}
	l.works(t)
}

// renamed lets a new table stay one under another name.
func (l *Linter) renamed(t ref, p parser) {
	if to, ok := p.ref(); ok && l.made[t.String()] {
		l.made[ref{schema: t.schema, name: to.name}.String()] = true
	}
}

// holds remembers a lock that stops everybody, until the end of the transaction.
func (l *Linter) holds(t ref, by string) {
	if !l.whole || l.d != Postgres || l.made[t.String()] {
		return
	}
	name := t.String()
	for other, first := range l.locked {
		if other != name {
			l.add(Finding{
				Rule: "long-lock", Table: t.name, Why: "it waits for a lock on " + t.name + " while everybody who wants " + other + " waits, since " + first,
				Fix: "put them in two files", at: t,
			})
			break
		}
	}
	if l.locked[name] == "" {
		l.locked[name] = by
	}
}

// works is a statement whose time grows with its table.
func (l *Linter) works(t ref) {
	for other, first := range l.locked {
		l.add(Finding{
			Rule: "long-lock", Table: t.name, Sized: true, Why: "everybody who wants " + other + " waits while it works, since " + first,
			Fix: "put it in a file of its own", at: t,
		})
		break
	}
}

// algorithm finds what MySQL may do by copying the table.
func (l *Linter) algorithm(t ref, p parser) {
	value := p.after("ALGORITHM")
	value.accept("=")
	lock := p.after("LOCK")
	lock.accept("=")
	switch {
	case value.is("COPY"), lock.is("SHARED"), lock.is("EXCLUSIVE"):
		l.refuse("algorithm", t, true, "writers wait while the table is copied", useChange)
	case len(value) == 0 && len(lock) == 0:
		l.refuse("algorithm", t, true, "the server may choose to copy the table, and writers wait meanwhile",
			"add ALGORITHM=INSTANT, or ALGORITHM=INPLACE, LOCK=NONE: then the server refuses what it cannot do beside them")
	}
}

// volatile names what in a default is not the same for every row, or may not be.
func volatile(p parser) string {
	for i, t := range p {
		if t.Kind != Word || i+1 >= len(p) || p[i+1].Text != "(" {
			continue
		}
		if name := strings.ToLower(t.Text); !stable[name] {
			return name
		}
	}
	return ""
}

// stable are functions and types that a default may use without a rewrite.
var stable = map[string]bool{
	"now": true, "current_timestamp": true, "current_date": true, "current_time": true, "localtimestamp": true, "localtime": true,
	"statement_timestamp": true, "transaction_timestamp": true, "lower": true, "upper": true, "coalesce": true, "date_trunc": true,
	"varchar": true, "char": true, "character": true, "varying": true, "numeric": true, "decimal": true, "timestamp": true,
	"timestamptz": true, "time": true, "bit": true, "interval": true, "array": true, "jsonb_build_object": true, "json_build_object": true,
	"to_jsonb": true, "md5": true, "make_date": true, "cast": true, "float": true,
}
