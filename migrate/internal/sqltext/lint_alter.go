// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"strings"
)

// alter finds what the actions of an ALTER TABLE do.
func (l *Linter) alter(p parser) {
	p.exists()
	p.acceptAny("ONLY")
	t, ok := p.ref()
	if !ok {
		return
	}
	p.accept("*")
	if l.made[t.String()] {
		if p.accept("RENAME", "TO") {
			l.renamed(t, p)
		}
		return
	}
	light := true
	for _, action := range p.parts() {
		light = l.action(t, action) && light
	}
	if l.d == MySQL {
		l.algorithm(t, p)
	}
	if !light {
		l.holds(t, "ALTER TABLE")
	}
}

// action finds what one action does. It says whether its lock lets others work.
func (l *Linter) action(t ref, a parser) (light bool) {
	switch {
	case a.accept("ADD"):
		return l.addAction(t, a)
	case a.accept("ALTER"):
		a.acceptAny("COLUMN")
		l.alterColumn(t, a)
	case a.accept("MODIFY"), a.is("CHANGE"):
		l.modify(t, a)
	case a.accept("RENAME"):
		l.rename(t, a)
	case a.accept("DROP"):
		l.dropAction(t, a)
	case a.accept("VALIDATE", "CONSTRAINT"):
		n, _ := a.name()
		key := t.String() + "." + strings.ToLower(n)
		if column := l.notNull[key]; column != "" {
			l.proven[t.String()+"."+column] = true
		}
		l.works(t)
		return true
	case a.is("SET", "TABLESPACE"), a.is("SET", "LOGGED"), a.is("SET", "UNLOGGED"), a.is("SET", "ACCESS"), a.is("CONVERT"):
		l.refuse("rewrite", t, true, "it rewrites the table under a lock that stops everybody", useChange)
	case a.is("SET", "("), a.is("RESET", "("), a.is("ATTACH"), a.is("CLUSTER"):
		return true
	case a.is("DETACH"):
		return a.has("CONCURRENTLY")
	}
	return false
}

func (l *Linter) addAction(t ref, a parser) (light bool) {
	name := ""
	if a.accept("CONSTRAINT") {
		name, _ = a.name()
	}
	later := a.has("NOT", "VALID")
	switch {
	case a.accept("CHECK"):
		if column := notNullCheck(a); column != "" {
			l.notNull[t.String()+"."+strings.ToLower(name)] = column
		}
		if !later {
			l.check(t)
		}
	case a.is("FOREIGN", "KEY"):
		l.foreignKey(t, a, later)
	case a.is("UNIQUE"), a.is("PRIMARY", "KEY"), a.is("EXCLUDE"):
		if l.d == Postgres && !a.has("USING", "INDEX") {
			l.refuse("add-unique", t, true, "everybody waits until its index is built", "create a unique index CONCURRENTLY first, and add the constraint USING INDEX")
		}
	case a.is("INDEX"), a.is("KEY"), a.is("FULLTEXT"), a.is("SPATIAL"), a.is("PARTITION"):
	default:
		a.acceptAny("COLUMN")
		a.exists()
		if a.is("(") { // MySQL: ADD (a …, b …)
			for _, c := range a[1:].parts() {
				l.addColumn(t, c)
			}
			return false
		}
		l.addColumn(t, a)
	}
	return false
}

func (l *Linter) check(t ref) {
	switch l.d {
	case Postgres:
		l.refuse("add-check", t, true, "everybody waits while every row is looked at", "add it NOT VALID, and VALIDATE CONSTRAINT in another file")
	case MySQL:
		l.refuse("add-check", t, true, "the server copies the table, and writers wait meanwhile", "check it in the program")
	default: // SQLite has no such action
	}
}

func (l *Linter) foreignKey(t ref, a parser, later bool) {
	switch {
	case l.d == Postgres && !later:
		l.refuse("add-foreign-key", t, true, "writers of both tables wait while every row is looked at", "add it NOT VALID, and VALIDATE CONSTRAINT in another file")
	case l.d == MySQL && !a.has("LOCK"):
		l.refuse("add-foreign-key", t, true, "the server copies the table, and writers wait meanwhile", "keep the reference in the program, or do it in a maintenance window")
	}
}

