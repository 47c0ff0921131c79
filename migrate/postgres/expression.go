// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// rowName stands for the row in an expression that the server has read, and the others are names
// that nobody else has.
const (
	rowName    = "rh_0_row"
	viewName   = "rh_0_view"
	columnName = "rh_0_value"
)

// expression is one of a change, as the server understands it: every name is qualified, so that it
// means the same whatever the search_path, and every column is of rowName.
type expression struct {
	text string
	// typ is what it results in.
	typ string
	// drifts says that it gives another result for the same row another time.
	drifts bool
	// looks says that it has a query in it.
	looks bool
}

// of is the expression over a row of that name: "new" in a trigger, the table's in a query.
func (e expression) of(row string) string { return strings.ReplaceAll(e.text, rowName+".", row+".") }

// renamed is the expression once a column has another name.
func (e expression) renamed(from, to string) expression {
	whole := regexp.MustCompile(regexp.QuoteMeta(rowName+"."+from) + `([^A-Za-z0-9_$]|$)`)
	e.text = whole.ReplaceAllString(e.text, rowName+"."+strings.ReplaceAll(to, "$", "$$")+"$1")
	return e
}

// value is a column itself.
func value(quoted, typ string) expression { return expression{text: rowName + "." + quoted, typ: typ} }

// understand has the server read an expression over a row of t, as part of a view that is never
// there: its transaction is rolled back. What a condition may not have, such as an aggregate, is
// refused.
func (d *Database) understand(ctx context.Context, t *table, text string, quote func(string) string) (expression, error) {
	if strings.Contains(text, "rh_0_") {
		return expression{}, errors.New("names that begin with rh_0_ are reserved")
	}
	from := "(SELECT true AS rh_0_none) AS " + rowName
	if t != nil {
		var more strings.Builder
		for _, c := range t.Columns {
			if c.planned {
				more.WriteString(", NULL::" + c.Type + " AS " + quote(c.Name))
			}
		}
		from = "(SELECT rh_0_table.*" + more.String() + " FROM " + t.full() + " AS rh_0_table) AS " + rowName
	}
	results, err := d.run(ctx, "BEGIN;\nSET LOCAL client_min_messages = error;\nCREATE TEMPORARY VIEW "+viewName+" AS SELECT\n("+text+"\n) AS "+columnName+
		" FROM "+from+", (SELECT 1 AS rh_0_one) AS rh_0_two WHERE (("+text+"\n) IS NULL) IS NOT NULL;\nSET LOCAL search_path = pg_catalog;\n"+
		strings.ReplaceAll(viewText, "{view}", literal("pg_temp."+viewName))+";\nROLLBACK")
	if err != nil {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return expression{}, fmt.Errorf("%s: %s", text, e.Message)
		}
		return expression{}, err
	}
	row := rows(results)[0]
	all := string(row[0])
	_, all, _ = strings.Cut(all, "SELECT ")
	all, _, found := strings.Cut(all, " AS "+columnName)
	if !found {
		return expression{}, fmt.Errorf("%s: the server's reading of it is not understood", text)
	}
	return expression{text: all, typ: string(row[1]), drifts: string(row[2]) == "t", looks: string(row[3]) == "t"}, nil
}

// viewText reads the view: its text, the type, whether it uses a function whose result is not
// the row's alone, and whether there is a query in it.
const viewText = `
SELECT pg_get_viewdef(v.oid), format_type(a.atttypid, a.atttypmod),
	strpos(w.ev_action::text, '{SQLVALUEFUNCTION ') > 0 OR EXISTS (
		SELECT FROM regexp_matches(w.ev_action::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') AS m (found)
		JOIN pg_proc p ON p.oid = m.found[1]::oid
		WHERE p.provolatile = 'v' OR p.proname IN ('now', 'transaction_timestamp', 'statement_timestamp')),
	strpos(w.ev_action::text, '{SUBLINK ') > 0
FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum = 1
WHERE v.oid = {view}::regclass`

// blurred are types of which two values may be equal, or not be comparable, and differ.
var blurred = []string{"json", "xml", "point", "polygon", "citext", "box", "circle", "lseg", "path", "line"}

// differ is a condition: whether two values are not the same.
func differ(a, b, typ string) string {
	base, _, _ := strings.Cut(typ, "(")
	if i := strings.LastIndex(base, "."); i >= 0 {
		base = base[i+1:]
	}
	if slices.Contains(blurred, base) {
		a, b = "("+a+")::text", "("+b+")::text"
	}
	return a + " IS DISTINCT FROM " + b
}

// castTo is the expression as another type, if it is not that.
func (e expression) castTo(typ string) expression {
	if e.typ != typ {
		e.text, e.typ = "("+e.text+")::"+typ, typ
	}
	return e
}
