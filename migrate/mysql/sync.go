// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// pair is an old column and the new one that is kept the same.
type pair struct {
	t        *table
	old, new *column
	// up and down are the values over the row's columns. An empty down leaves the old
	// column as it is.
	up, down string
}

// overHidden is an expression with the old column under its hidden name.
func (p pair) overHidden(expr string) string {
	renamed := map[string]string{strings.ToLower(p.old.name): hiddenName(p.old.name)}
	return strings.ReplaceAll(overNew(expr, renamed), "NEW.", "")
}

// bodies are what keeps the two the same, with the old column under a name. On INSERT the
// new column wins where it is given; on UPDATE the one that was changed, and the new one
// if both were. A new value that is what up makes of the old one leaves the old one as it
// is, so that the backfill writes nothing back.
func (x *compiler) bodies(p pair, oldName string) map[string]string {
	columns := p.t.names(oldName)
	up, down := p.up, p.down
	if oldName != p.old.name {
		columns = p.t.names(oldName)
		delete(columns, strings.ToLower(p.old.name))
		up, down = p.overHidden(up), p.overHidden(down)
	}
	up, down = overNew(up, columns), overNew(down, columns)
	o, n := quote(oldName), quote(p.new.name)
	back := doNothing
	if down != "" {
		back = fmt.Sprintf("IF NOT %s THEN SET NEW.%s = %s; END IF", x.same(p.new, "NEW."+n, "("+up+")"), o, down)
	}
	return map[string]string{
		"BEFORE INSERT": fmt.Sprintf("IF NEW.%s IS NOT NULL THEN %s; ELSE SET NEW.%s = %s; END IF", n, back, n, up),
		"BEFORE UPDATE": fmt.Sprintf("IF NOT %s THEN %s; ELSEIF NOT %s THEN SET NEW.%s = %s; END IF",
			x.same(p.new, "NEW."+n, "OLD."+n), back, x.same(p.old, "NEW."+o, "OLD."+o), n, up),
	}
}

func (x *compiler) rename(o migrate.RenameColumn) error {
	op := "rename column " + o.Table + "." + o.Old
	_, c, err := x.tableColumn(o.Table, o.Old, op)
	if err != nil {
		return err
	}
	return x.replace(migrate.ReplaceColumn{Table: o.Table, Old: o.Old, New: o.New, Type: c.typeOnly(), NotNull: !c.null})
}

// typeOnly is the column's type with its collation.
func (c column) typeOnly() string {
	if c.text {
		return c.typ + " CHARACTER SET " + c.charset + " COLLATE " + c.collate
	}
	return c.typ
}

func (x *compiler) replace(o migrate.ReplaceColumn) error {
	op := "replace column " + o.Table + "." + o.Old + " by " + o.New
	p, err := x.pair(o, op)
	if err != nil {
		return err
	}
	x.syncing(p, op)
	if o.NotNull {
		x.notNull(p.t, p.new, "make "+o.Table+"."+o.New+" not null")
	}
	hidden := hiddenName(p.old.name)
	before, after := x.bodies(p, p.old.name), x.bodies(p, hidden)
	name := "keep " + p.old.name + " and " + p.new.name + " the same"
	beforeNames, afterNames := x.triggerNames(name, before), x.triggerNames(name+" while it is hidden", after)
	x.step(migrate.Step{
		Phase: migrate.Soaking, Name: "hide column " + o.Table + "." + o.Old, Locks: metadata(o.Table),
		Holds: "SELECT (" + columnHolds(o.Table, hidden, "") + ") AND (" + noTriggers(beforeNames) + ") AND (" + triggerHolds(afterNames...) + ")",
		Do:    []string{x.exchange(o.Table, p.old.name, hidden, afterNames, after, beforeNames)},
		Undo:  []string{x.exchange(o.Table, hidden, p.old.name, beforeNames, before, afterNames)},
		Clean: []string{x.exchange(o.Table, hidden, p.old.name, beforeNames, before, afterNames)},
	})
	x.indexesOf(p.t, p.old.name)
	x.step(migrate.Step{
		Phase: migrate.Contracting, Name: "drop column " + o.Table + "." + o.Old, Locks: metadata(o.Table),
		Holds: "SELECT (" + columnMissing(o.Table, hidden) + ") AND (" + noTriggers(afterNames) + ")",
		// The triggers first: nobody reads what they fill any more, and while they name a
		// column that is gone, every write fails.
		Do: []string{together(slices.Concat(
			[]string{"LOCK TABLES " + quote(o.Table) + " WRITE"}, drops(afterNames),
			[]string{when(columnHolds(o.Table, hidden, ""), alter(o.Table, "DROP COLUMN "+quote(hidden)+instant))},
		)...)},
	})
	return nil
}

