// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

func (x *compiler) addIndex(o migrate.AddIndex) error {
	op := "add index " + o.Name
	t, err := x.table(o.Table, op)
	if err != nil {
		return err
	}
	if o.Where != "" {
		return x.refuse(op, "there are no partial indexes", "index a generated column that is null where the condition is false", true)
	}
	if slices.ContainsFunc(t.indexes, func(i index) bool { return strings.EqualFold(i.name, o.Name) }) {
		return x.refuse(op, "there is an index of that name", "choose another name", false)
	}
	unique := ""
	if o.Unique {
		unique = "UNIQUE "
	}
	x.step(migrate.Step{
		Phase: migrate.Verifying, Name: op, Rows: t.rows, Locks: metadata(o.Table), Holds: indexHolds(o.Table, o.Name),
		Do:   []string{alter(o.Table, "ADD "+unique+"INDEX "+quote(o.Name)+" ("+strings.Join(o.Columns, ", ")+")"+online)},
		Undo: []string{alter(o.Table, "DROP INDEX "+quote(o.Name)+online)},
	})
	return nil
}

func (x *compiler) addForeignKey(o migrate.AddForeignKey) error {
	op := "add foreign key " + o.Name
	t, err := x.table(o.Table, op)
	if err != nil {
		return err
	}
	if _, err := x.table(o.To, op); err != nil {
		return err
	}
	if len(t.key) == 0 {
		return x.noKey(op, o.Table)
	}
	onDelete := ""
	if o.OnDelete != "" {
		onDelete = " ON DELETE " + o.OnDelete
	}
	if !t.indexed(o.Columns) { // the server would add one by itself, and leave it behind
		x.step(migrate.Step{
			Phase: migrate.Expanding, Name: "add index " + o.Name, Rows: t.rows, Locks: metadata(o.Table), Holds: indexHolds(o.Table, o.Name),
			Do:   []string{alter(o.Table, "ADD INDEX "+quote(o.Name)+" ("+listed(o.Columns, quote)+")"+online)},
			Undo: []string{alter(o.Table, "DROP INDEX "+quote(o.Name)+online)},
		})
	}
	add := fmt.Sprintf("ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)%s", quote(o.Name), listed(o.Columns, quote), quote(o.To), listed(o.Refer, quote), onDelete)
	x.step(migrate.Step{
		Phase: migrate.Expanding, Name: op + ", for new rows", Locks: append(metadata(o.Table), metadata(o.To)...), Holds: foreignHolds(o.Table, o.Name),
		// The server can only add one beside its users if it does not look at the rows.
		Do:   []string{together("SET SESSION foreign_key_checks = 0", alter(o.Table, add+online))},
		Undo: []string{alter(o.Table, "DROP FOREIGN KEY "+quote(o.Name)+online)},
	})
	var given, match []string
	for i, c := range o.Columns {
		given = append(given, quote(o.Table)+"."+quote(c)+" IS NOT NULL")
		match = append(match, "_rh_to."+quote(o.Refer[i])+" = "+quote(o.Table)+"."+quote(c))
	}
	x.step(migrate.Step{Phase: migrate.Verifying, Name: "verify " + o.Name + " for the rows before", Rows: t.rows, Walk: &migrate.Walk{
		Table: o.Table, Method: method, Key: t.key, Verify: true,
		Pending: strings.Join(given, " AND ") + " AND NOT EXISTS (SELECT 1 FROM " + quote(o.To) + " AS _rh_to WHERE " + strings.Join(match, " AND ") + ")",
	}})
	return nil
}
