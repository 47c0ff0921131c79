// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// table is what the catalog says of one. Names are as they are; what is called quoted is SQL.
type table struct {
	OID    int64  `json:"oid"`
	Schema string `json:"schema"` // quoted
	Plain  string `json:"plain"`  // the schema's name
	Name   string `json:"name"`
	Quoted string `json:"quoted"` // the name
	// Kind is r, or p for one that is partitioned.
	Kind       string       `json:"kind"`
	Child      bool         `json:"child"`   // of another table, by inheritance or as a partition
	Parent     bool         `json:"parent"`  // by inheritance
	Rows       int64        `json:"rows"`    // estimated
	Bytes      int64        `json:"bytes"`   // without indexes
	Columns    []column     `json:"columns"` // those that the change adds too
	Key        []string     `json:"key"`     // of the primary key
	Indexes    []index      `json:"indexes"`
	Checks     []constraint `json:"checks"`
	Foreign    []constraint `json:"foreign"`  // keys of this table
	Referred   []constraint `json:"referred"` // keys that refer to this table
	Triggers   []string     `json:"triggers"`
	Dependents []dependent  `json:"dependents"`
	Leaves     []string     `json:"leaves"` // quoted partitions
	Deep       bool         `json:"deep"`   // partitions have partitions
	Grants     []grant      `json:"grants"`
}

type column struct {
	N        int    `json:"n"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	NotNull  bool   `json:"notNull"`
	Identity bool   `json:"identity"`
	// Generated says that it is computed of others.
	Generated bool   `json:"generated"`
	Default   string `json:"default"`
	// Collation is quoted, if it is not the type's.
	Collation string `json:"collation"`
	Grants    bool   `json:"grants"`
	// Sequence is one that it owns.
	Sequence string `json:"sequence"`
	// planned says that this change adds it, and filled that every row has a value in it, then.
	planned, filled bool
}

type index struct {
	Name    string   `json:"name"`
	Text    string   `json:"text"`
	Columns []string `json:"columns"` // also those of expressions and of the predicate
	Leading []string `json:"leading"` // plain columns in order
	Primary bool     `json:"primary"`
}

type constraint struct {
	Name    string   `json:"name"`
	Text    string   `json:"text"`
	Table   string   `json:"table"` // quoted, whose it is
	Columns []string `json:"columns"`
}

// dependent is something that goes only together with the column, or holds it.
type dependent struct {
	Column string `json:"column"`
	What   string `json:"what"`
}

type grant struct {
	Privilege string `json:"privilege"`
	To        string `json:"to"` // quoted
}

// full is the qualified name as SQL.
func (t *table) full() string { return t.Schema + "." + t.Quoted }

func (t *table) column(name string) *column {
	if i := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == name }); i >= 0 {
		return &t.Columns[i]
	}
	return nil
}

// read reads a table from the catalog; nil if there is none. A name with a dot may be qualified.
func (d *Database) read(ctx context.Context, name string) (*table, error) {
	ways := "pg_catalog.to_regclass(pg_catalog.quote_ident(" + literal(name) + "))"
	if schema, rest, ok := strings.Cut(name, "."); ok {
		ways += ", pg_catalog.to_regclass(pg_catalog.quote_ident(" + literal(schema) + ") || '.' || pg_catalog.quote_ident(" + literal(rest) + "))"
	}
	row, err := d.one(ctx, "SELECT coalesce("+ways+")::oid")
	if err != nil || row == nil || row[0] == nil {
		return nil, err
	}
	row, err = d.one(ctx, "BEGIN READ ONLY;\nSET LOCAL search_path = pg_catalog;\n"+fmt.Sprintf(tableText, row[0])+";\nCOMMIT")
	if err != nil || row == nil {
		return nil, err
	}
	t := &table{}
	if err := json.Unmarshal(row[0], t); err != nil {
		return nil, fmt.Errorf("postgres: the catalog's %s: %w", name, err)
	}
	return t, nil
}

const tableText = `
WITH t AS (SELECT * FROM pg_class WHERE oid = %s),
cols AS (SELECT a.* FROM pg_attribute a, t WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped)
SELECT json_build_object(
'oid', t.oid::bigint, 'schema', quote_ident(n.nspname), 'plain', n.nspname, 'name', t.relname, 'quoted', quote_ident(t.relname), 'kind', t.relkind,
'child', EXISTS (SELECT FROM pg_inherits WHERE inhrelid = t.oid),
'parent', t.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = t.oid),
'rows', greatest(CASE WHEN t.relkind = 'p' THEN (SELECT sum(greatest(c.reltuples, 0)) FROM pg_partition_tree(t.oid) p JOIN pg_class c ON c.oid = p.relid)
	ELSE t.reltuples END, 0)::bigint,
'bytes', (CASE WHEN t.relkind = 'p' THEN (SELECT coalesce(sum(pg_table_size(p.relid)), 0) FROM pg_partition_tree(t.oid) p) ELSE pg_table_size(t.oid) END)::bigint,
'columns', (SELECT json_agg(json_build_object('n', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
	'notNull', a.attnotnull, 'identity', a.attidentity <> '', 'generated', a.attgenerated <> '', 'default', coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
	'collation', CASE WHEN a.attcollation <> y.typcollation THEN (SELECT quote_ident(cn.nspname) || '.' || quote_ident(cl.collname)
		FROM pg_collation cl JOIN pg_namespace cn ON cn.oid = cl.collnamespace WHERE cl.oid = a.attcollation) ELSE '' END,
	'grants', a.attacl IS NOT NULL, 'sequence', coalesce(pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(t.relname), a.attname), '')
	) ORDER BY a.attnum)
	FROM cols a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum),
