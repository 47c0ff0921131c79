// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

func (x *compiler) noKey(op, table string) error {
	return x.refuse(op, "table "+table+" has no primary key, so its rows cannot be told apart", "give it one", true)
}

// triggers makes a step that creates triggers, and one that drops them in the end.
func (x *compiler) triggers(name, table string, bodies map[string]string, drop bool) {
	var names, create, remove []string
	for _, event := range slices.Sorted(maps.Keys(bodies)) {
		trigger := ours("sync", x.c.ID, x.op, name, event)
		names = append(names, trigger)
		create = append(create, when(strings.Replace(triggerHolds(trigger), "= 1", "= 0", 1), createTrigger(trigger, event, table, bodies[event])))
		remove = append(remove, "DROP TRIGGER IF EXISTS "+quote(trigger))
	}
	x.step(migrate.Step{Phase: migrate.Syncing, Name: "triggers that " + name, Locks: metadata(table), Holds: triggerHolds(names...), Clean: remove, Do: create, Undo: remove})
	if drop {
		x.step(migrate.Step{Phase: migrate.Contracting, Name: "drop the triggers that " + name, Locks: metadata(table), Do: remove, Holds: noTriggers(names)})
	}
}

func noTriggers(names []string) string {
	return strings.Replace(triggerHolds(names...), fmt.Sprintf("= %d", len(names)), "= 0", 1)
}

func createTrigger(name, event, table, body string) string {
	return fmt.Sprintf("CREATE TRIGGER %s %s ON %s FOR EACH ROW BEGIN %s; END", quote(name), event, quote(table), body)
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
