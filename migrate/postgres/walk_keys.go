// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

// keys is the next batch of rows in the order of the key. The database finds out where it ends.
func (w *walk) keys(b migrate.BatchOrder) turn {
	size := b.Size
	if size <= 0 {
		size = firstRows
	}
	size = min(size, mostRows)
	l := w.tree.find(w.at.Leaf)
	var aliased, down, last, saved []string
	for i, k := range b.Walk.Key {
		aliased = append(aliased, fmt.Sprintf("%s AS rh_%d", names([]string{k}), i))
		down = append(down, fmt.Sprintf("rh_%d DESC", i))
		last = append(last, fmt.Sprintf("(SELECT rh_%d FROM rh_last)", i))
		saved = append(saved, fmt.Sprintf("(SELECT rh_%d::text FROM rh_last)", i))
	}
	columns, after := names(b.Walk.Key), "EXISTS (SELECT FROM rh_at)"
	if len(w.at.Key) > 0 {
		var values []string
		for _, v := range w.at.Key {
			values = append(values, literal(v))
		}
		after += fmt.Sprintf(" AND ROW(%s) > ROW(%s)", columns, strings.Join(values, ", "))
	}
	t := turn{size: size, set: "SET LOCAL enable_seqscan = off;\n"}
	work, from := w.change(b, fmt.Sprintf("%s AND ROW(%s) <= ROW(%s) AND (%s)", after, columns, strings.Join(last, ", "), b.Walk.Pending))
	t.work = fmt.Sprintf(`, rh_keys AS MATERIALIZED (
	SELECT %s FROM ONLY %s AS %s WHERE %s ORDER BY %s LIMIT %d
), rh_last AS MATERIALIZED (
	SELECT * FROM rh_keys ORDER BY %s LIMIT 1
)%s`, strings.Join(aliased, ", "), l.name, alias(b.Walk.Table), after, columns, size, strings.Join(down, ", "), work)
	t.from = fmt.Sprintf("SELECT *, (SELECT count(*) FROM rh_keys) AS keys FROM (%s) AS rh_counted", from)
	at := w.at
	at.Key = nil
	t.next = fmt.Sprintf("CASE WHEN rh.keys < %d THEN %s::json ELSE (%s::jsonb || jsonb_build_object('key', jsonb_build_array(%s)))::json END",
		size, at.leave().sql(), at.sql(), strings.Join(saved, ", "))
	t.seen = "cursor.seen + rh.keys"
	if w.own.Seen == 0 || w.anew {
		t.seen = "rh.keys"
	}
	t.done = "false"
	if w.last() {
		t.done = fmt.Sprintf("rh.keys < %d", size)
	}
	return t
}
