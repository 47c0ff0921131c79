// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rheostat-go/rheostat/migrate"
	"github.com/rheostat-go/rheostat/migrate/internal/sqlstate"
)

// oldPrefix begins the name under which the old side is hidden.
const oldPrefix = "_rh_old_"

// What a row costs, of some 200 bytes. Estimates of the plan come from them.
const (
	scanRow    = 400 * time.Nanosecond
	indexRow   = 1100 * time.Nanosecond
	rewriteRow = 2500 * time.Nanosecond
	updateRow  = 4 * time.Microsecond
)

// compiler makes the script of one change.
type compiler struct {
	ctx    context.Context //nolint:containedctx // it lives for one call of Compile
	d      *Database
	schema *schema
	wal    bool
	change migrate.Change
	op     int
	script migrate.Script
	// filled are columns that triggers of this change fill, with their tables.
	filled map[[2]string]bool
	// first are steps that go before the others of Contracting.
	first []string
}

// Compile makes the script of a change against the schema as it is now. It rehearses the
// script, forwards, back, and forwards to the end, on an empty copy of the schema in
// memory, so that whatever SQLite would refuse, such as dropping a column that a view
// reads, is refused here.
func (d *Database) Compile(ctx context.Context, c migrate.Change) (migrate.Script, error) {
	if err := c.Check(); err != nil {
		return migrate.Script{}, err
	}
	objects, err := readSchema(ctx, d.DB())
	if err != nil {
		return migrate.Script{}, classify(err)
	}
	var mode string
	if err := d.DB().QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return migrate.Script{}, classify(err)
	}
	scratch, err := copyOf(ctx, objects)
	if err != nil {
		return migrate.Script{}, err
	}
	p := &compiler{ctx: ctx, d: d, schema: scratch, wal: mode == "wal", change: c, filled: map[[2]string]bool{}}
	script, err := p.compile()
	if err := errors.Join(err, scratch.Close()); err != nil {
		return migrate.Script{}, err
	}
	return script, rehearse(ctx, objects, c, script)
}

func (p *compiler) compile() (migrate.Script, error) {
	if !p.wal {
		p.note(-1, "the file is not in WAL mode, so every write stops readers too", "PRAGMA journal_mode = wal")
	}
	for _, left := range p.schema.left {
		p.note(-1, "not rehearsed, because it cannot be copied: "+left.Error(), "see to it that it does not need what the change takes away")
	}
	var errs []error
	for i, op := range p.change.Ops {
		p.op = i
		from := len(p.script.Steps)
		err := p.one(op)
		if err == nil {
			err = p.apply(p.script.Steps[from:])
		}
		if err != nil {
			errs = append(errs, wrapped(p.change, i, err))
		}
	}
	slices.SortStableFunc(p.script.Steps, func(a, b migrate.Step) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), -cmp.Compare(p.early(a), p.early(b)))
	})
	return p.script, errors.Join(errs...)
}

// early is 1 for a step of Contracting that makes a column not null: before the triggers go
// that keep it so.
func (p *compiler) early(s migrate.Step) int {
	if s.Phase == migrate.Contracting && slices.Contains(p.first, s.Name) {
		return 1
	}
	return 0
}

// wrapped names the operation.
func wrapped(c migrate.Change, i int, err error) error {
	if unsafe, ok := errors.AsType[*migrate.UnsafeError](err); ok {
		if unsafe.Op == "" {
			unsafe.Op = name(c, i)
		}
		return unsafe
	}
	return fmt.Errorf("sqlite: change %s: %s: %w", c.ID, name(c, i), err)
}

// name is the operation's number and kind.
func name(c migrate.Change, i int) string { return fmt.Sprintf("Ops[%d] %T", i, c.Ops[i]) }