'key', (SELECT json_agg(a.attname ORDER BY k.n) FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n) JOIN cols a USING (attnum)
	WHERE i.indrelid = t.oid AND i.indisprimary AND k.n <= i.indnkeyatts),
'indexes', (SELECT json_agg(json_build_object('name', x.relname, 'text', pg_get_indexdef(x.oid), 'primary', i.indisprimary,
	'columns', (SELECT json_agg(DISTINCT a.attname) FROM cols a WHERE a.attnum = ANY (i.indkey::int2[]) OR EXISTS (SELECT FROM pg_depend p
		WHERE p.classid = 'pg_class'::regclass AND p.objid = x.oid AND p.refobjid = t.oid AND p.refobjsubid = a.attnum)),
	'leading', (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n) JOIN cols a USING (attnum))
	) ORDER BY x.relname)
	FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = t.oid),
'checks', (SELECT json_agg(json_build_object('name', k.conname, 'text', pg_get_constraintdef(k.oid),
	'columns', (SELECT json_agg(a.attname) FROM cols a WHERE a.attnum = ANY (k.conkey))) ORDER BY k.conname)
	FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'c'),
'foreign', (SELECT json_agg(json_build_object('name', k.conname, 'text', pg_get_constraintdef(k.oid),
	'columns', (SELECT json_agg(a.attname) FROM cols a WHERE a.attnum = ANY (k.conkey))) ORDER BY k.conname)
	FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'f'),
'referred', (SELECT json_agg(json_build_object('name', k.conname, 'table', k.conrelid::regclass::text, 'text', pg_get_constraintdef(k.oid),
	'columns', (SELECT json_agg(a.attname) FROM cols a WHERE a.attnum = ANY (k.confkey))) ORDER BY k.conname)
	FROM pg_constraint k WHERE k.confrelid = t.oid AND k.contype = 'f'),
'triggers', (SELECT json_agg(g.tgname ORDER BY g.tgname) FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal),
'dependents', (SELECT json_agg(DISTINCT jsonb_build_object('column', coalesce(a.attname, ''), 'what',
	CASE WHEN p.classid = 'pg_rewrite'::regclass THEN (SELECT CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass
		FROM pg_rewrite w JOIN pg_class v ON v.oid = w.ev_class WHERE w.oid = p.objid)
	WHEN p.classid = 'pg_attrdef'::regclass THEN (SELECT 'generated column ' || quote_ident(g.attname)
		FROM pg_attrdef d JOIN cols g ON g.attnum = d.adnum WHERE d.oid = p.objid)
	ELSE pg_describe_object(p.classid, p.objid, p.objsubid) END))
	FROM pg_depend p LEFT JOIN cols a ON a.attnum = p.refobjsubid
	WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = t.oid AND CASE p.classid
		WHEN 'pg_attrdef'::regclass THEN EXISTS (SELECT FROM pg_attrdef d WHERE d.oid = p.objid AND d.adnum <> p.refobjsubid)
		WHEN 'pg_constraint'::regclass THEN false
		ELSE p.deptype = 'n' END
		AND NOT (p.classid = 'pg_rewrite'::regclass AND EXISTS (SELECT FROM pg_rewrite w WHERE w.oid = p.objid AND w.ev_class = t.oid))),
'leaves', (SELECT json_agg(p.relid::regclass::text ORDER BY p.relid::regclass::text) FROM pg_partition_tree(t.oid) p WHERE p.isleaf AND p.relid <> t.oid),
'deep', (SELECT coalesce(max(level), 0) > 1 FROM pg_partition_tree(t.oid)),
'grants', (SELECT json_agg(json_build_object('privilege', g.privilege_type, 'to', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
	ORDER BY g.grantee, g.privilege_type) FROM aclexplode(t.relacl) g WHERE g.grantee <> t.relowner)
) FROM t JOIN pg_namespace n ON n.oid = t.relnamespace`

// on lists what the catalog has on a column, in words.
func (t *table) on(name string) (indexes, checks, foreign, referred, dependents []string) {
	has := func(columns []string) bool { return slices.Contains(columns, name) }
	for _, i := range t.Indexes {
		if has(i.Columns) {
			indexes = append(indexes, i.Name)
		}
	}
	for _, k := range t.Checks {
		if has(k.Columns) {
			checks = append(checks, k.Name)
		}
	}
	for _, k := range t.Foreign {
		if has(k.Columns) {
			foreign = append(foreign, k.Name)
		}
	}
	for _, k := range t.Referred {
		if has(k.Columns) {
			referred = append(referred, k.Name+" of "+k.Table)
		}
	}
	for _, d := range t.Dependents {
		if d.Column == name {
			dependents = append(dependents, d.What)
		}
	}
	return indexes, checks, foreign, referred, dependents
}