// exchange renames a column and gives it the triggers that know it under its new name.
// Between the rename and the last statement the triggers that are going name a column
// that is not there, so that no write passes unsynced if the process dies.
func (x *compiler) exchange(table, from, to string, create []string, bodies map[string]string, drop []string) string {
	statements := []string{
		"LOCK TABLES " + quote(table) + " WRITE",
		when(columnHolds(table, from, ""), alter(table, "RENAME COLUMN "+quote(from)+" TO "+quote(to)+instant)),
	}
	for i, event := range events {
		statements = append(statements, when(noTriggers(create[i:i+1]), createTrigger(create[i], event, table, bodies[event])))
	}
	return together(append(statements, drops(drop)...)...)
}

var events = []string{"BEFORE INSERT", "BEFORE UPDATE"}

// triggerNames are the names of the triggers for events.
func (x *compiler) triggerNames(name string, bodies map[string]string) []string {
	var names []string
	for _, event := range events {
		if bodies[event] != "" {
			names = append(names, ours("sync", x.c.ID, x.op, name, event))
		}
	}
	return names
}

func drops(names []string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = "DROP TRIGGER IF EXISTS " + quote(n)
	}
	return all
}

// pair checks what a ReplaceColumn names.
func (x *compiler) pair(o migrate.ReplaceColumn, op string) (pair, error) {
	t, old, err := x.tableColumn(o.Table, o.Old, op)
	if err != nil {
		return pair{}, err
	}
	switch users := t.users(old.name); {
	case len(t.key) == 0:
		return pair{}, x.noKey(op, o.Table)
	case old.generated != "" || old.auto:
		return pair{}, x.refuse(op, "the old column is made by the server", "give the table a plain column first", true)
	case len(users) > 0:
		return pair{}, x.refuse(op, "the old column is used by "+strings.Join(users, ", "), "drop these first, or make them use the new column in a change of their own", false)
	case o.Up != "" && o.Down == "" && !old.null && !old.dflt.Valid:
		return pair{}, x.refuse(op, "the old column is not null and has no default, so the new version could not insert rows", "give Down", false)
	}
	oldName := old.name
	added, err := x.adding(t, o.New, o.Type, op)
	if err != nil {
		return pair{}, err
	}
	p := pair{t: t, old: t.column(oldName), new: added, up: o.Up, down: o.Down}
	if o.Up == "" {
		p.up, p.down = quote(oldName), quote(o.New)
	}
	if o.Loses != "" {
		x.script.Loses = append(x.script.Loses, o.Loses)
	}
	x.filled[o.Table+"."+o.New] = true
	return p, nil
}

// syncing adds the new column, keeps it the same, and makes the rows right.
func (x *compiler) syncing(p pair, op string) {
	table := p.t.name
	x.step(migrate.Step{
		Phase: migrate.Expanding, Name: "add column " + table + "." + p.new.name, Locks: metadata(table), Holds: columnHolds(table, p.new.name, ""),
		Do:   []string{alter(table, "ADD COLUMN "+quote(p.new.name)+" "+p.new.typ+" NULL"+instant)},
		Undo: []string{alter(table, "DROP COLUMN "+quote(p.new.name)+instant)},
	})
	x.triggers("keep "+p.old.name+" and "+p.new.name+" the same", table, x.bodies(p, p.old.name), false)
	pending := "NOT " + x.same(p.new, quote(p.new.name), "("+p.up+")")
	x.step(migrate.Step{Phase: migrate.Backfilling, Name: "backfill " + table + "." + p.new.name, Rows: p.t.rows, Grows: p.t.bytes / 2, Walk: &migrate.Walk{
		Table: table, Method: method, Key: p.t.key, Set: []migrate.Assign{{Column: p.new.name, Value: p.up}}, Pending: pending,
	}})
	x.step(migrate.Step{Phase: migrate.Verifying, Name: "verify " + op, Rows: p.t.rows, Walk: &migrate.Walk{
		Table: table, Method: method, Key: p.t.key, Pending: pending, Verify: true,
	}})
}

