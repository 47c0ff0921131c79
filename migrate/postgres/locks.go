// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"time"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/migrate"
)

// The modes of locks that changes take.
const (
	exclusive      = "ACCESS EXCLUSIVE"
	shareExclusive = "SHARE ROW EXCLUSIVE"
	updating       = "SHARE UPDATE EXCLUSIVE"
	rowShare       = "ROW SHARE"
)

// brief is a lock for a change of the catalog.
func brief(table, mode string) migrate.Lock {
	return migrate.Lock{Table: table, Mode: mode, Reads: mode == exclusive, Writes: mode == exclusive || mode == shareExclusive, Brief: true}
}

// long is a lock that is held for work on the rows, and stops nobody.
func long(table, mode string) migrate.Lock { return migrate.Lock{Table: table, Mode: mode} }

// What a machine of these days does about, for estimates: measured on two cores with eight writers
// beside it.
const (
	rowsUpdated = 100_000     // a second
	rowsIndexed = 600_000     // a second
	bytesRead   = 200_000_000 // a second
	rowLog      = 2           // bytes of log for a byte of a row updated
	indexEntry  = 40          // bytes
)

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// updates estimates a walk that writes every row.
func (t *table) updates(s migrate.Step) migrate.Step {
	s.Rows = t.Rows
	s.Takes = seconds(float64(t.Rows) / rowsUpdated)
	s.Log = t.Bytes*rowLog + t.Rows*100
	s.Grows = t.Bytes / 4
	if s.Walk != nil && s.Walk.Method != methodHot {
		s.Grows = t.Bytes + t.Rows*indexEntry*int64(max(1, len(t.Indexes)))
	}
	return s
}

// reads estimates a look at every row.
func (t *table) reads(s migrate.Step) migrate.Step {
	s.Rows, s.Takes = t.Rows, seconds(float64(t.Bytes)/bytesRead)
	return s
}

// indexed estimates an index.
func (t *table) indexed(s migrate.Step, columns int) migrate.Step {
	s.Rows = t.Rows
	s.Takes = seconds(float64(t.Rows)/rowsIndexed + 2*float64(t.Bytes)/bytesRead)
	s.Grows = t.Rows * indexEntry * int64(columns)
	s.Log = s.Grows
	return s
}

func lastRune(s string) (rune, int) { return utf8.DecodeLastRuneInString(s) }