func (l *Linter) addColumn(t ref, a parser) {
	column, ok := a.name()
	if !ok {
		return
	}
	l.added[t.String()+"."+strings.ToLower(column)] = true
	value := a.after("DEFAULT")
	generated := a.has("GENERATED") || a.has("AUTO_INCREMENT") || a.has("AS", "(")
	if a.has("NOT", "NULL") && value == nil && !generated && !a.serial() {
		why := "it fails where the table has rows, and the version before cannot insert any more"
		if l.d == MySQL {
			why = "the version before cannot insert any more"
		}
		l.refuse("add-column-not-null", t, false, why, "give it a constant DEFAULT, or add it nullable and make it not null in a migrate.Change")
	}
	if l.d != Postgres {
		return
	}
	switch f := volatile(value); {
	case a.serial(), a.has("GENERATED"):
		l.refuse("volatile-default", t, true, "everybody waits while every row is rewritten with a value of its own", "add it nullable, and fill it with the Backfill of a migrate.Change")
	case f != "":
		l.refuse("volatile-default", t, true, f+"() may differ from row to row: then everybody waits while every row is rewritten", "add it nullable, set the default afterwards, and fill it with the Backfill of a migrate.Change")
	}
	if a.has("REFERENCES") {
		l.refuse("add-foreign-key", t, true, "writers of both tables wait while every row is looked at", "add the constraint apart, NOT VALID, and VALIDATE CONSTRAINT in another file")
	}
	if a.has("UNIQUE") || a.has("PRIMARY", "KEY") {
		l.refuse("add-unique", t, true, "everybody waits until its index is built", "create a unique index CONCURRENTLY first, and add the constraint USING INDEX")
	}
	if a.has("CHECK") {
		l.check(t)
	}
}

// serial says whether a column's type counts by itself.
func (p parser) serial() bool {
	return len(p) > 0 && (p.is("SERIAL") || p.is("BIGSERIAL") || p.is("SMALLSERIAL") || p.is("SERIAL4") || p.is("SERIAL8") || p.is("SERIAL2"))
}

func (l *Linter) alterColumn(t ref, a parser) {
	column, _ := a.name()
	key := t.String() + "." + strings.ToLower(column)
	switch {
	case a.is("SET", "NOT", "NULL"):
		switch {
		case l.proven[key]: // by a check that was validated
		case l.d == SQLite:
			l.refuse("set-not-null", t, true, "writers wait while every row is looked at, and the version before may write null", "use MakeNotNull of a migrate.Change")
		default:
			from := len(l.findings)
			l.refuse("set-not-null", t, true, "everybody waits while every row is looked at", "add CHECK ("+column+" IS NOT NULL) NOT VALID, validate it in another file, then set it; or use MakeNotNull of a migrate.Change")
			for i := from; i < len(l.findings); i++ {
				l.findings[i].column = column
			}
		}
	case a.is("TYPE"), a.is("SET", "DATA", "TYPE"):
		l.changeType(t)
	}
}

func (l *Linter) changeType(t ref) {
	l.refuse("change-type", t, true, "everybody waits while the table is rewritten, unless the new type holds the old one's bytes", "use ChangeType or ReplaceColumn of a migrate.Change")
}

// modify is MySQL's MODIFY and CHANGE.
func (l *Linter) modify(t ref, a parser) {
	if a.accept("CHANGE") {
		a.acceptAny("COLUMN")
		a.exists()
		from, _ := a.name()
		if to, ok := a.name(); ok && !strings.EqualFold(from, to) {
			l.refuse("rename-column", t, false, "the version before looks for it under its old name", "use RenameColumn of a migrate.Change")
		}
	}
	if !a.has("INSTANT") {
		l.changeType(t)
	}
}

func (l *Linter) rename(t ref, a parser) {
	switch {
	case a.is("CONSTRAINT"), a.is("INDEX"), a.is("KEY"):
	case a.accept("TO"), a.accept("AS"):
		l.refuse("rename-table", t, false, "the version before looks for it under its old name", "keep the name, or put a view with the old name in its place")
	default:
		l.refuse("rename-column", t, false, "the version before looks for it under its old name", "use RenameColumn of a migrate.Change")
	}
}

func (l *Linter) dropAction(t ref, a parser) {
	for _, other := range []string{"CONSTRAINT", "INDEX", "KEY", "PRIMARY", "FOREIGN", "CHECK", "PARTITION", "EXPRESSION"} {
		if a.is(other) {
			return
		}
	}
	a.acceptAny("COLUMN")
	a.exists()
	column, _ := a.name()
	if key := t.String() + "." + strings.ToLower(column); l.added[key] {
		return // this batch has added it
	}
	why := "the version before may still use it, and its values are gone"
	if l.d == SQLite {
		why += "; writers wait while the table is rewritten"
	}
	l.refuse("drop-column", t, false, why, "use DropColumn of a migrate.Change, which first hides it and sees that nobody is left")
}

// notNullCheck is the column of CHECK (column IS NOT NULL), or nothing.
func notNullCheck(p parser) string {
	for p.accept("(") {
	}
	column, ok := p.name()
	if !ok || !p.accept("IS", "NOT", "NULL") || !p.accept(")") {
		return ""
	}
	return strings.ToLower(column)
}
