// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rheostat-go/rheostat/migrate"
)

// leaf is a table with rows of its own: the walk's, or a partition or a child of it.
type leaf struct {
	oid, node uint32
	// name is quoted, with its schema.
	name        string
	pages, rows int64
	kind, heap  string
	// indexed says that an index depends on what the walk sets, so that no update is HOT.
	indexed bool
}

// tree is the tables of a walk, by oid.
type tree []leaf

func (t tree) find(oid uint32) *leaf {
	for i := range t {
		if t[i].oid == oid {
			return &t[i]
		}
	}
	return nil
}

func (t tree) rows() (n int64) {
	for _, l := range t {
		n += l.rows
	}
	return n
}

// passes is how many slices the rows of a page are updated in.
func (l leaf) passes(w migrate.Walk) int {
	if w.Verify || w.Into != "" || l.indexed {
		return 1
	}
	n := passes
	for n > 1 && l.rows < 2*int64(n)*l.pages {
		n /= 2
	}
	return n
}

// treeText reads the tables. Rows are estimated from what the planner knows, at so many in a page.
const treeText = `
WITH RECURSIVE tree AS (
	SELECT pg_catalog.to_regclass(%[1]s)::oid AS oid
	UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
), sized AS (
	SELECT tree.oid, pg_relation_size(tree.oid) / current_setting('block_size')::bigint AS pages FROM tree
)
SELECT c.oid, coalesce(pg_relation_filenode(c.oid), 0), quote_ident(n.nspname) || '.' || quote_ident(c.relname), s.pages,
	(CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples / c.relpages * s.pages ELSE s.pages * 50 END)::bigint,
	c.relkind, coalesce(am.amname, ''),
	EXISTS (
		SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = ANY (%[2]s)
		WHERE x.indrelid = c.oid AND (a.attnum = ANY (x.indkey) OR EXISTS (
			SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
				AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum))
	)
FROM sized AS s JOIN pg_catalog.pg_class AS c USING (oid) JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
WHERE c.relkind <> 'p' ORDER BY c.oid`

// tree reads the tables of a walk, and whether they can be read page by page: that takes
// PostgreSQL 14, and tables that are stored in the usual way.
func (d *Database) tree(ctx context.Context, w migrate.Walk) (all tree, paged bool, err error) {
	var columns []string
	for _, a := range w.Set {
		columns = append(columns, a.Column)
	}
	results, err := d.run(ctx, fmt.Sprintf("SELECT pg_catalog.to_regclass(%[1]s) IS NOT NULL, current_setting('server_version_num')::int >= 140000;"+treeText, literal(relation(w.Table)), list(columns)))
	if err != nil {
		return nil, false, err
	}
	if string(results[0].Rows[0][0]) != "t" {
		return nil, false, fmt.Errorf("postgres: walk: there is no table %s", w.Table)
	}
	paged = string(results[0].Rows[0][1]) == "t"
	for _, row := range results[1].Rows {
		l, err := readLeaf(row)
		if err != nil {
			return nil, false, err
		}
		if l.kind != "r" {
			return nil, false, fmt.Errorf("postgres: walk: %s is not a table of this database (%s)", l.name, l.kind)
		}
		all, paged = append(all, l), paged && l.heap == "heap"
	}
	return all, paged, nil
}

func readLeaf(row [][]byte) (leaf, error) {
	var n [4]int64
	for i, column := range []int{0, 1, 3, 4} {
		var err error
		if n[i], err = strconv.ParseInt(string(row[column]), 10, 64); err != nil {
			return leaf{}, err
		}
	}
	return leaf{
		oid: uint32(n[0]), node: uint32(n[1]), name: string(row[2]), pages: n[2], rows: n[3], //nolint:gosec // oids have 32 bits
		kind: string(row[5]), heap: string(row[6]), indexed: string(row[7]) == "t",
	}, nil
}

// relation is the name of a table as SQL.
func relation(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }

// alias is the name by which expressions may call the table.
func alias(name string) string {
	return pgx.Identifier{name[strings.LastIndexByte(name, '.')+1:]}.Sanitize()
}

// names are columns as SQL.
func names(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}
