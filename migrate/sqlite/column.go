// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

func alter(t *table, format string, args ...any) string {
	return "ALTER TABLE " + quote(t.name) + " " + fmt.Sprintf(format, args...)
}

func (p *compiler) addColumn(o migrate.AddColumn) error {
	t, err := p.table(o.Table)
	if err != nil {
		return err
	}
	if err := t.free(o.Column); err != nil {
		return err
	}
	definition := quote(o.Column) + " " + o.Type
	if o.Default != "" {
		definition += " DEFAULT " + o.Default
	}
	// A table with rows takes less than one without, so it is tried on one that has some.
	probe := []string{"CREATE TABLE _rh_probe (a)", "INSERT INTO _rh_probe VALUES (1)", "ALTER TABLE _rh_probe ADD COLUMN " + definition, "DROP TABLE _rh_probe"}
	if err := run(p.ctx, p.schema, probe); err != nil {
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("SQLite cannot add %s to a table that has rows: %v", definition, err),
			Fix: "add it without a default, Backfill it and MakeNotNull",
		}
	}
	return p.add(t, o.Column, definition)
}

// add is the step that adds a column.
func (p *compiler) add(t *table, name, definition string) error {
	takes, err := p.stall(t, "take a new column back, if it is rolled back, out", rewriteRow)
	if err != nil {
		return err
	}
	if err := t.free(name); err != nil {
		return err
	}
	p.step(migrate.Step{
		Phase: migrate.Expanding, Name: "add column " + t.name + "." + name,
		Do: []string{alter(t, "ADD COLUMN %s", definition)}, Undo: []string{alter(t, "DROP COLUMN %s", quote(name))},
		Locks: p.lock(true),
	})
	if takes > 0 {
		p.note(p.op, fmt.Sprintf("rolling back drops %s.%s again, for which SQLite rewrites the table: writers wait about %s", t.name, name, brief(takes)), "")
	}
	return nil
}

// addNullable is a column that a trigger fills.
func (p *compiler) addNullable(t *table, name, typ, def string) error {
	definition := quote(name) + " " + typ
	if def != "" {
		definition += " DEFAULT " + def
	}
	return p.add(t, name, strings.TrimSpace(definition))
}

func (p *compiler) addIndex(o migrate.AddIndex) error {
	t, err := p.table(o.Table)
	if err != nil {
		return err
	}
	takes, err := p.stall(t, "build an index", indexRow)
	if err != nil {
		return err
	}
	text := "CREATE INDEX "
	if o.Unique {
		text = "CREATE UNIQUE INDEX "
	}
	text += quote(o.Name) + " ON " + quote(t.name) + " (" + listed(o.Columns, func(c string) string {
		if found, ok := t.column(c); ok {
			return quote(found.name)
		}
		return c
	}) + ")"
	if o.Where != "" {
		text += " WHERE " + o.Where
	}
	p.step(migrate.Step{
		Phase: migrate.Verifying, Name: "add index " + o.Name, Do: []string{text}, Undo: []string{"DROP INDEX " + quote(o.Name)},
		Locks: p.lock(false), Rows: t.rows, Takes: takes,
	})
	return nil
}

func (p *compiler) addCheck(o migrate.AddCheck) error {
	t, err := p.table(o.Table)
	if err != nil {
		return err
	}
	takes, err := p.stall(t, "check each", scanRow)
	if err != nil {
		return err
	}
	p.step(migrate.Step{
		Phase: migrate.Verifying, Name: "add check " + o.Name + " to " + t.name,
		Do:    []string{alter(t, "ADD CONSTRAINT %s CHECK (%s)", quote(o.Name), o.Holds)},
		Undo:  []string{alter(t, "DROP CONSTRAINT %s", quote(o.Name))},
		Locks: p.lock(false), Rows: t.rows, Takes: takes,
	})
	return nil
}

