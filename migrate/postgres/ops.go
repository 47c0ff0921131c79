// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// compile adds the steps of one operation.
func (k *compiler) compile(op migrate.Op) error {
	switch op := op.(type) {
	case migrate.AddColumn:
		return k.compileAddColumn(op)
	case migrate.ReplaceColumn:
		return k.replaceColumn(op)
	case migrate.RenameColumn:
		return k.renameColumn(op)
	case migrate.ChangeType:
		return k.changeType(op)
	case migrate.Backfill:
		return k.backfill(op)
	case migrate.MakeNotNull:
		return k.makeNotNull(op)
	case migrate.AddIndex:
		return k.addIndex(op)
	case migrate.AddForeignKey:
		return k.addForeignKey(op)
	case migrate.AddCheck:
		return k.addCheck(op)
	case migrate.SplitTable:
		return k.splitTable(op)
	case migrate.DropColumn:
		return k.dropColumn(op)
	case migrate.DropTable:
		return k.dropTable(op)
	case migrate.SQL:
		return k.raw(op)
	}
	return &migrate.UnsafeError{Op: k.opText, Why: "this version does not know the operation", Unsupported: true}
}

func (k *compiler) compileAddColumn(op migrate.AddColumn) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	if err := k.fresh(t, op.Column); err != nil {
		return err
	}
	typ, err := k.typeOf(op.Type)
	if err != nil {
		return err
	}
	if op.Default != "" {
		e, err := k.express("Default", nil, op.Default)
		if err != nil {
			return err
		}
		if e.drifts {
			return k.unsafe("a default that is not constant has every row written anew while nobody can use the table", "add the column without it, and use a Backfill")
		}
	}
	k.addColumn(t, k.quote(op.Column), typ, "", op.Default)
	t.Columns = append(t.Columns, column{Name: op.Column, Type: typ, Default: op.Default, planned: true, filled: op.Default != ""})
	return nil
}

func (k *compiler) renameColumn(op migrate.RenameColumn) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	c, err := k.columnOf(t, op.Old)
	if err != nil {
		return err
	}
	return k.replaceColumn(migrate.ReplaceColumn{Table: op.Table, Old: op.Old, New: op.New, Type: c.Type, NotNull: c.NotNull})
}

// backfill fills a column: in new rows by a trigger, in the others by a walk.
func (k *compiler) backfill(op migrate.Backfill) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	c, err := k.columnOf(t, op.Column)
	if err != nil {
		return err
	}
	e, err := k.express("Value", t, op.Value)
	if err != nil {
		return err
	}
	e = k.literalAs(e, op.Value, c.Type)
	name := k.quote(op.Column)
	pending := func(row string) string { return row + "." + name + " IS NULL" }
	if op.Where != "" {
		where, err := k.express("Where", t, op.Where)
		if err != nil {
			return err
		}
		if where.typ != "boolean" {
			return k.unsafe("field Where is "+where.typ+", not boolean", "")
		}
		if where.looks {
			return k.unsafe("field Where looks at other rows, which may change meanwhile", "say it over the row's own columns")
		}
		if e.drifts {
			return k.unsafe("field Value gives another value each time, so a row that was filled could not be told from one that was not", "fill the rows in which the column is null, without Where")
		}
		pending = func(row string) string {
			return "(" + where.of(row) + ") AND " + differ(row+"."+name, e.of(row), c.Type)
		}
		k.note("rows that a version writes with another value in "+op.Column+" are left as they are, though Where may hold for them", "")
	}
	full, row := t.full(), k.quote(t.Name)
	when := "WHEN (" + "new." + name + " IS NULL) "
	// A null that is written over a value is meant, and left to MakeNotNull to refuse.
	body := fmt.Sprintf("\nBEGIN\n\tIF tg_op = 'INSERT' OR old.%[1]s IS NULL THEN\n\t\tnew.%[1]s := %[2]s;\n\tEND IF;\n\tRETURN new;\nEND ", name, e.of("new"))
	if op.Where != "" {
		when = "WHEN (new." + name + " IS NULL AND " + pending("new") + ") "
		if e.looks {
			when = "WHEN (new." + name + " IS NULL) "
		}
	}
	function := k.name("fill")
	k.syncStep(t, function, "fill "+full+"."+name+" in rows written without it", body, "BEFORE INSERT OR UPDATE", when)
	walk := &migrate.Walk{
		Table: t.plain(), Method: k.method(t, op.Column), Key: t.Key, Pending: pending(row),
		Set: []migrate.Assign{{Column: op.Column, Value: e.of(row)}},
	}
	k.add(t.updates(migrate.Step{Phase: migrate.Backfilling, Name: "fill " + full + "." + name, Walk: walk}))
	k.add(migrate.Step{
		Phase: migrate.Contracting, Name: "stop filling " + full + "." + name, Do: k.dropTrigger(t, function),
		Locks: []migrate.Lock{brief(full, exclusive)},
	})
	c.filled = c.filled || op.Where == ""
	return nil
}

