// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

func (x *compiler) dropTable(o migrate.DropTable) error {
	op := "drop table " + o.Table
	t, err := x.table(o.Table, op)
	if err != nil {
		return err
	}
	var users []string
	for _, f := range t.foreign {
		if !f.ours {
			users = append(users, "foreign key "+f.name)
		}
	}
	for name := range t.views {
		users = append(users, "view "+name)
	}
	if len(users) > 0 {
		slices.Sort(users)
		return x.refuse(op, "it is used by "+strings.Join(slices.Compact(users), ", "), "drop these first", false)
	}
	hidden := hiddenName(o.Table)
	x.step(migrate.Step{
		Phase: migrate.Soaking, Name: "hide table " + o.Table, Locks: metadata(o.Table), Holds: tableMissing(o.Table),
		Do:   []string{"RENAME TABLE " + quote(o.Table) + " TO " + quote(hidden)},
		Undo: []string{"RENAME TABLE " + quote(hidden) + " TO " + quote(o.Table)},
	})
	x.step(migrate.Step{Phase: migrate.Contracting, Name: op, Locks: metadata(hidden), Holds: tableMissing(hidden), Do: []string{"DROP TABLE IF EXISTS " + quote(hidden)}})
	return nil
}

func (x *compiler) dropColumn(o migrate.DropColumn) error {
	op := "drop column " + o.Table + "." + o.Column
	t, c, err := x.tableColumn(o.Table, o.Column, op)
	if err != nil {
		return err
	}
	if users := t.users(c.name); len(users) > 0 {
		return x.refuse(op, "it is used by "+strings.Join(users, ", "), "drop these first", false)
	}
	if !c.null && !c.dflt.Valid && !c.auto {
		if o.Fill == "" {
			return x.refuse(op, "it is not null and has no default, so the new version could not insert rows without it", "give Fill, the value that the old version reads in such rows", false)
		}
		x.step(migrate.Step{
			Phase: migrate.Expanding, Name: "a default for " + o.Table + "." + o.Column, Locks: metadata(o.Table),
			Holds: columnHolds(t.name, c.name, "column_default IS NOT NULL"),
			Do:    []string{alter(o.Table, "ALTER COLUMN "+quote(c.name)+" SET DEFAULT ("+o.Fill+")"+instant)},
			Undo:  []string{alter(o.Table, "ALTER COLUMN "+quote(c.name)+" DROP DEFAULT"+instant)},
		})
	}
	hidden := hiddenName(c.name)
	x.step(migrate.Step{
		Phase: migrate.Soaking, Name: "hide column " + o.Table + "." + o.Column, Locks: metadata(o.Table), Holds: columnHolds(o.Table, hidden, ""),
		Do:   []string{alter(o.Table, "RENAME COLUMN "+quote(c.name)+" TO "+quote(hidden)+instant)},
		Undo: []string{alter(o.Table, "RENAME COLUMN "+quote(hidden)+" TO "+quote(c.name)+instant)},
	})
	x.indexesOf(t, c.name)
	x.step(migrate.Step{
		Phase: migrate.Contracting, Name: op, Locks: metadata(o.Table), Holds: columnMissing(o.Table, hidden),
		Do: []string{alter(o.Table, "DROP COLUMN "+quote(hidden)+instant)},
	})
	return nil
}

// indexesOf drops the indexes that use a column, before it goes.
func (x *compiler) indexesOf(t *table, column string) {
	for _, i := range t.indexes {
		if !slices.ContainsFunc(i.columns, func(c string) bool { return strings.EqualFold(c, column) }) {
			continue
		}
		x.note(fmt.Sprintf("index %s uses %s and is dropped with it", i.name, column), "add one for the new version with AddIndex if it needs it")
		x.step(migrate.Step{
			Phase: migrate.Contracting, Name: "drop index " + i.name, Locks: metadata(t.name),
			Holds: strings.Replace(indexHolds(t.name, i.name), "count(*) > 0", "count(*) = 0", 1),
			Do:    []string{alter(t.name, "DROP INDEX "+quote(i.name)+online)},
		})
	}
}
