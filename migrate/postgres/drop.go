// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rheostat-go/rheostat/migrate"
)

// refused makes an error of the server's one of the operation.
func (k *compiler) refused(field string, err error) error {
	if cause := context.Cause(k.ctx); cause != nil && err != nil {
		return cause
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return k.unsafe("field "+field+": "+e.Message, "")
	}
	return err
}

// dropColumn hides a column and drops it later. Until then a trigger fills it where the new version
// writes rows without it.
func (k *compiler) dropColumn(op migrate.DropColumn) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	c := t.column(op.Column)
	if c == nil {
		return k.unsafe(fmt.Sprintf("table %s has no column %s", t.full(), op.Column), "")
	}
	if err := k.leavable(t, op.Column, "dropped"); err != nil {
		return err
	}
	full, name, away := t.full(), k.quote(op.Column), k.quote(hidden(op.Column))
	hide := migrate.Step{
		Phase: migrate.Soaking, Name: "hide " + full + "." + name, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: []string{t.alter("RENAME COLUMN " + name + " TO " + away)}, Undo: []string{t.alter("RENAME COLUMN " + away + " TO " + name)},
	}
	var drop []string
	switch {
	case op.Fill != "":
		e, err := k.express("Fill", t, op.Fill)
		if err != nil {
			return err
		}
		e = k.literalAs(e, op.Fill, c.Type)
		function := k.name("fill")
		body := func(name string, e expression) string {
			return fmt.Sprintf("\nBEGIN\n\tnew.%s := %s;\n\tRETURN new;\nEND ", name, e.of("new"))
		}
		k.syncStep(t, function, "fill "+full+"."+name+" in rows written without it", body(name, e), "BEFORE INSERT", "WHEN (new."+name+" IS NULL) ")
		hide.Do = append(hide.Do, k.function(function, body(away, e.renamed(name, away))))
		hide.Undo = append(hide.Undo, k.function(function, body(name, e)))
		drop = k.dropTrigger(t, function)
	case c.NotNull && c.Default == "" && !c.Generated:
		return k.unsafe(fmt.Sprintf("column %s must not be null and has no default, so the new version could insert nothing", op.Column), "give Fill")
	}
	indexes, checks, foreign, _, _ := t.on(op.Column)
	if gone := slices.Concat(indexes, checks, foreign); len(gone) > 0 {
		k.note("with column "+op.Column+" go "+strings.Join(gone, ", "), "")
	}
	k.add(hide)
	k.add(migrate.Step{
		Phase: migrate.Contracting, Name: "drop " + full + "." + name, Locks: []migrate.Lock{brief(full, exclusive)},
		Do: append(drop, t.alter("DROP COLUMN "+away)),
	})
	return nil
}

func (k *compiler) dropTable(op migrate.DropTable) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	var users []string
	for _, r := range t.Referred {
		if r.Table != t.Quoted && r.Table != t.full() {
			users = append(users, "foreign key "+r.Name+" of "+r.Table)
		}
	}
	for _, d := range t.Dependents {
		users = append(users, d.What)
	}
	if t.Parent {
		users = append(users, "tables that inherit from it")
	}
	if len(users) > 0 {
		slices.Sort(users)
		return k.unsafe(fmt.Sprintf("table %s cannot be dropped while these use it: %s", t.full(), strings.Join(slices.Compact(users), ", ")), "drop them in an earlier change")
	}
	away := k.quote(hidden(t.Name))
	k.add(migrate.Step{
		Phase: migrate.Soaking, Name: "hide " + t.full(), Do: []string{t.alter("RENAME TO " + away)},
		Undo:  []string{"ALTER TABLE " + t.Schema + "." + away + " RENAME TO " + t.Quoted},
		Locks: []migrate.Lock{brief(t.full(), exclusive)},
	})
	locks := []migrate.Lock{brief(t.Schema+"."+away, exclusive)}
	for _, f := range t.Foreign {
		k.note("dropping "+t.full()+" stops writers of the table that "+f.Name+" refers to for a moment: "+f.Text, "")
	}
	k.add(migrate.Step{Phase: migrate.Contracting, Name: "drop " + t.full(), Do: []string{"DROP TABLE " + t.Schema + "." + away}, Locks: locks})
	return nil
}

// raw takes statements as they are.
func (k *compiler) raw(op migrate.SQL) error {
	if err := k.lint(op); err != nil {
		return err
	}
	s := migrate.Step{Phase: op.Phase, Name: op.Name, Do: op.Do, Undo: op.Undo, Alone: op.Alone, Holds: op.Holds}
	if s.Phase == migrate.Planned {
		s.Phase = migrate.Expanding
	}
	if s.Phase == migrate.Contracting {
		s.Undo = nil
	}
	k.add(s)
	return nil
}