// method is keyset where an index on the column keeps updates from staying in their page.
func (k *compiler) method(t *table, name string) string {
	indexes, _, _, _, _ := t.on(name)
	if len(indexes) > 0 && len(t.Key) > 0 {
		return methodKeyset
	}
	return methodHot
}

func (k *compiler) makeNotNull(op migrate.MakeNotNull) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	c, err := k.columnOf(t, op.Column)
	switch {
	case err != nil:
		return err
	case c.NotNull:
		k.note("column "+op.Column+" is not null already", "")
		return nil
	case !c.filled && c.Default == "":
		return k.unsafe(fmt.Sprintf("versions that run now may write rows without %s, which would then fail", op.Column),
			"put a Backfill of the column before it in the same change: it fills such rows too")
	}
	row := k.quote(t.Name)
	k.verify(t, "look for null in "+t.full()+"."+k.quote(op.Column), row+"."+k.quote(op.Column)+" IS NULL")
	k.notNull(t, op.Column)
	c.NotNull = true
	return nil
}

func (k *compiler) addCheck(op migrate.AddCheck) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	e, err := k.express("Holds", t, op.Holds)
	switch {
	case err != nil:
		return err
	case e.typ != "boolean":
		return k.unsafe("field Holds is "+e.typ+", not boolean", "")
	case e.looks || e.drifts:
		return k.unsafe("a check must tell from the row alone, and always the same", "")
	}
	if err := k.freeName(t, op.Name); err != nil {
		return err
	}
	row := k.quote(t.Name)
	k.verify(t, "look for rows of "+t.full()+" that break "+k.quote(op.Name), "("+e.of(row)+") IS FALSE")
	k.checkSteps(t, op.Name, strings.ReplaceAll(e.text, rowName+".", ""))
	k.note("from Verifying on, versions that break check "+op.Name+" fail", "")
	return nil
}

// freeName refuses the name of a constraint that is there, or is too long.
func (k *compiler) freeName(t *table, name string) error {
	row, err := k.d.one(k.ctx, fmt.Sprintf("SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = %d AND conname = %s", t.OID, literal(name)))
	switch {
	case err != nil:
		return err
	case row != nil:
		return k.unsafe(fmt.Sprintf("table %s has a constraint %s already", t.full(), name), "choose another name")
	case len(name) > 63:
		return k.unsafe("the name "+name+" is longer than 63 bytes", "choose a shorter one")
	}
	return nil
}

func (k *compiler) addForeignKey(op migrate.AddForeignKey) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	to, err := k.table(op.To)
	if err != nil {
		return err
	}
	if t.Kind == "p" {
		return &migrate.UnsafeError{Op: k.opText, Unsupported: true, Why: "a foreign key of a partitioned table cannot be validated later", Fix: "add it to each partition"}
	}
	if err := k.freeName(t, op.Name); err != nil {
		return err
	}
	for i, c := range op.Columns {
		if t.column(c) == nil || to.column(op.Refer[i]) == nil {
			return k.unsafe(fmt.Sprintf("there is no column %s.%s or %s.%s", op.Table, c, op.To, op.Refer[i]), "")
		}
	}
	unique := slices.ContainsFunc(to.Indexes, func(i index) bool {
		return strings.HasPrefix(i.Text, "CREATE UNIQUE") && len(i.Leading) == len(op.Refer) && !slices.ContainsFunc(op.Refer, func(c string) bool { return !slices.Contains(i.Leading, c) })
	})
	if !unique {
		return k.unsafe(fmt.Sprintf("nothing makes %s of %s unique", strings.Join(op.Refer, ", "), op.To), "add a unique index in an earlier change")
	}
	if !slices.ContainsFunc(t.Indexes, func(i index) bool { return len(i.Leading) > 0 && i.Leading[0] == op.Columns[0] }) {
		k.note(fmt.Sprintf("no index of %s begins with %s, so each delete from %s reads the whole table", op.Table, op.Columns[0], op.To), "add an AddIndex")
	}
	k.foreignSteps(t, to, op)
	return nil
}

