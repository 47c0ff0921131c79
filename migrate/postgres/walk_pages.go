// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"

	"github.com/rheostat-go/rheostat/migrate"
)

// pages is the next batch of pages.
func (w *walk) pages(b migrate.BatchOrder) turn {
	at := w.at
	perPage := max(1, at.Rows*int64(at.Of)/max(at.Pages, 1))
	size := int64(b.Size)
	if size <= 0 {
		size = firstRows * int64(at.Passes) / perPage
	}
	size = max(1, min(size, mostRows*int64(at.Passes)/perPage))
	to := min(at.From+at.Region, at.Pages)
	left := to - at.Page
	parts := (left + size - 1) / size // the rest of the stretch in equal parts
	size = (left + parts - 1) / parts

	where := fmt.Sprintf("EXISTS (SELECT FROM rh_at) AND ctid >= '(%d,0)' AND ctid < '(%d,0)' AND ", at.Page, at.Page+size)
	if at.Passes > 1 {
		// The slice of a row is its number within the page. CASE asks it first: the condition
		// may have to fetch what is stored out of line.
		where += fmt.Sprintf("CASE WHEN pg_catalog.get_byte(pg_catalog.tidsend(ctid), 5) & %d = %d THEN (%s) ELSE false END", at.Passes-1, at.Pass, b.Walk.Pending)
	} else {
		where += "(" + b.Walk.Pending + ")"
	}
	t := turn{size: int(size), done: "false"}
	t.work, t.from = w.change(b, where)
	next := at.after(size)
	t.next, t.seen = next.sql(), fmt.Sprint(next.seen())
	if next.Leaf == 0 && w.last() {
		t.done, t.seen = "true", fmt.Sprint(max(w.own.Total, next.seen()))
	}
	return t
}

// after is the position after so many pages more.
func (p position) after(size int64) position {
	p.Page += size
	if p.Page < min(p.From+p.Region, p.Pages) {
		return p
	}
	p.Pass++
	if p.Pass >= p.Passes {
		p.Pass = 0
		p.From += p.Region * int64(p.Of)
	}
	p.Page = p.From
	if p.From >= p.Pages {
		return p.leave()
	}
	return p
}

// seen is about how many rows lie behind.
func (p position) seen() int64 {
	if p.Pages == 0 {
		return p.Before
	}
	stretch := min(p.From+p.Region, p.Pages) - p.From
	behind := p.From*int64(p.Passes) + int64(p.Pass)*stretch + p.Page - p.From
	return p.Before + int64(float64(p.Rows)*float64(behind)/float64(p.Pages*int64(p.Passes)))
}
