// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// changeType makes a column of the new type beside the old one, keeps it the same, and exchanges the
// names when no version is left that the new type is strange to. Until the old one is dropped, values
// that do not convert back are refused, so that the exchange can be undone.
func (k *compiler) changeType(op migrate.ChangeType) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	from, err := k.columnOf(t, op.Column)
	if err != nil {
		return err
	}
	if err := k.leavable(t, op.Column, "exchanged"); err != nil {
		return err
	}
	if err := k.bare(t, op.Column); err != nil {
		return err
	}
	shadow := "_rh_new_" + op.Column
	if err := k.fresh(t, shadow); err != nil {
		return err
	}
	p := pair{
		t: t, from: from, newName: shadow, old: k.quote(op.Column), new: k.quote(shadow), hidden: k.quote(hidden(op.Column)),
		notNull: from.NotNull, function: k.name("sync"), same: true,
	}
	if p.typ, err = k.typeOf(op.Type); err != nil {
		return err
	}
	if p.up, err = k.conversion("Up", t, op.Up, p.old, p.typ); err != nil {
		return err
	}
	// Down is said over the column's name, and read over the shadow.
	var others []column
	for _, c := range t.Columns {
		if c.Name != op.Column {
			c.planned = true
			others = append(others, c)
		}
	}
	after := &table{Schema: "pg_catalog", Quoted: "pg_am", Columns: append(others, column{Name: op.Column, Type: p.typ, planned: true})}
	if p.down, err = k.conversion("Down", after, op.Down, p.old, from.Type); err != nil {
		return err
	}
	t.Columns = append(t.Columns, column{Name: shadow, Type: p.typ, planned: true, filled: true})
	p.from = t.column(op.Column)
	if len(t.Triggers) > 0 {
		k.note(fmt.Sprintf("table %s has triggers of its own: %s", t.full(), strings.Join(t.Triggers, ", ")), "see that they work with both types")
	}
	k.changeSteps(p)
	return nil
}

// conversion reads Up or Down; empty is a cast.
func (k *compiler) conversion(field string, t *table, text, column, typ string) (expression, error) {
	if text == "" {
		text = "(" + column + ")::" + typ
	}
	e, err := k.express(field, t, text)
	switch {
	case err != nil:
		return e, err
	case e.drifts || e.looks:
		return e, k.unsafe("field "+field+" must convert from the row alone, and always the same", "")
	}
	return k.literalAs(e, text, typ), nil
}

// bare refuses a column with what would have to be exchanged with it.
func (k *compiler) bare(t *table, name string) error {
	indexes, checks, foreign, _, _ := t.on(name)
	if on := slices.Concat(indexes, checks, foreign); len(on) > 0 {
		return k.unsafe(fmt.Sprintf("these are on column %s and would not be on the new one: %s", name, strings.Join(on, ", ")),
			"use a ReplaceColumn, with AddIndex, AddCheck and AddForeignKey for the new column")
	}
	if c := t.column(name); c.Sequence != "" {
		return k.unsafe("column "+name+" owns sequence "+c.Sequence, "use a ReplaceColumn")
	}
	return nil
}

func (k *compiler) changeSteps(p pair) {
	t, full, row := p.t, p.t.full(), k.quote(p.t.Name)
	differs := func(row string) string { return differ(row+"."+p.new, p.up.of(row), p.typ) }
	before := fmt.Sprintf("\nBEGIN\n\tnew.%s := %s;\n\tRETURN new;\nEND ", p.new, p.up.of("new"))
	k.addColumn(t, p.new, p.typ, "", "")
	k.syncStep(t, p.function, "keep "+full+"."+p.new+" as "+p.old, before, "BEFORE INSERT OR UPDATE", "WHEN ("+differs("new")+") ")
	walk := &migrate.Walk{Table: t.plain(), Method: methodHot, Key: t.Key, Set: []migrate.Assign{{Column: p.newName, Value: p.up.of(row)}}, Pending: differs(row)}
	k.add(t.updates(migrate.Step{Phase: migrate.Backfilling, Name: "fill " + full + "." + p.new, Walk: walk}))
	k.verify(t, "compare "+full+"."+p.new+" with "+p.old, differs(row))
	if p.notNull {
		k.notNull(t, p.newName)
	}
	swap := []string{t.alter("RENAME COLUMN " + p.old + " TO " + p.hidden), t.alter("RENAME COLUMN " + p.new + " TO " + p.old)}
	back := []string{t.alter("RENAME COLUMN " + p.old + " TO " + p.new), t.alter("RENAME COLUMN " + p.hidden + " TO " + p.old)}
	if p.from.Default != "" {
		byDefault := strings.ReplaceAll(p.up.text, rowName+"."+p.old, "("+p.from.Default+")")
		swap = append(swap, t.alter("ALTER COLUMN "+p.old+" SET DEFAULT "+strings.ReplaceAll(byDefault, rowName+".", "")))
		back = slices.Concat([]string{t.alter("ALTER COLUMN " + p.old + " DROP DEFAULT")}, back)
	}
	// The old type under its hidden name now follows the new one. The trigger's condition follows the
	// columns by itself: it is the same two.
	reverse := fmt.Sprintf(`
BEGIN
	new.%[1]s := %[2]s;
	IF %[3]s THEN
		RAISE EXCEPTION 'column %% cannot be of a value that its old type has not, as long as the change of its type may be undone', %[4]s
			USING ERRCODE = 'numeric_value_out_of_range';
	END IF;
	RETURN new;
END `, p.hidden, p.down.of("new"), differ("new."+p.old, p.up.renamed(p.old, p.hidden).of("new"), p.typ), literal(p.old))
	k.add(migrate.Step{
		Phase: migrate.Soaking, Name: "exchange " + full + "." + p.old, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: append(swap, k.function(p.function, reverse)), Undo: append(back, k.function(p.function, before)),
	})
	k.add(migrate.Step{
		Phase: migrate.Contracting, Name: "drop the old " + full + "." + p.old, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: append(k.dropTrigger(t, p.function), t.alter("DROP COLUMN "+p.hidden)),
	})
}
