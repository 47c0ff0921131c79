// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNothingIsLostBesideWriters runs all that the command does, small. Times say nothing here.
func TestNothingIsLostBesideWriters(t *testing.T) {
	t.Parallel()
	p := Plan{Rows: 20000, Writers: 3, Rounds: 1, On: 200 * time.Millisecond, Off: 100 * time.Millisecond, Before: 200 * time.Millisecond}
	r, err := Measure(t.Context(), p, t.Logf) // as the command does
	if errors.Is(err, errMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range append(r.Alone, r.Beside...) {
		m := row.median()
		if m.Lost != 0 || m.Worked <= 0 || m.WAL <= 0 || m.After <= m.Before {
			t.Errorf("%s: %+v", row.method.name, m)
		}
		if row.method.name == single.name {
			continue // it diverges, and stops the writers
		}
		if m.Diverged != 0 || m.Failed != 0 {
			t.Errorf("%s: %d rows diverged, %d of %d operations failed: %v", row.method.name, m.Diverged, m.Failed, m.Writes, m.firstErr)
		}
	}
	// What the walk is for does not depend on the clock.
	one, walk := r.Alone[0].median(), r.Alone[2].median()
	if walk.HOT < 0.6 || one.HOT > 0.1 {
		t.Errorf("HOT updates: the walk has %.0f%%, the single UPDATE %.0f%%", 100*walk.HOT, 100*one.HOT)
	}
	if grown, doubled := float64(walk.After)/float64(walk.Before), float64(one.After)/float64(one.Before); grown > 1.4 || doubled < 1.7 {
		t.Errorf("the walk leaves %.2f of the size, the single UPDATE %.2f", grown, doubled)
	}
}

// TestTheDocumentIsTheCommands compares all of it but the numbers and the machine.
func TestTheDocumentIsTheCommands(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../MIGRATE.md")
	if err != nil {
		t.Fatal(err)
	}
	r := Plan{}.results()
	if strings.Contains(string(document), "\n| pgroll") {
		r = Plan{Pgroll: "pgroll"}.results()
	}
	numbers := regexp.MustCompile(`[0-9]+([.,][0-9]+)*([a-zµ]+\b)?`)
	lines := func(text string) (lines []string) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "Machine:") || strings.HasSuffix(line, "writes this file.\n") {
				line = "\n" // the machine, and the flags
			}
			lines = append(lines, numbers.ReplaceAllString(strings.ReplaceAll(line, " ms", ""), "0"))
		}
		return lines
	}
	if !strings.Contains(string(document), "`GOWORK=off go run ./cmd/migrate") {
		t.Error("MIGRATE.md does not name its command")
	}
	got, want := lines(string(document)), lines(r.Markdown())
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of MIGRATE.md is not what the command writes: run it (%d and %d lines)\n%q\n%q",
				i+1, len(got), len(want), got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
}
