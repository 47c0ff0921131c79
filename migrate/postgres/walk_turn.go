// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rheostat-go/rheostat/migrate"
)

const (
	// passes is how many slices a stretch is done in. The first moves to other pages, an eighth
	// of the table, and most of the others stay.
	passes = 8
	// region is how many pages a stretch has. It is gone through within a cache of the processor,
	// and slowly enough that the slice before is visible to all when its room is needed.
	region = 2048
	// shardRegion is that of a walk that several share: small enough that a middling table has
	// a stretch for each.
	shardRegion = 256
	// firstRows is how many rows the first batch is to have, and mostRows how many any may have,
	// however quickly it goes: pages that were right already may be followed by others.
	firstRows, mostRows = 500, 20000
)

// position is where a walk is, as the cursor has it.
type position struct {
	// Of is how many shards there are.
	Of int `json:"of"`
	// After is the last table of the tree that is done with, and Before how many rows were in those.
	After  uint32 `json:"after,omitempty"`
	Before int64  `json:"before,omitempty"`

	// Leaf is the table being walked, 0 if it is to be chosen. Node is the file it is in: one that
	// is rewritten, by VACUUM FULL or CLUSTER, gets another, with the rows in other pages.
	Leaf uint32 `json:"leaf,omitempty"`
	Node uint32 `json:"node,omitempty"`
	// Rows are estimated.
	Rows int64 `json:"rows,omitempty"`

	// Pages is how many pages there were at the beginning. Rows in later ones were written since,
	// under the eyes of the trigger.
	Pages int64 `json:"pages,omitempty"`
	// From is the first page of the stretch, which has Region; Pass is the slice, of Passes, and
	// Page the next page.
	From   int64 `json:"from,omitempty"`
	Region int64 `json:"region,omitempty"`
	Pass   int   `json:"pass,omitempty"`
	Passes int   `json:"passes,omitempty"`
	Page   int64 `json:"page,omitempty"`

	// Key is that of the last row, column by column.
	Key []string `json:"key,omitempty"`
}

func (p position) sql() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("BUG: a position is always JSON: " + err.Error())
	}
	return literal(string(text))
}

// turn is what one batch does, as SQL.
type turn struct {
	size int
	// set are settings, work is common table expressions, each after a comma, and from is a query
	// of one row: did and sample.
	set, work, from string
	// next, seen and done are the cursor's new values.
	next, seen, done string
}

// aim chooses where to go on, after the cursor and the tables have been read.
func (w *walk) aim(b migrate.BatchOrder) {
	w.own.Total = w.tree.rows() / int64(b.Shards)
	if w.keyed {
		w.own.Total = w.tree.rows()
	}
	begin := position{Of: b.Shards}
	if w.at.Of != b.Shards {
		w.at, w.anew = begin, b.Walk.Verify
	}
	if w.at.Leaf != 0 {
		switch l := w.tree.find(w.at.Leaf); {
		case l != nil && (w.at.Node == 0 || w.at.Node == l.node):
			return
		case l == nil:
			w.at = position{Of: b.Shards, After: w.at.Leaf, Before: w.at.Before}
		case b.Walk.Verify:
			w.at, w.anew = begin, true // what was found wrong may be found again
		default:
			w.at = position{Of: b.Shards, After: w.at.After, Before: w.at.Before}
		}
	}
	for _, l := range w.tree {
		if l.oid > w.at.After && w.enter(l, b) {
			return
		}
	}
}

// enter begins a table, unless there is nothing in it for this shard.
func (w *walk) enter(l leaf, b migrate.BatchOrder) bool {
	at := position{Of: b.Shards, After: w.at.After, Before: w.at.Before, Leaf: l.oid, Rows: l.rows / int64(b.Shards)}
	if w.keyed {
		at.Rows = l.rows
		w.at = at
		return b.Shard == 0 // rows in the order of a key cannot be dealt out
	}
	at.Node, at.Pages, at.Passes = l.node, l.pages, l.passes(b.Walk)
	at.Region = region
	if b.Shards > 1 {
		// The same for every shard: they begin at different times, when the table may have
		// different sizes, and a stretch that is nobody's would be left out.
		at.Region = shardRegion
	}
	at.From = int64(b.Shard) * at.Region
	at.Page = at.From
	if at.From >= at.Pages {
		return false
	}
	w.at = at
	return true
}

// leave is the position after the table.
func (p position) leave() position {
	return position{Of: p.Of, After: p.Leaf, Before: p.Before + p.Rows}
}

// turn is the next batch.
func (w *walk) turn(b migrate.BatchOrder) turn {
	switch {
	case w.at.Leaf == 0:
		return turn{
			size: b.Size, from: "SELECT 0 AS did, NULL::json AS sample", next: w.at.sql(), done: "true",
			seen: fmt.Sprint(w.own.Total),
		}
	case w.keyed:
		return w.keys(b)
	}
	return w.pages(b)
}

// last says that no table comes after this one.
func (w *walk) last() bool {
	return len(w.tree) == 0 || w.tree[len(w.tree)-1].oid <= w.at.Leaf
}

// change is what is done to the rows for which where is true, as the common table expression
// rh_done, and from, which counts them.
func (w *walk) change(b migrate.BatchOrder, where string) (work, from string) {
	l := w.tree.find(w.at.Leaf)
	source := "ONLY " + l.name + " AS " + alias(b.Walk.Table)
	from = "SELECT count(*) AS did, NULL::json AS sample FROM rh_done"
	switch {
	case b.Walk.Verify:
		work = "SELECT " + keyText(b.Walk.Key) + " AS key FROM " + source + " WHERE " + where
		from = "SELECT count(*) AS did, (SELECT json_agg(key) FROM (SELECT key FROM rh_done LIMIT 5) AS few) AS sample FROM rh_done"
	case b.Walk.Into != "":
		// A row that is deleted meanwhile must not come to life in the other table: the lock keeps
		// it from being deleted before this is visible, and stops no other write.
		columns := names(b.Walk.Columns)
		work = "INSERT INTO " + relation(b.Walk.Into) + " (" + columns + ")\n\tSELECT " + columns + " FROM " + source + " WHERE " + where +
			"\n\tFOR KEY SHARE OF " + alias(b.Walk.Table) + " ON CONFLICT DO NOTHING RETURNING 1"
	default:
		var set []string
		for _, a := range b.Walk.Set {
			set = append(set, names([]string{a.Column})+" = "+a.Value)
		}
		work = "UPDATE " + source + " SET " + strings.Join(set, ", ") + "\n\tWHERE " + where + "\n\tRETURNING 1"
	}
	return ", rh_done AS (\n\t" + work + "\n)", from
}

// keyText is a row's key for people.
func keyText(key []string) string {
	if len(key) == 0 {
		return "'row ' || ctid::text"
	}
	var parts []string
	for _, k := range key {
		parts = append(parts, literal(k+"=")+" || "+names([]string{k})+"::text")
	}
	return strings.Join(parts, " || ' ' || ")
}
