// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// pair is two columns that triggers keep the same.
//
// A trigger of SQLite cannot alter the row before it is written, so it updates it
// afterwards, which makes the triggers for updates fire too. Their conditions are such that
// this ends there: a side is written only if it is not what the other says, and a side that
// is what the other says is never taken for a client's word. They do not depend on
// recursive_triggers, which a connection may have on or off.
type pair struct {
	t        *table
	old, new string
	// up is the new value and down the old one. down is empty where nothing leads back.
	up, down expression
	lossy    bool
	// loosen says that the old column is not null and has no default. The new version does
	// not write it, and the trigger comes too late for SQLite's own check: triggers make it
	// instead.
	loosen bool
	// strict says the same of the new column, before it is made not null.
	strict bool
}

func (s pair) trigger(what, event, when, body string) trigger {
	return trigger{name: triggerName(s.t, s.new, what), table: s.t.name, event: event, when: when, body: body}
}

// set writes a column of the row at hand.
func (s pair) set(column string, e expression) string {
	return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", quote(s.t.name), quote(column), e.of(""), s.t.at())
}

// differs says that a side of a row is not what the other says.
func differs(column string, e expression) string {
	return "NEW." + quote(column) + " IS NOT " + e.of("NEW")
}

func changed(column string) string { return "NEW." + quote(column) + " IS NOT OLD." + quote(column) }

// all are the triggers of a pair for which a row that is inserted with both sides has the
// new one's word.
func (s pair) all() []trigger {
	list := append(s.guards(), s.trigger("insert_old", "AFTER INSERT", "NEW."+quote(s.new)+" IS NULL AND "+differs(s.new, s.up), s.set(s.new, s.up)))
	if !s.lossy {
		list = append(list, s.trigger("insert_new", "AFTER INSERT", "NEW."+quote(s.new)+" IS NOT NULL AND "+differs(s.old, s.down), s.set(s.old, s.down)))
	}
	return append(list, s.updates()...)
}

// updates are the triggers for updates. The new column's change is the new version's word;
// otherwise the change of what up is made of is the old version's.
func (s pair) updates() []trigger {
	when := "NEW." + quote(s.new) + " IS OLD." + quote(s.new) + " AND " + s.up.of("NEW") + " IS NOT " + s.up.of("OLD") + " AND " + differs(s.new, s.up)
	if s.lossy {
		return []trigger{s.trigger("update_old", updateOf(s.up.columns(), s.old), when, s.set(s.new, s.up))}
	}
	// The old side as the trigger for the new one has just written it is not a word.
	when += " AND (NEW." + quote(s.old) + " IS OLD." + quote(s.old) + " OR " + differs(s.old, s.down) + ")"
	word := changed(s.new)
	if others := slices.DeleteFunc(s.down.columns(), func(c string) bool { return c == s.new }); len(others) > 0 {
		word = "(" + word + " OR NEW." + quote(s.old) + " IS OLD." + quote(s.old) + " AND " + s.up.of("NEW") + " IS " + s.up.of("OLD") +
			" AND " + s.down.of("NEW") + " IS NOT " + s.down.of("OLD") + ")"
	}
	return []trigger{
		s.trigger("update_old", updateOf(s.up.columns(), s.old), when, s.set(s.new, s.up)),
		s.trigger("update_new", updateOf(s.down.columns(), s.new), word+" AND "+differs(s.new, s.up)+" AND "+differs(s.old, s.down), s.set(s.old, s.down)),
	}
}

// updateOf is the event that any of these columns is named in an UPDATE.
func updateOf(columns []string, and string) string {
	if !slices.Contains(columns, and) {
		columns = append(columns, and)
	}
	return "AFTER UPDATE OF " + listed(columns, quote)
}

// guards refuse what NOT NULL would.
func (s pair) guards() []trigger {
	var list []trigger
	guard := func(column string, other expression) {
		null := "NEW." + quote(column) + " IS NULL"
		list = append(list,
			s.trigger(column+"_insert", "BEFORE INSERT", null+" AND "+other.of("NEW")+" IS NULL", notNullFailed(s.t, column)),
			s.trigger(column+"_update", "BEFORE UPDATE OF "+quote(column), null+" AND OLD."+quote(column)+" IS NOT NULL", notNullFailed(s.t, column)))
	}
	if s.loosen {
		guard(s.old, s.down)
	}
	if s.strict {
		guard(s.new, s.up)
	}
	return list
}

