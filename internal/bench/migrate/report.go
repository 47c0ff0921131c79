// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Results are what the command measures.
type Results struct {
	Plan    Plan
	Command string
	// Load is what the machine said of itself before.
	Load          string
	Alone, Beside []*row
}

type row struct {
	method method
	all    []Measured
}

// median is the round whose rate is in the middle.
func (r *row) median() Measured {
	if len(r.all) == 0 {
		return Measured{Rows: 1, Worked: time.Second, Before: 1}
	}
	all := slices.Clone(r.all)
	slices.SortFunc(all, func(a, b Measured) int { return int(a.rate() - b.rate()) })
	return all[len(all)/2]
}

// Markdown is the whole document.
func (r *Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Backfills

`+"`%s`"+` in this directory writes this file.

Machine: %s, %s/%s, %d processors, load average before the run %s.

A table of %d rows of some 200 bytes, with a key and an index on email, gets the column new_email with email's value in
every row. The server is a private PostgreSQL that syncs its log. Rate, CPU and WAL are of the backfill alone: CPU is what the server's processes
took for the migration, by the kernel's account, and WAL is all that was written meanwhile. Size is table and indexes afterwards, in
proportion to before. HOT is the share of updates, the writers' included, that made no entry in an index. What this project does goes
through its Migrator, with the two-way sync installed, to the phase in which the new version may have traffic.
Times are for comparison within one run of the command; CPU, WAL, size and HOT bear other work on the machine.

## Without writers

The methods take turns, %d each; the round with the middle rate counts. *To UPDATE* is in proportion to the single UPDATE.

| method | rows/s | to UPDATE | CPU µs/row | to UPDATE | WAL B/row | size | HOT |
|---|---|---|---|---|---|---|---|
`, r.Command, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), r.Load, r.Plan.Rows, r.Plan.Rounds)
	base := r.Alone[0].median()
	for _, row := range r.Alone {
		m := row.median()
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.1f | %.2f | %.0f | %.2f | %.0f%% |\n", row.method.name, m.rate(), m.rate()/base.rate(),
			m.perRow(), m.perRow()/max(base.perRow(), 1e-9), float64(m.WAL)/m.Rows, float64(m.After)/float64(m.Before), 100*m.HOT)
	}
	fmt.Fprintf(&b, `
## Beside %d writers

Each writer is a client of the old version with fifty operations a second: inserts, updates and reads. p99 is of an operation from when it was due.
A method that can be held works %v and rests %v in turn, and its p99 *on* and *off* are of the same run; that of the others is during and
before. The rate is while it works. The longest stall is of one operation, DDL included, up to the end of the change; a wait for a lock is seen every 20 ms. Every
acknowledged write is remembered: *lost* are those that are not there in the end, *diverged* rows whose new_email is not email, *failed* writes of the old version that
were refused.

| method | rows/s | CPU µs/row | WAL B/row | size | HOT | p99 on | off | on/off | stall | lock wait | diverged | lost | failed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`, r.Plan.Writers, r.Plan.On, r.Plan.Off)
	for _, row := range r.Beside {
		m := row.median()
		fmt.Fprintf(&b, "| %s | %.0f | %.1f | %.0f | %.2f | %.0f%% | %s | %s | %.2f | %s | %s | %d | %d | %d |\n", row.method.name, m.rate(), m.perRow(),
			float64(m.WAL)/m.Rows, float64(m.After)/float64(m.Before), 100*m.HOT, ms(m.On), ms(m.Off), float64(m.On)/float64(max(m.Off, 1)),
			ms(m.Stall), ms(m.Wait), m.Diverged, m.Lost, m.Failed)
	}
	return b.String()
}

// perRow is microseconds of CPU.
func (m Measured) perRow() float64 { return float64(m.CPU.Microseconds()) / m.Rows }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// Load is the machine's load averages, where it tells.
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}