func (x *compiler) changeType(o migrate.ChangeType) error {
	op := "change the type of " + o.Table + "." + o.Column
	shadow := ours("new", o.Column)
	_, c, err := x.tableColumn(o.Table, o.Column, op)
	if err != nil {
		return err
	}
	up, down := o.Up, o.Down
	if up == "" {
		up = quote(c.name)
	}
	if down == "" {
		down = quote(shadow)
	} else {
		down = strings.ReplaceAll(overNew(down, map[string]string{strings.ToLower(c.name): shadow}), "NEW.", "")
	}
	null, dflt, indexed := c.null, c.dflt.Valid, slices.ContainsFunc(x.tables[o.Table].indexes, func(i index) bool { return slices.Contains(i.columns, c.name) })
	if dflt || indexed {
		return x.refuse(op, "the column has a default or an index, which the new one would not have", "use ReplaceColumn with a new name, and AddIndex", true)
	}
	name := c.name
	p, err := x.pair(migrate.ReplaceColumn{Table: o.Table, Old: name, New: shadow, Type: o.Type, Up: up, Down: down}, op)
	if err != nil {
		return err
	}
	x.syncing(p, op)
	if !null {
		x.notNull(p.t, p.new, "make the new "+o.Table+"."+name+" not null")
	}
	names := x.triggerNames("keep "+name+" and "+shadow+" the same", x.bodies(p, name))
	x.step(migrate.Step{
		Phase: migrate.Contracting, Name: op, Locks: metadata(o.Table),
		Holds: "SELECT (" + columnMissing(o.Table, shadow) + ") AND (" + noTriggers(names) + ")",
		Do: []string{together(append([]string{
			"LOCK TABLES " + quote(o.Table) + " WRITE",
			when(columnHolds(o.Table, shadow, ""), alter(o.Table, "DROP COLUMN "+quote(name)+", RENAME COLUMN "+quote(shadow)+" TO "+quote(name)+instant)),
		}, drops(names)...)...)},
	})
	return nil
}