// pending is the condition of a row that has still to be made right. A row that the new
// version has written is right if the old side is what it says.
func (s pair) pending() string {
	wrong := quote(s.new) + " IS NOT " + s.up.of("")
	if s.lossy {
		return wrong
	}
	return wrong + " AND (" + quote(s.new) + " IS NULL OR " + quote(s.old) + " IS NOT " + s.down.of("") + ")"
}

// dropNull and setNull loosen the old column and take it back.
func (s pair) dropNull() []string { return s.null(s.old, "DROP") }
func (s pair) setNull() []string  { return s.null(s.old, "SET") }

func (s pair) null(column, verb string) []string {
	if !s.loosen {
		return nil
	}
	return []string{alter(s.t, "ALTER COLUMN %s %s NOT NULL", quote(column), verb)}
}

// rename is the tripwire and its undo.
func (p *compiler) hide(t *table, columns ...string) {
	s := migrate.Step{Phase: migrate.Soaking, Locks: p.lock(true)}
	for _, c := range columns {
		s.Do = append(s.Do, alter(t, "RENAME COLUMN %s TO %s", quote(c), quote(oldPrefix+c)))
		s.Undo = append(s.Undo, alter(t, "RENAME COLUMN %s TO %s", quote(oldPrefix+c), quote(c)))
	}
	s.Name = "hide " + t.name + "." + strings.Join(columns, ", ")
	p.step(s)
}

// sync is the steps that are the same for every pair: the triggers, the rows, the proof.
func (p *compiler) sync(s pair, list []trigger, verify string) {
	p.step(migrate.Step{
		Phase: migrate.Syncing, Name: "keep " + s.t.name + "." + s.old + " and " + s.new + " the same",
		Do:    append(s.dropNull(), creates(list)...),
		Undo:  append(drops(list), s.setNull()...),
		Locks: p.lock(true), Rows: s.t.rows,
	})
	if s.loosen {
		p.note(p.op, fmt.Sprintf("%s.%s is not null: triggers see to it while both versions write, with SQLite's words and the code SQLITE_CONSTRAINT_TRIGGER; rolling back looks at each row again, for which writers wait about %s",
			s.t.name, s.old, brief(perRow(s.t, scanRow))), "")
	}
	p.walk(s.t, migrate.Walk{Set: []migrate.Assign{{Column: s.new, Value: s.up.of("")}}, Pending: s.pending()})
	if verify == "" {
		verify = s.pending()
	}
	if s.strict {
		verify = "(" + verify + ") OR " + quote(s.new) + " IS NULL"
	}
	p.verify(s.t, verify)
}

// contract is one transaction: no triggers any more, and one column.
func (p *compiler) contract(t *table, name string, list []trigger, statements ...string) error {
	takes, err := p.stall(t, "rewrite each", rewriteRow)
	if err != nil {
		return err
	}
	p.step(migrate.Step{
		Phase: migrate.Contracting, Name: name, Do: append(drops(list), statements...),
		Locks: p.lock(false), Rows: t.rows, Takes: takes,
	})
	return nil
}

