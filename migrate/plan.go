// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strings"
	"time"
)

// Plan is what a change would do to a database as it is now.
type Plan struct {
	// Database is its kind.
	Database string `json:"database"`
	Change   Change `json:"change"`
	Script   Script `json:"script"`
	// LockTimeout bounds the wait of each statement for a lock; nanoseconds in JSON.
	LockTimeout time.Duration `json:"lockTimeout"`
}

// String prints the plan: each step with its statements, whom its locks stop, and what
// it costs.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "change %s on %s: %d steps, no wait for a lock longer than %v\n", p.Change.ID, p.Database, len(p.Script.Steps), p.LockTimeout)
	var phase Phase
	for i, s := range p.Script.Steps {
		if s.Phase != phase {
			phase = s.Phase
			fmt.Fprintf(&b, "\n%s\n", headings[phase])
		}
		fmt.Fprintf(&b, "  %d. %s%s\n", i+1, s.Name, s.costs())
		for _, l := range s.Locks {
			fmt.Fprintf(&b, "     lock: %s\n", l)
		}
		for _, text := range s.Do {
			fmt.Fprintf(&b, "     %s;\n", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n     "))
		}
		if s.Walk != nil {
			fmt.Fprintf(&b, "     %s\n", s.Walk)
		}
	}
	for _, n := range p.Script.Notes {
		fmt.Fprintf(&b, "\nnote: %s", n.Why)
		if n.Fix != "" {
			fmt.Fprintf(&b, "; %s", n.Fix)
		}
	}
	for _, l := range p.Script.Loses {
		fmt.Fprintf(&b, "\nrolling back loses %s", l)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

var headings = map[Phase]string{
	Expanding:   "expanding: beside what is there",
	Syncing:     "syncing: both sides are kept the same from here",
	Backfilling: "backfilling: the rows that were there before",
	Verifying:   "verifying: the new version may have traffic after this",
	Soaking:     "soaking: once no version that needs it is alive, the old side is hidden",
	Contracting: "contracting: after the soak the old side is dropped; there is no way back",
}

// costs is the step's estimates, as far as they are known.
func (s Step) costs() string {
	var parts []string
	if s.Rows > 0 {
		parts = append(parts, fmt.Sprintf("%d rows", s.Rows))
	}
	if s.Takes > 0 {
		parts = append(parts, "about "+s.Takes.Round(time.Second).String())
	}
	if s.Log > 0 {
		parts = append(parts, megabytes(s.Log)+" of log")
	}
	if s.Grows > 0 {
		parts = append(parts, "up to "+megabytes(s.Grows)+" of disk")
	}
	if s.Alone {
		parts = append(parts, "outside a transaction")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// String says what the lock is and whom it stops.
func (l Lock) String() string {
	stops := "stops nobody"
	switch {
	case l.Reads && l.Writes:
		stops = "stops readers and writers"
	case l.Writes:
		stops = "stops writers"
	case l.Reads:
		stops = "stops readers"
	}
	if l.Brief && (l.Reads || l.Writes) {
		stops += ", for a moment"
	}
	return fmt.Sprintf("%s on %s: %s", l.Mode, l.Table, stops)
}

// String says what the walk does.
func (w Walk) String() string {
	if w.Verify {
		return fmt.Sprintf("count the rows of %s where %s", w.Table, w.Pending)
	}
	var set []string
	for _, a := range w.Set {
		set = append(set, a.Column+" = "+a.Value)
	}
	if w.Into != "" {
		return fmt.Sprintf("in batches (%s): copy %s of %s into %s where %s", w.Method, strings.Join(w.Columns, ", "), w.Table, w.Into, w.Pending)
	}
	return fmt.Sprintf("in batches (%s): update %s set %s where %s", w.Method, w.Table, strings.Join(set, ", "), w.Pending)
}
