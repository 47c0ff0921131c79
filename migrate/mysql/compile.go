// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// Compile makes the script of a change; see migrate.Database.
func (d *Database) Compile(ctx context.Context, c migrate.Change) (migrate.Script, error) {
	if err := c.Check(); err != nil {
		return migrate.Script{}, err
	}
	x := compiler{ctx: ctx, d: d, c: c, tables: map[string]*table{}, filled: map[string]bool{}}
	var errs []error
	for i, op := range c.Ops {
		x.op = i
		if err := x.compile(op); err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortStableFunc(x.script.Steps, func(a, b migrate.Step) int { return cmp.Compare(a.Phase, b.Phase) })
	return x.script, errors.Join(errs...)
}

type compiler struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one call of Compile
	d      *Database
	c      migrate.Change
	op     int
	tables map[string]*table
	// filled are columns, as table.column, that the change itself gives a value in every
	// row that an old version writes.
	filled map[string]bool
	script migrate.Script
}

func (x *compiler) compile(op migrate.Op) error {
	switch op := op.(type) {
	case migrate.AddColumn:
		return x.addColumn(op)
	case migrate.ReplaceColumn:
		return x.replace(op)
	case migrate.RenameColumn:
		return x.rename(op)
	case migrate.ChangeType:
		return x.changeType(op)
	case migrate.Backfill:
		return x.backfill(op)
	case migrate.MakeNotNull:
		return x.makeNotNull(op)
	case migrate.AddIndex:
		return x.addIndex(op)
	case migrate.AddForeignKey:
		return x.addForeignKey(op)
	case migrate.AddCheck:
		return x.refuse("add check "+op.Name, "the server copies the table to add a check, and stops writers meanwhile",
			"check it in the program, or add it in a maintenance window by an SQL operation with Safe", true)
	case migrate.SplitTable:
		return x.split(op)
	case migrate.DropColumn:
		return x.dropColumn(op)
	case migrate.DropTable:
		return x.dropTable(op)
	case migrate.SQL:
		return x.sql(op)
	}
	return x.refuse(fmt.Sprintf("%T", op), "this version does not know it", "use a newer version of migrate/mysql", true)
}

func (x *compiler) refuse(op, why, fix string, unsupported bool) error {
	return &migrate.UnsafeError{Op: fmt.Sprintf("operation %d, %s", x.op, op), Why: why, Fix: fix, Unsupported: unsupported}
}

// table reads a table once; op is what for.
func (x *compiler) table(name, op string) (*table, error) {
	if t := x.tables[name]; t != nil {
		return t, nil
	}
	t, err := x.d.read(x.ctx, name)
	if err != nil {
		if errors.Is(err, errNoTable) {
			return nil, x.refuse(op, "there is no table "+name, "create it by a versioned migration first", false)
		}
		return nil, x.refuse(op, fmt.Sprintf("table %s: %v", name, err), "", false)
	}
	x.tables[name] = t
	return t, nil
}

// tableColumn reads a table and one of its columns, which an earlier operation may add.
func (x *compiler) tableColumn(name, col, op string) (*table, *column, error) {
	t, err := x.table(name, op)
	if err != nil {
		return nil, nil, err
	}
	c := t.column(col)
	if c == nil {
		return nil, nil, x.refuse(op, "table "+name+" has no column "+col, "", false)
	}
	return t, c, nil
}

// adding notes a column that the change adds, for the operations after it.
func (x *compiler) adding(t *table, name, typ, op string) (*column, error) {
	if t.column(name) != nil {
		return nil, x.refuse(op, "table "+t.name+" has a column "+name+" already", "choose another name, or drop it first", false)
	}
	t.columns = append(t.columns, column{name: name, typ: typ, null: true})
	return &t.columns[len(t.columns)-1], nil
}

func (x *compiler) step(s migrate.Step) {
	s.Op = x.op
	if s.Walk == nil {
		s.Alone = true
	}
	x.script.Steps = append(x.script.Steps, s)
}

func (x *compiler) note(why, fix string) {
	x.script.Notes = append(x.script.Notes, migrate.Note{Op: x.op, Why: why, Fix: fix})
}

// metadata is the lock of a statement that only changes the catalog.
func metadata(table string) []migrate.Lock {
	return []migrate.Lock{{Table: table, Mode: "exclusive metadata lock", Reads: true, Writes: true, Brief: true}}
}

const (
	instant = ", ALGORITHM=INSTANT"
	online  = ", ALGORITHM=INPLACE, LOCK=NONE"
)

func alter(table, what string) string { return "ALTER TABLE " + quote(table) + " " + what }

func (x *compiler) noKey(op, table string) error {
	return x.refuse(op, "table "+table+" has no primary key, so its rows cannot be told apart", "give it one", true)
}

// transactional are the statements that a transaction can take back.
var transactional = []string{"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH"}

func (x *compiler) sql(o migrate.SQL) error {
	if !o.Alone {
		for _, text := range o.Do {
			first, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(text))+" ", " ")
			if !slices.Contains(transactional, first) {
				return x.refuse("SQL "+o.Name, first+" commits by itself here, and cannot be one transaction with the record of it", "make it Alone, with one statement and a Holds", true)
			}
		}
	}
	if err := sqlstate.Lint(x.ctx, x.d.store, o); err != nil {
		return err
	}
	phase := max(o.Phase, migrate.Expanding)
	x.script.Steps = append(x.script.Steps, migrate.Step{Phase: phase, Op: x.op, Name: o.Name, Do: o.Do, Undo: o.Undo, Alone: o.Alone, Holds: o.Holds})
	return nil
}
