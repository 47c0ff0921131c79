// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scenario is one of a feature file, with the steps of the background and the values of one
// row of examples filled in.
type scenario struct {
	name  string
	tags  []string
	steps []step
}

type step struct {
	text  string
	table []map[string]string
}

// gherkin reads as much of Gherkin as the specification's suites use.
func gherkin(text string) []scenario {
	var r reader
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			r.line(line)
		}
	}
	r.finish()
	return r.done
}

type reader struct {
	done       []scenario
	now        *scenario
	background []step
	tags       []string // that wait for what they are of
	feature    []string
	header     []string
	outline    bool
	examples   []string // the tags of the examples, nil outside of any
}

func (r *reader) line(line string) {
	keyword, rest, _ := strings.Cut(line, ":")
	switch {
	case line[0] == '@':
		r.tags = append(r.tags, strings.Fields(line)...)
	case keyword == "Feature":
		r.feature, r.tags = r.tags, nil
	case keyword == "Background":
		r.now = &scenario{name: keyword}
	case keyword == "Scenario", keyword == "Scenario Outline":
		r.finish()
		r.outline = keyword == "Scenario Outline"
		r.now = &scenario{name: strings.TrimSpace(rest), tags: slices.Concat(r.feature, r.tags), steps: slices.Clone(r.background)}
		r.tags = nil
	case keyword == "Examples":
		r.examples, r.tags, r.header = append([]string{}, r.tags...), nil, nil
	case line[0] == '|':
		r.row(cells(line))
	default:
		_, said, _ := strings.Cut(line, " ")
		r.header = nil
		r.now.steps = append(r.now.steps, step{text: said})
	}
}

func (r *reader) row(cells []string) {
	if r.header == nil {
		r.header = cells
		return
	}
	row := make(map[string]string, len(cells))
	for i, name := range r.header {
		row[name] = cells[i]
	}
	if r.examples == nil {
		last := &r.now.steps[len(r.now.steps)-1]
		last.table = append(last.table, row)
		return
	}
	out := scenario{name: r.now.name + ": " + strings.Join(cells, ", "), tags: slices.Concat(r.now.tags, r.examples)}
	for _, s := range r.now.steps {
		for name, value := range row {
			s.text = strings.ReplaceAll(s.text, "<"+name+">", value)
		}
		out.steps = append(out.steps, s)
	}
	r.done = append(r.done, out)
}

func (r *reader) finish() {
	switch {
	case r.now == nil:
	case r.now.name == "Background":
		r.background = r.now.steps
	case !r.outline:
		r.done = append(r.done, *r.now)
	}
	r.now, r.examples, r.header = nil, nil, nil
}

func cells(line string) []string {
	var out []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		out = append(out, strings.TrimSpace(cell))
	}
	return out
}

var quote = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)

// quoted are the strings of a step.
func quoted(text string) []string {
	var out []string
	for _, m := range quote.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.ReplaceAll(m[1], `\"`, `"`))
	}
	return out
}

// TestTheReaderReadsGherkin guards the guard: a reader that loses rows passes anything.
func TestTheReaderReadsGherkin(t *testing.T) {
	t.Parallel()
	got := gherkin("@f\nFeature: F\nBackground:\nGiven b\n@s\nScenario Outline: O\nWhen <a> is \"\\\"x\\\"\"\n@e\nExamples: one\n|a|\n|1|\n\n|2|\n" +
		"Examples: two\n|a|\n|3|\nScenario: S\nThen table\n|k|v|\n|x|y|\nAnd more\n")
	if len(got) != 4 || got[2].steps[1].text != `3 is "\"x\""` || quoted(got[2].steps[1].text)[0] != `"x"` {
		t.Fatalf("%+v", got)
	}
	if !slices.Equal(got[1].tags, []string{"@f", "@s", "@e"}) || got[3].steps[1].table[0]["k"] != "x" || got[3].steps[2].text != "more" {
		t.Fatalf("%+v", got)
	}
}