// replaceColumn keeps two columns the same until the old one goes.
func (p *compiler) replaceColumn(o migrate.ReplaceColumn) error {
	t, old, err := p.tableColumn(o.Table, o.Old)
	if err != nil {
		return err
	}
	if err := p.droppable(t, old); err != nil {
		return err
	}
	s := pair{t: t, old: old.name, new: o.New, up: plain(t, old.name), strict: o.NotNull, lossy: o.Down == "" && o.Up != ""}
	if o.Up != "" {
		s.up = p.expression(t, o.Up)
	}
	s.loosen = old.notNull && old.def == ""
	switch {
	case s.loosen && s.lossy:
		return &migrate.UnsafeError{Why: fmt.Sprintf("%s.%s is not null, and nothing says what it is in a row that the new version writes", t.name, old.name), Fix: "give Down"}
	case s.strict && o.Up == "" && !old.notNull:
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("the old version may write null to %s.%s, and %s is to be not null", t.name, old.name, o.New),
			Fix: "give an Up that is never null, such as coalesce(" + old.name + ", '')",
		}
	}
	if err := p.addNullable(t, o.New, o.Type, ""); err != nil {
		return err
	}
	t.columns = append(t.columns, column{name: o.New, typ: o.Type})
	s.down = plain(t, o.New)
	if o.Down != "" {
		s.down = p.expression(t, o.Down)
	}
	if o.Loses != "" {
		p.script.Loses = append(p.script.Loses, o.Loses)
	}
	p.filled[[2]string{t.name, o.New}] = true
	list := s.all()
	p.sync(s, list, "")
	p.hide(t, old.name)
	after, err := p.dropIndexes(t, old.name)
	if err != nil {
		return err
	}
	if s.strict {
		after = append(after, alter(t, "ALTER COLUMN %s SET NOT NULL", quote(o.New)))
	}
	return p.contract(t, "drop "+t.name+"."+old.name, list, append(after, alter(t, "DROP COLUMN %s", quote(oldPrefix+old.name)))...)
}

// renameColumn keeps a second column for the new name until the first can have it: then
// it keeps its place, its constraints and its indexes.
func (p *compiler) renameColumn(o migrate.RenameColumn) error {
	t, old, err := p.tableColumn(o.Table, o.Old)
	if err != nil {
		return err
	}
	if err := p.hideable(t, old); err != nil {
		return err
	}
	collation, err := p.schema.collation(p.ctx, t, old.name)
	if err != nil {
		return err
	}
	typ := old.typ
	if collation != "" {
		typ += " COLLATE " + quote(collation)
	}
	if err := p.addNullable(t, o.New, typ, ""); err != nil {
		return err
	}
	s := pair{t: t, old: old.name, new: o.New, up: plain(t, old.name), down: plain(t, o.New), loosen: old.notNull && old.def == ""}
	p.filled[[2]string{t.name, o.New}] = true
	list := s.all()
	p.sync(s, list, "")
	p.hide(t, old.name)
	hidden := oldPrefix + old.name
	return p.contract(t, "give "+t.name+"."+old.name+" its new name", list, append(s.null(hidden, "SET"),
		alter(t, "DROP COLUMN %s", quote(o.New)), alter(t, "RENAME COLUMN %s TO %s", quote(hidden), quote(o.New)))...)
}

// changeType keeps a shadow of the new type, which takes the column's name in Soaking. A
// client always means the column that has the name.
func (p *compiler) changeType(o migrate.ChangeType) error {
	t, old, err := p.tableColumn(o.Table, o.Column)
	if err != nil {
		return err
	}
	if err := p.droppable(t, old); err != nil {
		return err
	}
	shadow := "_rh_new_" + old.name
	if err := p.addNullable(t, shadow, o.Type, old.def); err != nil {
		return err
	}
	up, down := o.Up, o.Down
	if up == "" {
		up = "CAST(" + quote(old.name) + " AS " + o.Type + ")"
	}
	if down == "" {
		down = "CAST(" + quote(old.name) + " AS " + castable(old.typ) + ")"
	}
	before := turned{t: t, column: old.name, other: shadow, to: up, back: down}
	after := turned{t: t, column: old.name, other: oldPrefix + old.name, to: down, back: up}
	list := before.all(p)
	s := pair{t: t, old: old.name, new: shadow, up: p.expression(t, up)}
	verify := quote(shadow) + " IS NOT " + s.up.of("") + " OR " + quote(old.name) + " IS NOT " + before.backed(shadow)
	p.step(migrate.Step{
		Phase: migrate.Syncing, Name: "keep " + t.name + "." + old.name + " in both types",
		Do: creates(list), Undo: drops(list), Locks: p.lock(true),
	})
	p.walk(t, migrate.Walk{Set: []migrate.Assign{{Column: shadow, Value: s.up.of("")}}, Pending: quote(shadow) + " IS NOT " + s.up.of("")})
	p.verify(t, verify)
	later := after.all(p)
	if old.notNull {
		later = append(later, after.notNull()...)
	}
	p.exchange(t, old, shadow, list, later)
	drop, err := p.dropIndexes(t, old.name)
	if err != nil {
		return err
	}
	if old.notNull {
		drop = append(drop, alter(t, "ALTER COLUMN %s SET NOT NULL", quote(old.name)))
	}
	p.note(p.op, fmt.Sprintf("%s.%s will be the last column of the table: SELECT * and INSERT without names see it there", t.name, old.name), "")
	return p.contract(t, "drop "+t.name+"."+old.name+" of the old type", later, append(drop, alter(t, "DROP COLUMN %s", quote(oldPrefix+old.name)))...)
}

