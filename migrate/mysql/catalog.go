// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is what the catalog says of a table.
type table struct {
	name    string
	columns []column
	key     []string // primary
	indexes []index
	foreign []foreign
	// triggers and views are those that use the table, and text is what they say.
	triggers, views map[string]string
	checks          map[string]string
	rows, bytes     int64
}

type column struct {
	name, typ        string // typ is as ALTER TABLE takes it
	null, text, auto bool
	generated        string
	dflt             sql.NullString
	charset, collate string
	comment, extra   string
}

type index struct {
	name    string
	columns []string
}

type foreign struct {
	name, column, to, refer string
	ours                    bool // the table's own, not another's that refers to it
}

// errNoTable says that a table is not there.
var errNoTable = errors.New("there is no such table")

// read reads a table of the current schema.
func (d *Database) read(ctx context.Context, name string) (*table, error) {
	t := &table{name: name, triggers: map[string]string{}, views: map[string]string{}, checks: map[string]string{}}
	var kind, engine sql.NullString
	err := d.DB().QueryRowContext(ctx, "SELECT table_type, engine, COALESCE(table_rows, 0), COALESCE(data_length + index_length, 0)"+
		" FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?", name).Scan(&kind, &engine, &t.rows, &t.bytes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errNoTable
	case err != nil:
		return nil, err
	case kind.String != "BASE TABLE":
		return nil, fmt.Errorf("it is a %s", strings.ToLower(kind.String))
	case !strings.EqualFold(engine.String, "InnoDB"):
		return nil, fmt.Errorf("its engine is %s, which has no transactions", engine.String)
	}
	for _, read := range []func(context.Context, *table) error{d.readColumns, d.readIndexes, d.readForeign, d.readUsers, d.readChecks} {
		if err := read(ctx, t); err != nil {
			return nil, fmt.Errorf("read the catalog: %w", err)
		}
	}
	return t, nil
}

// each calls f for each row of a query.
func (d *Database) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) (err error) {
	rows, err := d.DB().QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *Database) readColumns(ctx context.Context, t *table) error {
	return d.each(ctx, "SELECT column_name, column_type, is_nullable = 'YES', column_default, extra, COALESCE(character_set_name, ''),"+
		" COALESCE(collation_name, ''), column_comment, COALESCE(generation_expression, '') FROM information_schema.columns"+
		" WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position", []any{t.name}, func(scan func(...any) error) error {
		var c column
		if err := scan(&c.name, &c.typ, &c.null, &c.dflt, &c.extra, &c.charset, &c.collate, &c.comment, &c.generated); err != nil {
			return err
		}
		c.text = c.charset != ""
		c.auto = strings.Contains(strings.ToLower(c.extra), "auto_increment")
		if strings.EqualFold(c.dflt.String, "NULL") {
			c.dflt = sql.NullString{} // MariaDB's word for none
		}
		t.columns = append(t.columns, c)
		return nil
	})
}

func (d *Database) readIndexes(ctx context.Context, t *table) error {
	return d.each(ctx, "SELECT index_name, COALESCE(column_name, '') FROM information_schema.statistics"+
		" WHERE table_schema = DATABASE() AND table_name = ? ORDER BY index_name, seq_in_index", []any{t.name}, func(scan func(...any) error) error {
		var name, column string
		if err := scan(&name, &column); err != nil {
			return err
		}
		if name == "PRIMARY" {
			t.key = append(t.key, column)
			return nil
		}
		if n := len(t.indexes); n > 0 && t.indexes[n-1].name == name {
			t.indexes[n-1].columns = append(t.indexes[n-1].columns, column)
			return nil
		}
		t.indexes = append(t.indexes, index{name: name, columns: []string{column}})
		return nil
	})
}

func (d *Database) readForeign(ctx context.Context, t *table) error {
	return d.each(ctx, "SELECT constraint_name, column_name, referenced_table_name, referenced_column_name, table_name = ? FROM information_schema.key_column_usage"+
		" WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL AND (table_name = ? OR referenced_table_name = ?)"+
		" ORDER BY table_name, constraint_name, ordinal_position", []any{t.name, t.name, t.name}, func(scan func(...any) error) error {
		var f foreign
		err := scan(&f.name, &f.column, &f.to, &f.refer, &f.ours)
		t.foreign = append(t.foreign, f)
		return err
	})
}

