// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"

	"github.com/rheostat-go/rheostat/migrate"
)

// hideable refuses a column that cannot have another name for a while.
func (p *compiler) hideable(t *table, c column) error {
	if c.pk > 0 {
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("%s.%s is of the primary key, and SQLite gives it values that no trigger can copy in time", t.name, c.name), Unsupported: true,
			Fix: "make a table with the other key and move to it",
		}
	}
	if by, err := p.schema.referring(p.ctx, t, c.name); err != nil || by != "" {
		if err != nil {
			return err
		}
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("a foreign key of %s refers to %s.%s", by, t.name, c.name), Unsupported: true,
			Fix: "make a table with the other key and move to it",
		}
	}
	return t.free(oldPrefix + c.name)
}

// droppable refuses a column that SQLite cannot drop. What is made of constraints and
// views, the rehearsal finds.
func (p *compiler) droppable(t *table, c column) error { return p.hideable(t, c) }

// dropIndexes are the statements that drop the indexes which need a column.
func (p *compiler) dropIndexes(t *table, c string) ([]string, error) {
	indexes, err := p.schema.indexesOn(p.ctx, t, c)
	var statements []string
	for _, i := range indexes {
		statements = append(statements, "DROP INDEX "+quote(i.name))
		p.note(p.op, fmt.Sprintf("index %s goes with %s.%s", i.name, t.name, c), "if the new version needs one like it, add an AddIndex to the change")
	}
	return statements, err
}

// dropColumn hides a column that the new version does not write, and drops it.
func (p *compiler) dropColumn(o migrate.DropColumn) error {
	t, c, err := p.tableColumn(o.Table, o.Column)
	if err != nil {
		return err
	}
	if err := p.droppable(t, c); err != nil {
		return err
	}
	loosen := c.notNull && c.def == ""
	if loosen && o.Fill == "" {
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("%s.%s is not null and has no default, so a version that does not write it cannot insert", t.name, c.name),
			Fix: "say in Fill what the old version is to read there",
		}
	}
	var list []trigger
	if o.Fill != "" {
		list = p.fill(t, c, o.Fill, loosen)
	}
	p.hide(t, c.name)
	drop, err := p.dropIndexes(t, c.name)
	if err != nil {
		return err
	}
	return p.contract(t, "drop "+t.name+"."+c.name, list, append(drop, alter(t, "DROP COLUMN %s", quote(oldPrefix+c.name)))...)
}

// fill is the triggers that give a column a value where a version does not write it.
func (p *compiler) fill(t *table, c column, fill string, loosen bool) []trigger {
	value := p.expression(t, fill)
	null := "NEW." + quote(c.name) + " IS NULL"
	list := []trigger{{
		name: triggerName(t, c.name, "fill"), event: "AFTER INSERT", table: t.name, when: null,
		body: fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", quote(t.name), quote(c.name), value.of(""), t.at()),
	}}
	s := migrate.Step{Phase: migrate.Syncing, Name: "fill " + t.name + "." + c.name, Locks: p.lock(true), Rows: t.rows}
	if loosen {
		list = append(list,
			trigger{name: triggerName(t, c.name, "keep_insert"), event: "BEFORE INSERT", table: t.name, when: null + " AND " + value.of("NEW") + " IS NULL", body: notNullFailed(t, c.name)},
			trigger{name: triggerName(t, c.name, "keep_update"), event: "BEFORE UPDATE OF " + quote(c.name), table: t.name, when: null + " AND OLD." + quote(c.name) + " IS NOT NULL", body: notNullFailed(t, c.name)})
		s.Do = []string{alter(t, "ALTER COLUMN %s DROP NOT NULL", quote(c.name))}
		s.Undo = []string{alter(t, "ALTER COLUMN %s SET NOT NULL", quote(c.name))}
	}
	s.Do, s.Undo = append(s.Do, creates(list)...), append(drops(list), s.Undo...)
	p.step(s)
	return list
}

// dropTable hides a table, and drops it.
func (p *compiler) dropTable(o migrate.DropTable) error {
	t, err := p.table(o.Table)
	if err != nil {
		return err
	}
	by, err := p.schema.referring(p.ctx, t, "")
	if err != nil {
		return err
	}
	if by != "" && by != t.name {
		return &migrate.UnsafeError{Why: fmt.Sprintf("a foreign key of %s refers to %s", by, t.name), Fix: "drop that table, or its column, first"}
	}
	hidden := oldPrefix + t.name
	p.step(migrate.Step{
		Phase: migrate.Soaking, Name: "hide " + t.name, Locks: p.lock(true),
		Do: []string{alter(t, "RENAME TO %s", quote(hidden))}, Undo: []string{"ALTER TABLE " + quote(hidden) + " RENAME TO " + quote(t.name)},
	})
	p.step(migrate.Step{Phase: migrate.Contracting, Name: "drop " + t.name, Do: []string{"DROP TABLE " + quote(hidden)}, Locks: p.lock(false), Rows: t.rows})
	return nil
}