func (k *compiler) foreignSteps(t, to *table, op migrate.AddForeignKey) {
	row, name := k.quote(t.Name), k.quote(op.Name)
	var given, equal []string
	for i, c := range op.Columns {
		given = append(given, row+"."+k.quote(c)+" IS NOT NULL")
		equal = append(equal, "rh_to."+k.quote(op.Refer[i])+" = "+row+"."+k.quote(c))
	}
	k.verify(t, "look for rows of "+t.full()+" that break "+name, fmt.Sprintf("%s AND NOT EXISTS (SELECT FROM %s AS rh_to WHERE %s)",
		strings.Join(given, " AND "), to.full(), strings.Join(equal, " AND ")))
	text := fmt.Sprintf("ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)", name, k.quoteAll(op.Columns, ""), to.full(), k.quoteAll(op.Refer, ""))
	if op.OnDelete != "" {
		text += " ON DELETE " + op.OnDelete
	}
	locks := []migrate.Lock{brief(t.full(), shareExclusive)}
	validate := []migrate.Lock{long(t.full(), updating)}
	if to != t {
		locks = append(locks, brief(to.full(), shareExclusive))
		validate = append(validate, long(to.full(), rowShare))
	}
	k.add(migrate.Step{
		Phase: migrate.Verifying, Name: "add foreign key " + name + " to " + t.full(), Do: []string{t.alter(text + " NOT VALID")},
		Undo: []string{t.alter("DROP CONSTRAINT " + name)}, Locks: locks,
	})
	k.validate(t, op.Name, validate...)
}

// addIndex builds an index concurrently. One that failed is left invalid: it is dropped and built anew.
func (k *compiler) addIndex(op migrate.AddIndex) error {
	t, err := k.table(op.Table)
	if err != nil {
		return err
	}
	if t.Kind == "p" {
		return &migrate.UnsafeError{
			Op: k.opText, Unsupported: true, Why: "an index of a partitioned table cannot be built while it is written",
			Fix: "build one on each partition with AddIndex, then CREATE INDEX ON ONLY and ATTACH PARTITION in a SQL operation",
		}
	}
	if len(op.Name) > 63 {
		return k.unsafe("the name "+op.Name+" is longer than 63 bytes", "choose a shorter one")
	}
	name := t.Schema + "." + k.quote(op.Name)
	row, err := k.d.one(k.ctx, "SELECT pg_catalog.to_regclass("+literal(name)+")")
	if err != nil {
		return err
	}
	if len(row) > 0 && row[0] != nil {
		return k.unsafe("there is something named "+op.Name+" already", "choose another name, or drop it first")
	}
	var columns []string
	for _, c := range op.Columns {
		if t.column(c) != nil {
			c = k.quote(c)
		}
		columns = append(columns, c)
	}
	text := k.quote(op.Name) + " ON " + t.full() + " (" + strings.Join(columns, ", ") + ")"
	if op.Where != "" {
		text += " WHERE " + op.Where
	}
	unique := ""
	if op.Unique {
		unique = "UNIQUE "
		k.note("while index "+op.Name+" is built, versions that write duplicates fail already", "")
	}
	if err := k.rehearse(t, unique, strings.Replace(text, " ON "+t.full()+" ", " ON pg_temp.rh_0_copy ", 1)); err != nil {
		return err
	}
	k.add(t.indexed(migrate.Step{
		Phase: migrate.Verifying, Name: "build index " + name, Alone: true,
		Do:   []string{"CREATE " + unique + "INDEX CONCURRENTLY " + text},
		Undo: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + name}, Clean: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + name},
		Holds: fmt.Sprintf("SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(%s) AND indrelid = %s::regclass AND indisvalid AND indisready)",
			literal(name), literal(t.full())),
		Locks: []migrate.Lock{long(t.full(), updating)},
	}, len(columns)))
	return nil
}

// rehearse builds the index on an empty copy, which is never there, to see whether it can be.
func (k *compiler) rehearse(t *table, unique, text string) error {
	var more strings.Builder
	for _, c := range t.Columns {
		if c.planned {
			more.WriteString("ALTER TABLE pg_temp.rh_0_copy ADD COLUMN " + k.quote(c.Name) + " " + c.Type + ";\n")
		}
	}
	_, err := k.d.run(k.ctx, "BEGIN;\nSET LOCAL client_min_messages = error;\nCREATE TEMPORARY TABLE rh_0_copy (LIKE "+t.full()+");\n"+more.String()+
		"CREATE "+unique+"INDEX "+text+";\nROLLBACK")
	return k.refused("Columns or Where", err)
}
