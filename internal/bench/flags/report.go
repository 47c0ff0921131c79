// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Results are what the command measures. What is nil is left out of the document.
type Results struct {
	Plan      Plan
	Command   string
	Costs     Costs
	Scales    []Scale
	Visible   []*Visible
	Qualities []Quality
	// Units is how many Qualities were measured with.
	Units int
	// Load is what the machine said of itself before.
	Load string
}

// Markdown is the whole document.
func (r *Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Flags

`+"`%s`"+` in this directory writes this file.

%s, %s/%s, %d processors of %s, load average before the run %s. Times are CPU time of the process,
as the kernel counts it, collector included; where others use the machine they are upper bounds. Counts of bytes and objects are the same everywhere.

`, r.Command, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), processor(), r.Load)
	if r.Costs != nil {
		r.costs(&b)
	}
	if r.Scales != nil {
		r.scales(&b)
	}
	if r.Visible != nil {
		r.visible(&b)
	}
	if r.Qualities != nil {
		r.qualities(&b)
	}
	r.versions(&b)
	return b.String()
}

func (r *Results) costs(b *strings.Builder) {
	fmt.Fprintf(b, `## A question

%s flags are loaded, those that nobody asks for being on for everybody, and %s people ask in turn. Before anything is timed each library's
answers are counted: **on** is for everybody; **pct** is for 10%%, by id; **users** is for 1,000 ids, %d of whom ask; **rules** is for country in {US, CA} and plan = pro and build >= 500, and for 10%% of the others.
Contexts are made beforehand, but for the last case. Events, metrics and logs are off. The libraries take turns of %v in a new order each time, %d turns
each; the least counts, and the median is in brackets. *Less than %s* is the ratio of the least. *All* is on all processors at once, and *gain* the
questions a second of the clock, of all processors to one: it says something of locks only on an idle machine.

`, thousands(r.Plan.Flags), thousands(People), among, r.Plan.Slot, r.Plan.Rounds, base)
	fmt.Fprintf(b, "| case | library | ns, one | less than %s | ns, all | less than %[1]s | gain | B | objects |\n|%s\n", base, strings.Repeat("---|", 9))
	for k := range cases {
		theirs := &r.Costs[base][k]
		for _, p := range Peers {
			c := &r.Costs[p.Name][k]
			if !c.done {
				continue
			}
			one, all := &c.modes[serial], &c.modes[parallel]
			fmt.Fprintf(b, "| %s | %s | %s (%s) | %s | %s (%s) | %s | %.2f | %.0f | %.0f |\n", k, p.Name,
				number(one.least()), number(one.median()), times(theirs.modes[serial].least(), one.least()),
				number(all.least()), number(all.median()), times(theirs.modes[parallel].least(), all.least()), all.rate/one.rate, c.bytes, c.allocs)
		}
	}
	b.WriteString("\n")
}

func (r *Results) scales(b *strings.Builder) {
	b.WriteString(`## Many flags

A third of the flags is on, a third for 10%, and a third has rules. Loading is from JSON text to answers, the least CPU of three times. The heap is what lives after a collection, flags as they were read included; a flag's part is what
the larger set has more than the smaller, by the flag. *Asked* is one flag (pct) again and again, *swept* is all flags in an order that no cache guesses.

| library | flags | load | heap a flag, B | ns asked | ns swept |
|---|---|---|---|---|---|
`)
	for i, s := range r.Scales {
		heap := ""
		if !slices.ContainsFunc(r.Scales[i+1:], func(o Scale) bool { return o.Peer == s.Peer }) {
			heap = number(perFlag(r.Scales, s.Peer))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", s.Peer, thousands(s.Flags), duration(s.Load), heap, number(s.Asked), number(s.Swept))
	}
	b.WriteString("\n")
}

func (r *Results) visible(b *strings.Builder) {
	b.WriteString(`## From a write to everybody

A flag is written with ` + "`flags.Edit`" + ` to a store in memory while goroutines ask for it without a pause, and yield after each question. The time, of the clock, is from
before the write until the last goroutine has the new answer.

| flags | goroutines | writes | median | 99% | longest |
|---|---|---|---|---|---|
`)
	for _, v := range r.Visible {
		fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s |\n", thousands(v.Flags), thousands(v.Goroutines), len(v.Times),
			duration(v.at(0.5)), duration(v.at(0.99)), duration(v.at(1)))
	}
	b.WriteString("\n")
}

func (r *Results) qualities(b *strings.Builder) {
	fmt.Fprintf(b, `## Who is drawn

%s units, %d flags at 10%%, %s pairs of flags; the same on every machine. Drawn at random, chi-square over 100 buckets is 99 on average, and far below is as wrong as
far above; two flags correlate by less than 0.015, and have units in common; 3%% of the units have the next one within a bucket. Ids are numbered
(user-000042) or random.

| draw | what it is | ids | chi-square, median, most | largest correlation | pairs above 0.1 | pairs without a unit in common | neighbours together |
|---|---|---|---|---|---|---|---|
`, thousands(r.Units), len(flagNames()), thousands(r.Qualities[0].Pairs))
	for _, q := range r.Qualities {
		fmt.Fprintf(b, "| %s | %s | %s | %.1f, %.1f | %.3f | %d | %d | %.1f%% |\n", q.Draw.Name, q.Draw.About, q.IDs,
			q.ChiMedian, q.ChiMost, q.Worst, q.Shared, q.Disjoint, 100*q.Neighbours)
	}
	b.WriteString("\n")
}

// versions are those of the modules in this very binary.
func (r *Results) versions(b *strings.Builder) {
	b.WriteString("## Versions\n\n| library | module | version |\n|---|---|---|\n")
	built := make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			built[m.Path] = m.Version
		}
	}
	for _, p := range Peers {
		for _, path := range p.Modules {
			version := built[path]
			if path == ourModule {
				version = "this tree"
			}
			fmt.Fprintf(b, "| %s | `%s` | %s |\n", p.Name, path, version)
		}
	}
}

// Load is the machine's load average, or "unknown".
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "unknown"
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				return strings.Trim(name, " \t:\n")
			}
		}
	}
	return "unknown make"
}

func times(theirs, ours float64) string { return fmt.Sprintf("%.2g×", theirs/ours) }

func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(int(v + 0.5))
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func duration(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}