func (p *compiler) one(op migrate.Op) error {
	switch op := op.(type) {
	case migrate.AddColumn:
		return p.addColumn(op)
	case migrate.ReplaceColumn:
		return p.replaceColumn(op)
	case migrate.RenameColumn:
		return p.renameColumn(op)
	case migrate.ChangeType:
		return p.changeType(op)
	case migrate.Backfill:
		return p.backfill(op)
	case migrate.MakeNotNull:
		return p.makeNotNull(op)
	case migrate.AddIndex:
		return p.addIndex(op)
	case migrate.AddForeignKey:
		return &migrate.UnsafeError{
			Why: "SQLite cannot give a table that exists a foreign key", Unsupported: true,
			Fix: "add a column that has the constraint in its Type, such as AddColumn{Type: \"integer REFERENCES " + op.To + "\"}, and Backfill it",
		}
	case migrate.AddCheck:
		return p.addCheck(op)
	case migrate.SplitTable:
		return p.splitTable(op)
	case migrate.DropColumn:
		return p.dropColumn(op)
	case migrate.DropTable:
		return p.dropTable(op)
	case migrate.SQL:
		return p.sql(op)
	}
	return &migrate.UnsafeError{Why: fmt.Sprintf("SQLite has nothing for a %T", op), Unsupported: true}
}

// apply does the steps before Soaking in the copy, for the operations that follow.
func (p *compiler) apply(steps []migrate.Step) error {
	for _, s := range steps {
		if s.Phase >= migrate.Soaking || s.Op != p.op {
			continue
		}
		if err := run(p.ctx, p.schema, s.Do); err != nil {
			return refused(s, err)
		}
	}
	return nil
}

// step adds one.
func (p *compiler) step(s migrate.Step) {
	s.Op = p.op
	p.script.Steps = append(p.script.Steps, s)
}

func (p *compiler) note(op int, why, fix string) {
	p.script.Notes = append(p.script.Notes, migrate.Note{Op: op, Why: why, Fix: fix})
}

// lock is the one lock there is.
func (p *compiler) lock(brief bool) []migrate.Lock {
	return []migrate.Lock{{Table: "the whole file", Mode: "EXCLUSIVE", Reads: !p.wal, Writes: true, Brief: brief}}
}

// stall says how long work that grows with the table takes under the write lock, or
// refuses it.
func (p *compiler) stall(t *table, what string, row time.Duration) (time.Duration, error) {
	takes := time.Duration(t.rows) * row
	if takes > p.d.o.Stall {
		return takes, &migrate.UnsafeError{
			Why: fmt.Sprintf("SQLite must %s of %d rows of %s under the file's write lock, and every writer would wait about %v", what, t.rows, t.name, takes.Round(100*time.Millisecond)),
			Fix: fmt.Sprintf("allow it with Options.Stall (now %v), at a time at which writers can wait", p.d.o.Stall),
		}
	}
	return takes, nil
}

func (p *compiler) table(name string) (*table, error) { return p.schema.table(p.ctx, p.d.DB(), name) }

// tableColumn is a table and an ordinary column of it.
func (p *compiler) tableColumn(tableName, columnName string) (*table, column, error) {
	t, err := p.table(tableName)
	if err != nil {
		return nil, column{}, err
	}
	c, ok := t.column(columnName)
	switch {
	case !ok:
		return nil, c, fmt.Errorf("table %s has no column %s", t.name, columnName)
	case c.generated:
		return nil, c, &migrate.UnsafeError{Why: fmt.Sprintf("%s.%s is generated from other columns", t.name, c.name), Unsupported: true, Fix: "change the columns it is made of"}
	}
	return t, c, nil
}

// free is an error if a column is there.
func (t *table) free(columns ...string) error {
	for _, name := range columns {
		if _, there := t.column(name); there {
			return fmt.Errorf("table %s has a column %s already", t.name, name)
		}
	}
	return nil
}

// sql is a step of the owner's.
func (p *compiler) sql(o migrate.SQL) error {
	if err := sqlstate.Lint(p.ctx, p.d.store, o); err != nil {
		return err
	}
	p.step(migrate.Step{
		Phase: max(o.Phase, migrate.Expanding), Name: o.Name, Do: o.Do, Undo: o.Undo, Alone: o.Alone, Holds: o.Holds, Locks: p.lock(false),
	})
	return nil
}
