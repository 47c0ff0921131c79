// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// How a walk finds its rows: by the column that is the rowid, by the rowid of a table that
// has no such column, or by the primary key of a table without rowids.
const (
	methodKey   = "key"
	methodRowid = "rowid"
	methodCopy  = "copy"
)

type column struct {
	name, typ string
	notNull   bool
	// def is the default as SQL, or "".
	def string
	// pk is the place in the primary key from 1, or 0.
	pk        int
	generated bool
}

type table struct {
	name    string
	columns []column
	// key tells rows apart and gives their order.
	key    []string
	method string
	rows   int64
}

func (t *table) column(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

// primary is the primary key's columns in order.
func (t *table) primary() []column {
	var pk []column
	for _, c := range t.columns {
		if c.pk > 0 {
			pk = append(pk, c)
		}
	}
	slices.SortFunc(pk, func(a, b column) int { return a.pk - b.pk })
	return pk
}

// at is the condition that a row is the one of a trigger's NEW.
func (t *table) at() string {
	return conjunction(t.key, func(k string) string { return quote(k) + " IS NEW." + quote(k) })
}

func conjunction(names []string, f func(string) string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = f(n)
	}
	return strings.Join(parts, " AND ")
}

// schema is what is needed of a database's schema, in a copy in memory that has no rows.
// Statements are tried on the copy, where they lock nobody out.
type schema struct {
	*sql.DB

	objects []object
	// left are objects that could not be copied, such as tables of a module that only the
	// program has, and why.
	left []error
}

type object struct{ kind, name, table, text string }

// readSchema reads the objects of a file, tables before what is on them.
func readSchema(ctx context.Context, db *sql.DB) (objects []object, err error) {
	rows, err := db.QueryContext(ctx, `SELECT m.type, m.name, m.tbl_name, m.sql FROM main.sqlite_schema m
		LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = m.name
		WHERE m.sql IS NOT NULL AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND COALESCE(l.type, '') <> 'shadow'
		ORDER BY CASE m.type WHEN 'table' THEN 0 WHEN 'view' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, m.rowid`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.table, &o.text); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, rows.Err()
}

// copyOf makes an empty copy of a schema. Close it.
func copyOf(ctx context.Context, objects []object) (*schema, error) {
	// SQLite takes a name in double quotes that it does not find for a string, so that a
	// view of a column that is dropped would go on, with the column's name in every row.
	db, err := sql.Open("sqlite", ":memory:?_dqs=0")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // another would have a memory of its own
	s := &schema{DB: db, objects: objects}
	for _, o := range objects {
		if _, err := db.ExecContext(ctx, o.text); err != nil {
			if ctx.Err() != nil {
				return nil, errors.Join(err, db.Close())
			}
			s.left = append(s.left, fmt.Errorf("%s %s: %w", o.kind, o.name, err))
		}
	}
	return s, nil
}

// table reads a table of the copy, and the number of its rows from the file.
func (s *schema) table(ctx context.Context, file *sql.DB, name string) (*table, error) {
	t := &table{}
	var kind string
	var without bool
	err := s.QueryRowContext(ctx, "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", name).Scan(&t.name, &kind, &without)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("there is no table %s%s", name, s.missing(name))
	case err != nil:
		return nil, err
	case kind != "table":
		return nil, fmt.Errorf("%s is a %s", name, kind)
	}
	if err := s.readColumns(ctx, t); err != nil {
		return nil, err
	}
	t.identify(without)
	if !s.has(t.name) { // the change itself makes it
		return t, nil
	}
	return t, file.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(t.name)).Scan(&t.rows)
}

// has says whether the file has such a table or view.
func (s *schema) has(name string) bool {
	return slices.ContainsFunc(s.objects, func(o object) bool {
		return (o.kind == "table" || o.kind == "view") && strings.EqualFold(o.name, name)
	})
}

// missing says why a table may be missing in the copy.
func (s *schema) missing(name string) string {
	for _, err := range s.left {
		if strings.HasPrefix(err.Error(), "table "+name+": ") {
			return ": " + err.Error()
		}
	}
	return ""
}

func (s *schema) readColumns(ctx context.Context, t *table) (err error) {
	rows, err := s.QueryContext(ctx, `SELECT name, type, "notnull", COALESCE(dflt_value, ''), pk, hidden FROM pragma_table_xinfo(?)`, t.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c column
		var hidden int
		if err := rows.Scan(&c.name, &c.typ, &c.notNull, &c.def, &c.pk, &hidden); err != nil {
			return err
		}
		c.generated = hidden == 2 || hidden == 3
		t.columns = append(t.columns, c)
	}
	return rows.Err()
}

// identify chooses the key.
func (t *table) identify(withoutRowid bool) {
	pk := t.primary()
	switch {
	case withoutRowid:
		t.method = methodKey
		for _, c := range pk {
			t.key = append(t.key, c.name)
		}
		return
	case len(pk) == 1 && strings.EqualFold(pk[0].typ, "integer"):
		t.method, t.key = methodKey, []string{pk[0].name}
		return
	}
	t.method = methodRowid
	for _, alias := range []string{"_rowid_", "rowid", "oid"} {
		if _, hidden := t.column(alias); !hidden {
			t.key = []string{alias}
			return
		}
	}
}

// indexesOn are the indexes that CREATE INDEX made and that need a column. They are
// dropped with it. The copy tells: it has them, and they are in the way there too.
func (s *schema) indexesOn(ctx context.Context, t *table, c string) ([]object, error) {
	var found []object
	for _, o := range s.objects {
		if o.kind != "index" || !strings.EqualFold(o.table, t.name) {
			continue
		}
		var direct bool
		if err := s.QueryRowContext(ctx, "SELECT count(*) FROM pragma_index_info(?) WHERE name = ? COLLATE NOCASE", o.name, c).Scan(&direct); err != nil {
			return nil, err
		}
		_, body, _ := strings.Cut(o.text, "(")
		if direct || mentions(body, c) {
			found = append(found, o)
		}
	}
	return found, nil
}

// referring names a table whose foreign key needs a table, or a column of it, or "".
func (s *schema) referring(ctx context.Context, t *table, c string) (string, error) {
	query := `SELECT m.name FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' AND f."table" = ?1 COLLATE NOCASE AND (?2 = '' OR COALESCE(f."to", '') = ?2 COLLATE NOCASE) LIMIT 1`
	var name string
	err := s.QueryRowContext(ctx, query, t.name, c).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return name, err
}

// collation is the column's, or "" for BINARY. Only an index tells.
func (s *schema) collation(ctx context.Context, t *table, c string) (string, error) {
	if _, err := s.ExecContext(ctx, "CREATE INDEX _rh_collation ON "+quote(t.name)+" ("+quote(c)+")"); err != nil {
		return "", err
	}
	var name string
	err := s.QueryRowContext(ctx, "SELECT coll FROM pragma_index_xinfo('_rh_collation') WHERE seqno = 0").Scan(&name)
	if _, drop := s.ExecContext(ctx, "DROP INDEX _rh_collation"); err == nil {
		err = drop
	}
	if strings.EqualFold(name, "BINARY") {
		name = ""
	}
	return name, err
}
