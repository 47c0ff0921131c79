// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

func (x *compiler) addColumn(o migrate.AddColumn) error {
	op := "add column " + o.Table + "." + o.Column
	t, err := x.table(o.Table, op)
	if err != nil {
		return err
	}
	if _, err := x.adding(t, o.Column, o.Type, op); err != nil {
		return err
	}
	definition := quote(o.Column) + " " + o.Type + " NULL"
	if o.Default != "" {
		definition += " DEFAULT " + o.Default
		x.filled[o.Table+"."+o.Column] = true
	}
	x.step(migrate.Step{
		Phase: migrate.Expanding, Name: op, Locks: metadata(o.Table), Holds: columnHolds(o.Table, o.Column, ""),
		Do: []string{alter(o.Table, "ADD COLUMN "+definition+instant)}, Undo: []string{alter(o.Table, "DROP COLUMN "+quote(o.Column)+instant)},
	})
	return nil
}

func (x *compiler) backfill(o migrate.Backfill) error {
	op := "backfill " + o.Table + "." + o.Column
	t, c, err := x.tableColumn(o.Table, o.Column, op)
	if err != nil {
		return err
	}
	if len(t.key) == 0 {
		return x.noKey(op, o.Table)
	}
	pending := quote(c.name) + " IS NULL"
	if o.Where != "" {
		pending = "(" + o.Where + ") AND NOT " + x.same(c, quote(c.name), "("+o.Value+")")
	} else {
		// A version that knows the column and sets it to null means it.
		body := fmt.Sprintf("IF NEW.%[1]s IS NULL%%s THEN SET NEW.%[1]s = %[2]s; END IF", quote(c.name), strings.ReplaceAll(overNew(o.Value, t.names()), "%", "%%"))
		x.triggers("fill "+o.Table+"."+o.Column, t.name, map[string]string{
			"BEFORE INSERT": fmt.Sprintf(body, ""), "BEFORE UPDATE": fmt.Sprintf(body, " AND OLD."+quote(c.name)+" IS NULL"),
		}, true)
		x.filled[o.Table+"."+o.Column] = true
	}
	x.step(migrate.Step{Phase: migrate.Backfilling, Name: op, Rows: t.rows, Walk: &migrate.Walk{
		Table: t.name, Method: method, Key: t.key, Set: []migrate.Assign{{Column: c.name, Value: o.Value}}, Pending: pending,
	}})
	return nil
}

// same compares two values of a column's type as they are stored, where the column's
// collation would take A for a.
func (x *compiler) same(c *column, a, b string) string {
	if !c.text {
		switch typ := strings.ToLower(c.typ); {
		case strings.Contains(typ, "char"), strings.Contains(typ, "text"), strings.HasPrefix(typ, "enum"), strings.HasPrefix(typ, "set"), strings.HasPrefix(typ, "json"):
		default:
			return "(" + a + " <=> " + b + ")"
		}
	}
	return "(BINARY CONVERT(" + a + " USING utf8mb4) <=> BINARY CONVERT(" + b + " USING utf8mb4))"
}

func (x *compiler) makeNotNull(o migrate.MakeNotNull) error {
	op := "make " + o.Table + "." + o.Column + " not null"
	t, c, err := x.tableColumn(o.Table, o.Column, op)
	if err != nil {
		return err
	}
	if !c.null {
		return x.refuse(op, "it is not null already", "leave the operation out", false)
	}
	if !c.dflt.Valid && !x.filled[o.Table+"."+o.Column] {
		return x.refuse(op, "a version that does not write the column would fail", "put a Backfill of it before in the same change, which fills it for that version", false)
	}
	x.notNull(t, c, op)
	return nil
}

func (x *compiler) notNull(t *table, c *column, op string) {
	if c.charset == "" && c.collate == "" && !slices.ContainsFunc(t.columns, func(o column) bool { return o.name == c.name && o.text }) {
		c = &column{name: c.name, typ: c.typ, null: true, dflt: c.dflt, extra: c.extra, comment: c.comment}
	}
	x.step(migrate.Step{
		Phase: migrate.Verifying, Name: op, Rows: t.rows, Grows: t.bytes, Holds: columnHolds(t.name, c.name, "is_nullable = 'NO'"),
		Locks: metadata(t.name),
		Do:    []string{alter(t.name, "MODIFY "+quote(c.name)+" "+c.definition(false)+online)},
		Undo:  []string{alter(t.name, "MODIFY "+quote(c.name)+" "+c.definition(true)+online)},
	})
	x.note("the server rebuilds "+t.name+" to make "+c.name+" not null, beside its users", "")
}
