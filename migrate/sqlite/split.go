// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// split is a table whose columns move into another, which has the same key. A row that is
// not in the other says the same as one that has the defaults.
type split struct {
	t             *table
	into          string
	key, moved    []column
	names         []string // of moved
	keys          []string
	loosen        []string // moved columns that are not null without a default
	source, other string   // quoted
}

// splitTable keeps the columns in both tables until they go from the first.
func (p *compiler) splitTable(o migrate.SplitTable) error {
	s, err := p.split(o)
	if err != nil {
		return err
	}
	if p.schema.has(o.Into) {
		return fmt.Errorf("there is a table %s already", o.Into)
	}
	p.step(migrate.Step{
		Phase: migrate.Expanding, Name: "make table " + o.Into, Do: []string{s.create()}, Undo: []string{"DROP TABLE " + s.other}, Locks: p.lock(true),
	})
	list := s.triggers()
	do, undo := []string{}, drops(list)
	for _, c := range s.loosen {
		do = append(do, alter(s.t, "ALTER COLUMN %s DROP NOT NULL", quote(c)))
		undo = append(undo, alter(s.t, "ALTER COLUMN %s SET NOT NULL", quote(c)))
		p.note(p.op, fmt.Sprintf("%s.%s is not null, and is null while the new version has written %s and not yet %s; rolling back fails if that stays so", s.t.name, c, s.t.name, o.Into), "write both in one transaction")
	}
	p.step(migrate.Step{
		Phase: migrate.Syncing, Name: "keep " + s.t.name + " and " + o.Into + " the same", Do: append(do, creates(list)...), Undo: undo, Locks: p.lock(true), Rows: s.t.rows,
	})
	p.walk(s.t, migrate.Walk{Method: methodCopy, Into: o.Into, Columns: s.names, Pending: s.missing()})
	p.verify(s.t, s.wrong())
	p.hide(s.t, s.names...)
	statements := []string{}
	for _, c := range s.names {
		drop, err := p.dropIndexes(s.t, c)
		if err != nil {
			return err
		}
		statements = append(append(statements, drop...), alter(s.t, "DROP COLUMN %s", quote(oldPrefix+c)))
	}
	return p.contract(s.t, "drop the columns of "+s.t.name+" that are in "+o.Into, list, statements...)
}

func (p *compiler) split(o migrate.SplitTable) (split, error) {
	t, err := p.table(o.Table)
	if err != nil {
		return split{}, err
	}
	s := split{t: t, into: o.Into, key: t.primary(), source: quote(t.name), other: quote(o.Into)}
	if len(s.key) == 0 {
		return s, &migrate.UnsafeError{Why: t.name + " has no primary key by which the two tables could belong together", Fix: "give it one first"}
	}
	for _, k := range s.key {
		s.keys = append(s.keys, k.name)
	}
	if t.method == methodRowid { // a primary key that is not the rowid; walk by it
		t.key, t.method = s.keys, methodKey
		if slices.ContainsFunc(s.key, func(k column) bool { return !k.notNull }) {
			return s, &migrate.UnsafeError{Why: "the primary key of " + t.name + " may be null, as SQLite has it", Fix: "MakeNotNull its columns first"}
		}
	}
	for _, name := range o.Columns {
		_, c, err := p.tableColumn(o.Table, name)
		if err == nil {
			err = p.droppable(t, c)
		}
		if err != nil {
			return s, err
		}
		s.moved, s.names = append(s.moved, c), append(s.names, c.name)
		if c.notNull && c.def == "" {
			s.loosen = append(s.loosen, c.name)
		}
	}
	return s, nil
}

func (s split) create() string {
	var parts []string
	for _, k := range s.key {
		parts = append(parts, strings.TrimSpace(quote(k.name)+" "+k.typ)+" NOT NULL")
	}
	for _, c := range s.moved {
		text := strings.TrimSpace(quote(c.name) + " " + c.typ)
		if c.def != "" {
			text += " DEFAULT " + c.def
		}
		parts = append(parts, text)
	}
	return "CREATE TABLE " + s.other + " (" + strings.Join(parts, ", ") + ", PRIMARY KEY (" + listed(s.keys, quote) + "))"
}

// each joins a condition over the moved columns.
func (s split) each(join string, f func(c column, name string) string) string {
	parts := make([]string, len(s.moved))
	for i, c := range s.moved {
		parts[i] = f(c, quote(c.name))
	}
	return "(" + strings.Join(parts, join) + ")"
}

// unset says that a row has the defaults, as one that the new version has written.
func (s split) unset(row string) string {
	return s.each(" AND ", func(c column, name string) string {
		if c.def == "" {
			return row + name + " IS NULL"
		}
		return row + name + " IS (" + c.def + ")"
	})
}

func (s split) differ(a, b string) string {
	return s.each(" OR ", func(_ column, name string) string { return a + name + " IS NOT " + b + name })
}

// key says that a row of a table is the one of another.
func (s split) same(a, b string) string {
	return conjunction(s.keys, func(k string) string { return a + quote(k) + " = " + b + quote(k) })
}

func (s split) row(from string) string {
	return listed(append(slices.Clone(s.keys), s.names...), func(c string) string { return from + quote(c) })
}