// makeNotNull sets a column not null: now, if every version writes it; when the change is
// contracted, if a trigger writes it for one. SQLite looks at the row before the trigger
// has written it, so the old version needs it nullable, and triggers see to the rest.
func (p *compiler) makeNotNull(o migrate.MakeNotNull) error {
	t, c, err := p.tableColumn(o.Table, o.Column)
	if err != nil {
		return err
	}
	if c.notNull {
		return fmt.Errorf("%s.%s is not null already", t.name, c.name)
	}
	filled := p.filled[[2]string{t.name, c.name}]
	if !filled && c.def == "" {
		return &migrate.UnsafeError{
			Why: fmt.Sprintf("a version that does not write %s.%s would fail: it has no default", t.name, c.name),
			Fix: "put a Backfill of it into the same change, before this",
		}
	}
	takes, err := p.stall(t, "look at each", scanRow)
	if err != nil {
		return err
	}
	step := migrate.Step{
		Phase: migrate.Verifying, Name: "make " + t.name + "." + c.name + " not null",
		Do: []string{alter(t, "ALTER COLUMN %s SET NOT NULL", quote(c.name))}, Undo: []string{alter(t, "ALTER COLUMN %s DROP NOT NULL", quote(c.name))},
		Locks: p.lock(false), Rows: t.rows, Takes: takes,
	}
	if filled {
		p.noNulls(t, c.name)
		step.Phase, step.Undo = migrate.Contracting, nil
		p.first = append(p.first, step.Name)
	}
	p.step(step)
	return nil
}

// noNulls verifies that a column has no nulls, which triggers fill.
func (p *compiler) noNulls(t *table, name string) {
	guard := trigger{
		name: triggerName(t, name, "keep"), event: "BEFORE UPDATE OF " + quote(name), table: t.name,
		when: "NEW." + quote(name) + " IS NULL AND OLD." + quote(name) + " IS NOT NULL", body: notNullFailed(t, name),
	}
	p.step(migrate.Step{
		Phase: migrate.Syncing, Name: "keep " + t.name + "." + name + " from becoming null",
		Do: []string{guard.create()}, Undo: []string{guard.drop()}, Locks: p.lock(true),
	})
	p.step(migrate.Step{
		Phase: migrate.Verifying, Name: "look for nulls in " + t.name + "." + name, Rows: t.rows,
		Walk: &migrate.Walk{Table: t.name, Method: t.method, Key: t.key, Pending: quote(name) + " IS NULL", Verify: true},
	})
	p.step(migrate.Step{
		Phase: migrate.Contracting, Name: "let " + t.name + "." + name + " be", Do: []string{guard.drop()}, Locks: p.lock(true),
	})
}

// backfill fills a column in the rows there are, and by triggers in those that a version
// writes without it.
func (p *compiler) backfill(o migrate.Backfill) error {
	t, c, err := p.tableColumn(o.Table, o.Column)
	if err != nil {
		return err
	}
	value := p.expression(t, o.Value)
	null := "NEW." + quote(c.name) + " IS NULL"
	where := quote(c.name) + " IS NULL"
	if o.Where != "" {
		where = "(" + o.Where + ")"
		null += " AND " + p.expression(t, o.Where).of("NEW")
	}
	body := fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", quote(t.name), quote(c.name), value.of(""), t.at())
	emptied := null + " AND OLD." + quote(c.name) + " IS NOT NULL AND " + value.of("NEW") + " IS NOT NULL"
	p.filled[[2]string{t.name, c.name}] = o.Where == ""
	p.triggers("fill "+t.name+"."+c.name, []trigger{
		{name: triggerName(t, c.name, "fill_insert"), event: "AFTER INSERT", table: t.name, when: null + " AND " + value.of("NEW") + " IS NOT NULL", body: body},
		{name: triggerName(t, c.name, "fill_update"), event: "AFTER UPDATE OF " + quote(c.name), table: t.name, when: emptied, body: body},
	}, nil, nil)
	p.walk(t, migrate.Walk{
		Set:     []migrate.Assign{{Column: c.name, Value: value.of("")}},
		Pending: where + " AND " + quote(c.name) + " IS NOT " + value.of(""),
	})
	return nil
}

// walk is the step that writes every row once.
func (p *compiler) walk(t *table, w migrate.Walk) {
	w.Table, w.Key = t.name, t.key
	if w.Method == "" {
		w.Method = t.method
	}
	p.step(migrate.Step{Phase: migrate.Backfilling, Name: "backfill " + t.name, Walk: &w, Rows: t.rows, Takes: perRow(t, updateRow), Locks: p.lock(true)})
}

// verify is the step that proves every row right.
func (p *compiler) verify(t *table, pending string) {
	w := migrate.Walk{Table: t.name, Method: t.method, Key: t.key, Pending: pending, Verify: true}
	p.step(migrate.Step{Phase: migrate.Verifying, Name: "verify " + t.name, Walk: &w, Rows: t.rows, Takes: perRow(t, scanRow)})
}