// readUsers reads triggers and views that use the table.
func (d *Database) readUsers(ctx context.Context, t *table) error {
	err := d.each(ctx, "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE()"+
		" AND (event_object_table = ? OR INSTR(LOWER(action_statement), LOWER(?)) > 0)", []any{t.name, t.name}, func(scan func(...any) error) error {
		var name, body string
		err := scan(&name, &body)
		t.triggers[name] = body
		return err
	})
	if err != nil {
		return err
	}
	return d.each(ctx, "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()"+
		" AND INSTR(LOWER(view_definition), LOWER(?)) > 0", []any{quote(t.name)}, func(scan func(...any) error) error {
		var name, body string
		err := scan(&name, &body)
		t.views[name] = body
		return err
	})
}

func (d *Database) readChecks(ctx context.Context, t *table) error {
	return d.each(ctx, "SELECT c.constraint_name, c.check_clause FROM information_schema.check_constraints c"+
		" JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name"+
		" WHERE t.table_schema = DATABASE() AND t.table_name = ? AND t.constraint_type = 'CHECK'", []any{t.name}, func(scan func(...any) error) error {
		var name, body string
		err := scan(&name, &body)
		t.checks[name] = body
		return err
	})
}

// column finds one, whatever case it is written in, as the server does.
func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.columns, func(c column) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		return nil
	}
	return &t.columns[i]
}

// indexed says whether an index begins with these columns.
func (t *table) indexed(columns []string) bool {
	begins := func(all []string) bool {
		return len(all) >= len(columns) && slices.EqualFunc(all[:len(columns)], columns, strings.EqualFold)
	}
	return begins(t.key) || slices.ContainsFunc(t.indexes, func(i index) bool { return begins(i.columns) })
}

// names are the columns by their names in lower case, for overNew.
func (t *table) names(more ...string) map[string]string {
	all := map[string]string{}
	for _, c := range t.columns {
		all[strings.ToLower(c.name)] = c.name
	}
	for _, name := range more {
		all[strings.ToLower(name)] = name
	}
	return all
}

// users are what else uses a column: renaming or dropping it would break them.
func (t *table) users(column string) []string {
	var all []string
	for _, c := range t.columns {
		if mentions(c.generated, column) {
			all = append(all, "generated column "+c.name)
		}
	}
	for _, f := range t.foreign {
		if f.ours && strings.EqualFold(f.column, column) || strings.EqualFold(f.refer, column) && strings.EqualFold(f.to, t.name) {
			all = append(all, "foreign key "+f.name)
		}
	}
	for kind, some := range map[string]map[string]string{"trigger ": t.triggers, "view ": t.views, "check ": t.checks} {
		for name, body := range some {
			if strings.Contains(strings.ToLower(body), strings.ToLower(column)) {
				all = append(all, kind+name)
			}
		}
	}
	if slices.ContainsFunc(t.key, func(k string) bool { return strings.EqualFold(k, column) }) {
		all = append(all, "the primary key")
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// definition is a column's as ALTER TABLE … MODIFY takes it, null or not.
func (c column) definition(null bool) string {
	d := c.typ
	if c.text {
		d += " CHARACTER SET " + c.charset + " COLLATE " + c.collate
	}
	if !null {
		d += " NOT"
	}
	d += " NULL"
	if c.dflt.Valid {
		d += " DEFAULT " + c.dflt.String // MariaDB keeps it as SQL
	}
	if update, found := strings.CutPrefix(strings.ToLower(c.extra), "on update "); found {
		d += " ON UPDATE " + update
	}
	if c.comment != "" {
		d += " COMMENT " + text(c.comment)
	}
	return d
}

// columnHolds is a query: whether a column is there and more is true of it.
func columnHolds(table, column, more string) string {
	if more != "" {
		more = " AND " + more
	}
	return fmt.Sprintf("SELECT count(*) > 0 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s%s",
		text(table), text(column), more)
}

func columnMissing(table, column string) string {
	return strings.Replace(columnHolds(table, column, ""), "count(*) > 0", "count(*) = 0", 1)
}

func triggerHolds(names ...string) string {
	return fmt.Sprintf("SELECT count(*) = %d FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name IN (%s)", len(names), listed(names, text))
}

func tableHolds(name string) string {
	return "SELECT count(*) > 0 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = " + text(name)
}

func tableMissing(name string) string {
	return strings.Replace(tableHolds(name), "count(*) > 0", "count(*) = 0", 1)
}

func indexHolds(table, name string) string {
	return fmt.Sprintf("SELECT count(*) > 0 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = %s AND index_name = %s", text(table), text(name))
}

func foreignHolds(table, name string) string {
	return fmt.Sprintf("SELECT count(*) > 0 FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = %s AND constraint_name = %s", text(table), text(name))
}