func (s split) set(from string) string {
	return listed(s.names, func(c string) string { return quote(c) + " = " + from + quote(c) })
}

// exists says that the other table has the row.
func (s split) exists(row string) string {
	return "EXISTS (SELECT 1 FROM " + s.other + " AS o WHERE " + s.same("o.", row) + ")"
}

// missing is the condition of a row that has still to be copied.
func (s split) missing() string { return "NOT " + s.exists(s.source+".") }

// wrong is the condition of a row that is not the same in both.
func (s split) wrong() string {
	match := "EXISTS (SELECT 1 FROM " + s.other + " AS o WHERE " + s.same("o.", s.source+".") + " AND NOT " + s.differ("o.", s.source+".") + ")"
	return "NOT " + match + " AND NOT (" + s.unset(s.source+".") + " AND NOT " + s.exists(s.source+".") + ")"
}

func (s split) triggers() []trigger {
	mk := func(on, what, event, when, body string) trigger {
		return trigger{name: "_rh_" + s.t.name + "_" + s.into + "_" + what, table: on, event: event, when: when, body: body}
	}
	columns := listed(append(slices.Clone(s.keys), s.names...), quote)
	upsert := "INSERT INTO " + s.other + " (" + columns + ") VALUES (" + s.row("NEW.") + ") ON CONFLICT (" + listed(s.keys, quote) + ") DO UPDATE SET " + s.set("excluded.") + ";"
	early := s.unset("NEW.") + " AND " + s.exists("NEW.")
	take := "UPDATE " + s.source + " SET (" + listed(s.names, quote) + ") = (SELECT " + listed(s.names, quote) + " FROM " + s.other + " AS o WHERE " + s.same("o.", "NEW.") + ") WHERE " + s.same("", "NEW.") + ";"
	moved := "(" + conjunctionOr(s.keys, changed) + ")"
	rekey := listed(s.keys, func(k string) string { return quote(k) + " = NEW." + quote(k) })
	follow := "UPDATE " + s.other + " SET " + rekey + ", " + s.set("NEW.") + " WHERE " + s.same("", "OLD.") + ";" +
		" INSERT INTO " + s.other + " (" + columns + ") SELECT " + s.row("NEW.") + " WHERE NOT " + s.exists("NEW.") + " AND NOT " + s.unset("NEW.") + ";"
	copyBack := "UPDATE " + s.source + " SET " + s.set("NEW.") + " WHERE " + s.same("", "NEW.") + " AND " + s.differ("", "NEW.") + ";"
	source := "EXISTS (SELECT 1 FROM " + s.source + " AS t WHERE " + s.same("t.", "OLD.")
	forget := "UPDATE " + s.source + " SET " + defaults(s.moved) + " WHERE " + s.same("", "OLD.") + " AND NOT " + s.unset("") + ";"
	list := []trigger{
		mk(s.t.name, "insert", "AFTER INSERT", "NOT ("+early+")", upsert),
		mk(s.t.name, "late", "AFTER INSERT", early, take),
		mk(s.t.name, "update", "AFTER UPDATE OF "+columns, moved+" OR "+s.differ("NEW.", "OLD."), follow),
		mk(s.t.name, "delete", "AFTER DELETE", "true", "DELETE FROM "+s.other+" WHERE "+s.same("", "OLD.")+";"),
		// What the first table's trigger has put there for a row without values makes
		// room for the new version's.
		mk(s.into, "other_before", "BEFORE INSERT", s.exists("NEW."), "DELETE FROM "+s.other+" WHERE "+s.same("", "NEW.")+" AND "+s.unset("")+
			" AND EXISTS (SELECT 1 FROM "+s.source+" AS t WHERE "+s.same("t.", "NEW.")+" AND "+s.unset("t.")+");"),
		mk(s.into, "other_insert", "AFTER INSERT", "true", copyBack),
		mk(s.into, "other_update", "AFTER UPDATE OF "+listed(s.names, quote), s.differ("NEW.", "OLD."), copyBack),
		mk(s.into, "other_delete", "AFTER DELETE", source+")", forget),
	}
	if len(s.loosen) > 0 {
		list = append(list, mk(s.into, "other_keep", "BEFORE DELETE", "NOT "+s.unset("OLD.")+" AND "+source+")",
			raise("%s: the row of %s needs it; delete that", s.into, s.t.name)))
		for _, c := range s.loosen {
			list = append(list, mk(s.t.name, "keep_"+c, "BEFORE UPDATE OF "+quote(c), "NEW."+quote(c)+" IS NULL AND OLD."+quote(c)+" IS NOT NULL", notNullFailed(s.t, c)))
		}
	}
	return list
}

func conjunctionOr(names []string, f func(string) string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = f(n)
	}
	return strings.Join(parts, " OR ")
}

// defaults sets the moved columns to their defaults.
func defaults(moved []column) string {
	parts := make([]string, len(moved))
	for i, c := range moved {
		value := "NULL"
		if c.def != "" {
			value = "(" + c.def + ")"
		}
		parts[i] = quote(c.name) + " = " + value
	}
	return strings.Join(parts, ", ")
}
