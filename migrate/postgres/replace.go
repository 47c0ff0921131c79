// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// pair is a column and the one that takes its place.
type pair struct {
	t *table
	// from is the old column, and old, new, and hidden are names as SQL.
	from             *column
	newName, typ     string
	old, new, hidden string
	// up is over the old column, and down over the new one; down without text is none.
	up, down expression
	same     bool // the values are
	notNull  bool
	function string
}

// pending is a condition over a row: whether the new column is not as the old one has it. What a
// new version wrote is right when the old column is as that has it, as up need not be the reverse
// of down.
func (p pair) pending(row string) string {
	up := differ(row+"."+p.new, p.up.of(row), p.typ)
	switch {
	case p.same:
		return up
	case p.down.text == "":
		return fmt.Sprintf("%s.%s IS NULL AND (%s) IS NOT NULL", row, p.new, p.up.of(row))
	}
	return fmt.Sprintf("%s AND (%s.%s IS NULL OR %s)", up, row, p.new, differ(row+"."+p.old, p.down.of(row), p.from.Type))
}

// body is the trigger function: which side was written is told from which one changed, so that
// it works for any client through any pooler. A write of both is the new version's.
func (p pair) body() string {
	backward := "NULL; -- the old column keeps what it has"
	if p.down.text != "" {
		backward = fmt.Sprintf("new.%s := %s;", p.old, p.down.of("new"))
	}
	forward := fmt.Sprintf("new.%s := %s;", p.new, p.up.of("new"))
	return fmt.Sprintf(`
BEGIN
	IF tg_op = 'INSERT' THEN
		IF new.%[1]s IS NOT NULL THEN
			%[3]s
		ELSE
			%[4]s
		END IF;
	ELSIF %[5]s THEN
		%[3]s
	ELSIF %[6]s THEN
		%[4]s
	ELSIF %[7]s THEN
		%[4]s
	END IF;
	RETURN new;
END `, p.new, p.old, backward, forward, differ("new."+p.new, "old."+p.new, p.typ), differ("new."+p.old, "old."+p.old, p.from.Type), p.pending("new"))
}

// when is the trigger's condition: rows that are right already, such as those that the backfill
// writes, cost no call.
func (p pair) when() string {
	if p.up.looks {
		return ""
	}
	return "WHEN (" + differ("new."+p.new, p.up.of("new"), p.typ) + ") "
}

// soaking is the pair while the old column has its hidden name.
func (p pair) soaking() pair {
	p.up = p.up.renamed(p.old, p.hidden)
	p.down = p.down.renamed(p.old, p.hidden)
	p.old = p.hidden
	return p
}

// function is CREATE OR REPLACE of a trigger function.
func (k *compiler) function(name, body string) string {
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION %s.%s() RETURNS trigger LANGUAGE plpgsql AS %s", k.d.schema, name, dollars(body))
}

// dollars quotes a body.
func dollars(body string) string {
	tag := "$rheostat$"
	for i := 0; strings.Contains(body, tag); i++ {
		tag = fmt.Sprintf("$rheostat%d$", i)
	}
	return tag + body + tag
}

// trigger is CREATE TRIGGER. Triggers fire in the order of their names: this one after others, whose
// work it is to see.
func (k *compiler) trigger(t *table, name, on, when string) string {
	return fmt.Sprintf("CREATE TRIGGER zz_%s %s ON %s FOR EACH ROW %sEXECUTE FUNCTION %s.%s()", name, on, t.full(), when, k.d.schema, name)
}

func (k *compiler) dropTrigger(t *table, name string) []string {
	return []string{"DROP TRIGGER zz_" + name + " ON " + t.full(), fmt.Sprintf("DROP FUNCTION %s.%s()", k.d.schema, name)}
}

// replaceColumn compiles a ReplaceColumn and a RenameColumn.
func (k *compiler) replaceColumn(op migrate.ReplaceColumn) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	from, err := k.columnOf(t, op.Old)
	if err != nil {
		return err
	}
	if err := k.fresh(t, op.New); err != nil {
		return err
	}
	p := pair{
		t: t, from: from, newName: op.New, old: k.quote(op.Old), new: k.quote(op.New), hidden: k.quote(hidden(op.Old)), notNull: op.NotNull, function: k.name("sync"),
	}
	if p.typ, err = k.typeOf(op.Type); err != nil {
		return err
	}
	if err := k.leavable(t, op.Old, "replaced"); err != nil {
		return err
	}
	if err := k.convert(&p, op); err != nil {
		return err
	}
	t.Columns = append(t.Columns, column{Name: op.New, Type: p.typ, planned: true, filled: true})
	from = t.column(op.Old) // the slice may have moved
	p.from = from
	if p.down, err = k.downOf(p, op); err != nil {
		return err
	}
	if err := k.nullable(p, op); err != nil {
		return err
	}
	if op.Loses != "" {
		k.script.Loses = append(k.script.Loses, op.Loses)
	}
	k.carried(t, op.Old, op.New)
	k.replaceSteps(p, "column "+t.full()+"."+p.old+" by "+p.new)
	return nil
}