// exchange gives the name to the shadow, and back. A column that nobody writes any more by
// its name cannot be not null.
func (p *compiler) exchange(t *table, c column, shadow string, before, after []trigger) {
	rename := func(from, to string) string { return alter(t, "RENAME COLUMN %s TO %s", quote(from), quote(to)) }
	hidden := oldPrefix + c.name
	there, back := []string{rename(c.name, hidden), rename(shadow, c.name)}, []string{rename(c.name, shadow), rename(hidden, c.name)}
	if c.notNull && c.def == "" {
		there = append(there, alter(t, "ALTER COLUMN %s DROP NOT NULL", quote(hidden)))
		back = append(back, alter(t, "ALTER COLUMN %s SET NOT NULL", quote(c.name)))
	}
	p.step(migrate.Step{
		Phase: migrate.Soaking, Name: "exchange the types of " + t.name + "." + c.name,
		Do: slices.Concat(drops(before), there, creates(after)), Undo: slices.Concat(drops(after), back, creates(before)),
		Locks: p.lock(true), Rows: t.rows,
	})
}

// castable is a type that CAST knows; a column without one takes what it is given.
func castable(typ string) string {
	if typ == "" {
		return "blob"
	}
	return typ
}

// turned is a column and its other type, which only triggers write.
type turned struct {
	t             *table
	column, other string
	// to and back convert, over the column's name.
	to, back string
}

// backed is the column's value again, from the other's.
func (s turned) backed(from string) string {
	return expression{sql: s.back, table: s.t.name, refs: []ref{{as: s.column, column: from}}}.of("")
}

func (s turned) all(p *compiler) []trigger {
	to := expression{sql: s.to, table: s.t.name, refs: p.expression(s.t, s.to).refs}
	there := to.of("NEW")
	again := "(SELECT " + s.back + " FROM (SELECT " + there + " AS " + quote(s.column) + "))"
	mk := func(what, event, when, body string) trigger {
		return trigger{name: triggerName(s.t, s.column, what), event: event, table: s.t.name, when: when, body: body}
	}
	lost := "NEW." + quote(s.column) + " IS NOT " + again
	refuse := raise("%s.%s: the value does not convert to the column's other type and back", s.t.name, s.column)
	set := fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", quote(s.t.name), quote(s.other), to.of(""), s.t.at())
	differ := "NEW." + quote(s.other) + " IS NOT " + there
	return []trigger{
		mk("check_insert", "BEFORE INSERT", lost, refuse),
		mk("check_update", "BEFORE UPDATE OF "+quote(s.column), changed(s.column)+" AND "+lost, refuse),
		mk("insert", "AFTER INSERT", differ, set),
		mk("update", "AFTER UPDATE OF "+quote(s.column), changed(s.column)+" AND "+differ, set),
	}
}

// notNull refuses what NOT NULL would, until the column can be it.
func (s turned) notNull() []trigger {
	null := "NEW." + quote(s.column) + " IS NULL"
	return []trigger{
		{name: triggerName(s.t, s.column, "keep_insert"), table: s.t.name, event: "BEFORE INSERT", when: null, body: notNullFailed(s.t, s.column)},
		{name: triggerName(s.t, s.column, "keep_update"), table: s.t.name, event: "BEFORE UPDATE OF " + quote(s.column), when: null, body: notNullFailed(s.t, s.column)},
	}
}