// split moves columns into a table of their own, kept the same by AFTER triggers on both.
func (x *compiler) split(o migrate.SplitTable) error {
	op := "split " + o.Table + " into " + o.Into
	t, err := x.table(o.Table, op)
	if err != nil {
		return err
	}
	if len(t.key) == 0 {
		return x.noKey(op, o.Table)
	}
	if _, err := x.d.read(x.ctx, o.Into); err == nil {
		return x.refuse(op, "there is a table "+o.Into, "choose another name", false)
	}
	var define []string
	for _, name := range append(slices.Clone(t.key), o.Columns...) {
		c := t.column(name)
		switch users := t.users(name); {
		case c == nil:
			return x.refuse(op, "table "+o.Table+" has no column "+name, "", false)
		case slices.Contains(t.key, c.name):
			define = append(define, quote(c.name)+" "+c.typeOnly()+" NOT NULL")
		case len(users) > 0:
			return x.refuse(op, name+" is used by "+strings.Join(users, ", "), "drop these first", false)
		case !c.null && !c.dflt.Valid:
			return x.refuse(op, name+" is not null and has no default, so the new version could not insert into "+o.Table, "give it a default first", false)
		default:
			define = append(define, quote(c.name)+" "+c.definition(c.null))
		}
	}
	x.step(migrate.Step{
		Phase: migrate.Expanding, Name: "create table " + o.Into, Holds: tableHolds(o.Into),
		Do:   []string{"CREATE TABLE " + quote(o.Into) + " (" + strings.Join(define, ", ") + ", PRIMARY KEY (" + listed(t.key, quote) + ")) ENGINE=InnoDB"},
		Undo: []string{"DROP TABLE " + quote(o.Into)},
	})
	here, there := x.splitBodies(t, o)
	// Those of the new table first: no statement of a client opens it before the others.
	x.triggers("keep "+o.Table+" as "+o.Into, o.Into, there, true)
	x.triggers("keep "+o.Into+" as "+o.Table, o.Table, here, true)
	var differ []string
	for _, name := range o.Columns {
		c := t.column(name)
		differ = append(differ, x.same(c, "_rh_to."+quote(c.name), quote(o.Table)+"."+quote(c.name)))
	}
	pending := "NOT EXISTS (SELECT 1 FROM " + quote(o.Into) + " AS _rh_to WHERE " + x.sameKey(t, "_rh_to.", quote(o.Table)+".") + " AND " + strings.Join(differ, " AND ") + ")"
	x.step(migrate.Step{Phase: migrate.Backfilling, Name: "copy to " + o.Into, Rows: t.rows, Grows: t.bytes, Walk: &migrate.Walk{
		Table: o.Table, Method: method, Key: t.key, Into: o.Into, Columns: o.Columns, Pending: pending,
	}})
	x.step(migrate.Step{Phase: migrate.Verifying, Name: "verify " + o.Into, Rows: t.rows, Walk: &migrate.Walk{Table: o.Table, Method: method, Key: t.key, Pending: pending, Verify: true}})
	for _, name := range o.Columns {
		x.indexesOf(t, name)
		x.step(migrate.Step{
			Phase: migrate.Contracting, Name: "drop column " + o.Table + "." + name, Locks: metadata(o.Table), Holds: columnMissing(o.Table, name),
			Do: []string{alter(o.Table, "DROP COLUMN "+quote(name)+instant)},
		})
	}
	x.note("columns that are split off are not hidden during the soak on this server: a reader of them is noticed when they are dropped", "")
	return nil
}

func (x *compiler) sameKey(t *table, a, b string) string {
	parts := make([]string, len(t.key))
	for i, k := range t.key {
		parts[i] = a + quote(k) + " = " + b + quote(k)
	}
	return strings.Join(parts, " AND ")
}

// splitBodies are the triggers of the table and of the one split off. The server refuses a
// trigger that writes to the table whose statement set it off, so a variable of the
// connection says that a trigger of the pair is at work; an error takes it back.
func (x *compiler) splitBodies(t *table, o migrate.SplitTable) (here, there map[string]string) {
	guarded := func(statement string) string {
		return "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET @_rh_split = NULL; RESIGNAL; END; " +
			"IF @_rh_split IS NULL THEN SET @_rh_split = 1; " + statement + "; SET @_rh_split = NULL; END IF"
	}
	into, from := quote(o.Into), quote(o.Table)
	all := append(slices.Clone(t.key), o.Columns...)
	var set, changed, setBack []string
	for _, name := range o.Columns {
		c := quote(t.column(name).name)
		set = append(set, c+" = NEW."+c)
		changed = append(changed, "NOT "+x.same(t.column(name), "NEW."+c, "OLD."+c))
		setBack = append(setBack, c+" = NEW."+c)
	}
	values := listed(all, func(c string) string { return "NEW." + quote(c) })
	upsert := "INSERT INTO " + into + " (" + listed(all, quote) + ") VALUES (" + values + ") ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
	back := "UPDATE " + from + " SET " + strings.Join(setBack, ", ") + " WHERE " + x.sameKey(t, "", "NEW.")
	here = map[string]string{
		"AFTER INSERT": guarded(upsert),
		"AFTER UPDATE": guarded("IF " + strings.Join(changed, " OR ") + " OR NOT (" + x.sameKey(t, "OLD.", "NEW.") + ") THEN " +
			"IF NOT (" + x.sameKey(t, "OLD.", "NEW.") + ") THEN DELETE FROM " + into + " WHERE " + x.sameKey(t, "", "OLD.") + "; END IF; " + upsert + "; END IF"),
		"AFTER DELETE": guarded("DELETE FROM " + into + " WHERE " + x.sameKey(t, "", "OLD.")),
		lastEvent:      doNothing,
	}
	there = map[string]string{"AFTER INSERT": guarded(back), "AFTER UPDATE": guarded(back), lastEvent: doNothing}
	return here, there
}