// convert reads Up.
func (k *compiler) convert(p *pair, op migrate.ReplaceColumn) (err error) {
	p.same = op.Up == "" && op.Down == "" && op.Loses == ""
	p.up = value(p.old, p.from.Type).castTo(p.typ)
	if op.Up == "" {
		_, err = k.express("Type", p.t, "("+p.old+")::"+p.typ)
		return err
	}
	p.up, err = k.express("Up", p.t, op.Up)
	if err == nil && p.up.drifts {
		err = k.unsafe("field Up gives another value each time, so nothing could tell whether a row is right", "use a Backfill for such values")
	}
	p.up = k.literalAs(p.up, op.Up, p.typ)
	return err
}

// downOf reads Down.
func (k *compiler) downOf(p pair, op migrate.ReplaceColumn) (e expression, err error) {
	switch {
	case op.Down != "":
		e, err = k.express("Down", p.t, op.Down)
		if err == nil && e.drifts {
			err = k.unsafe("field Down gives another value each time, so nothing could tell whether a row is right", "")
		}
		return k.literalAs(e, op.Down, p.from.Type), err
	case op.Up == "" && op.Loses == "":
		return value(p.new, p.typ).castTo(p.from.Type), nil
	}
	if p.from.NotNull && p.from.Default == "" {
		err = k.unsafe(fmt.Sprintf("column %s must not be null and has no default, so without Down the new version could insert nothing", op.Old), "give Down")
	}
	return expression{}, err
}

// literalAs gives a literal the type of the column that it is for.
func (k *compiler) literalAs(e expression, text, typ string) expression {
	if strings.HasPrefix(strings.TrimSpace(text), "'") && e.typ == "text" && e.typ != typ {
		return e.castTo(typ)
	}
	return e
}

// nullable refuses NotNull where old clients may go on to write null.
func (k *compiler) nullable(p pair, op migrate.ReplaceColumn) error {
	if !p.notNull || p.from.NotNull && op.Up == "" {
		return nil
	}
	if !p.from.NotNull {
		nulls := &table{Schema: "pg_catalog", Quoted: "pg_class"}
		for _, c := range p.t.Columns {
			c.planned = true
			nulls.Columns = append(nulls.Columns, c)
		}
		if gives, err := k.nullsGive(nulls, p.up); err != nil || !gives {
			return err
		}
		return k.unsafe(fmt.Sprintf("column %s may be null, and old clients go on to write null, which the new column would refuse", op.Old),
			"give an Up that is never null, such as coalesce("+p.old+", ''), or make the column not null in a later change")
	}
	return nil
}

// nullsGive says whether an expression is null over a row of nulls.
func (k *compiler) nullsGive(t *table, e expression) (bool, error) {
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, "NULL::"+c.Type+" AS "+k.quote(c.Name))
	}
	row, err := k.d.one(k.ctx, "SELECT ("+e.of("r")+") IS NULL FROM (SELECT "+strings.Join(columns, ", ")+") AS r")
	if err != nil || row == nil {
		return false, err
	}
	return string(row[0]) == "t", nil
}

// leavable refuses to take a column away that something else holds on to.
func (k *compiler) leavable(t *table, name, done string) error {
	_, _, _, referred, dependents := t.on(name)
	switch {
	case slices.Contains(t.Key, name):
		return k.unsafe(fmt.Sprintf("column %s is part of the primary key and cannot be %s", name, done), "move the rows to a table with another key")
	case len(referred) > 0:
		return k.unsafe(fmt.Sprintf("other tables refer to column %s: %s", name, strings.Join(referred, ", ")), "drop those foreign keys in an earlier change")
	case len(dependents) > 0:
		return k.unsafe(fmt.Sprintf("column %s cannot be %s while these use it: %s", name, done, strings.Join(dependents, ", ")),
			"drop them, or make them anew without the column, in an earlier change")
	case t.column(name) != nil && t.column(name).Identity:
		return k.unsafe(fmt.Sprintf("column %s is an identity column", name), "drop the identity first")
	}
	return nil
}

// carried notes what the new column does not get by itself.
func (k *compiler) carried(t *table, old, by string) {
	indexes, checks, foreign, _, _ := t.on(old)
	for _, op := range k.change.Ops { // what the change adds itself
		switch op := op.(type) {
		case migrate.AddIndex:
			if slices.Contains(op.Columns, by) || slices.Contains(op.Columns, k.quote(by)) {
				indexes = nil
			}
		case migrate.AddForeignKey:
			if slices.Contains(op.Columns, by) {
				foreign = nil
			}
		}
	}
	tell := func(what string, names []string, fix string) {
		if len(names) > 0 {
			k.note(fmt.Sprintf("%s %s on column %s goes with it when the change is contracted", what, strings.Join(names, ", "), old), fix)
		}
	}
	tell("index", indexes, "add an AddIndex on "+by+" to the change")
	tell("check", checks, "add an AddCheck on "+by+" to the change")
	tell("foreign key", foreign, "add an AddForeignKey on "+by+" to the change")
	if c := t.column(old); c != nil && c.Grants {
		k.note("rights on column "+old+" alone are not given on "+by, "grant them once the change is ready")
	}
	if len(t.Triggers) > 0 {
		k.note(fmt.Sprintf("table %s has triggers of its own: %s; those that come before zz_rheostat in the alphabet see a row before both sides are the same", t.full(), strings.Join(t.Triggers, ", ")),
			"see whether they use column "+old)
	}
}
