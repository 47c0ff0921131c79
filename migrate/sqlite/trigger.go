// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
)

// trigger is one, of which the whole body is one line.
type trigger struct {
	name, event, table, when, body string
}

func (t trigger) create() string {
	return "CREATE TRIGGER " + quote(t.name) + " " + t.event + " ON " + quote(t.table) + " FOR EACH ROW WHEN " + t.when + " BEGIN " + t.body + " END"
}

func (t trigger) drop() string { return "DROP TRIGGER " + quote(t.name) }

func triggerName(t *table, column, what string) string {
	return "_rh_" + t.name + "_" + column + "_" + what
}

// raise ends the client's statement with an error.
func raise(format string, args ...any) string {
	return "SELECT RAISE(ABORT, " + text(fmt.Sprintf(format, args...)) + ");"
}

// notNullFailed is what SQLite says itself.
func notNullFailed(t *table, column string) string {
	return raise("NOT NULL constraint failed: %s.%s", t.name, column)
}

// triggers are made in Syncing together with other statements, and dropped in Contracting.
// SQLite carries a rename into the bodies of triggers, so that they go on in Soaking.
func (p *compiler) triggers(name string, all []trigger, also, undo []string) {
	p.step(migrate.Step{
		Phase: migrate.Syncing, Name: name,
		Do: append(append([]string(nil), also...), creates(all)...), Undo: append(drops(all), undo...), Locks: p.lock(len(undo) == 0),
	})
	p.step(migrate.Step{Phase: migrate.Contracting, Name: "no longer " + name, Do: drops(all), Locks: p.lock(true)})
}

func creates(all []trigger) []string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = t.create()
	}
	return texts
}

func drops(all []trigger) []string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = t.drop()
	}
	return texts
}

// expression is SQL over a table's columns, of which some may go by other names in it.
type expression struct {
	sql   string
	table string
	// refs are the columns that it may use, by the names it has for them.
	refs []ref
}

type ref struct{ as, column string }

func (p *compiler) expression(t *table, text string) expression {
	e := expression{sql: text, table: t.name}
	for _, c := range t.columns {
		if mentions(text, c.name) {
			e.refs = append(e.refs, ref{c.name, c.name})
		}
	}
	return e
}

// plain is a column's value as it is.
func plain(t *table, column string) expression {
	return expression{table: t.name, sql: quote(column), refs: []ref{{column, column}}}
}

// of is the value for a row: NEW or OLD of a trigger, or "" for the row at hand. The
// columns are given the names that the expression has for them, so that it need not be
// understood, and stays right when they are renamed.
func (e expression) of(row string) string {
	if row != "" {
		row += "."
	}
	if len(e.refs) == 1 && e.sql == quote(e.refs[0].as) {
		return row + quote(e.refs[0].column)
	}
	renamed := row != ""
	names := make([]string, len(e.refs))
	for i, r := range e.refs {
		names[i] = row + quote(r.column) + " AS " + quote(r.as)
		renamed = renamed || r.as != r.column
	}
	if !renamed || len(names) == 0 {
		return "(" + e.sql + ")"
	}
	return "(SELECT " + e.sql + " FROM (SELECT " + strings.Join(names, ", ") + ") AS " + quote(e.table) + ")"
}

// columns are those that it may use.
func (e expression) columns() []string {
	names := make([]string, len(e.refs))
	for i, r := range e.refs {
		names[i] = r.column
	}
	return names
}

func perRow(t *table, row time.Duration) time.Duration { return time.Duration(t.rows) * row }

func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
