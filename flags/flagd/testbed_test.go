// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagd"
)

// testbed names the folder of flagd's own scenarios, which has gherkin/*.feature and
// flags/testkit-flags.json.
const testbed = "RHEOSTAT_FLAGD_TESTBED"

// skipped are scenarios that do not run, with the reason.
var skipped = map[string]string{
	"@fractional-v1": "how flagd drew before 2026: it drew other people",
}

// TestTheTestbed runs the scenarios that flagd's evaluators must pass.
func TestTheTestbed(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(testbed)
	if dir == "" {
		t.Skipf("%s does not name the evaluator folder of flagd-testbed", testbed)
	}
	text, err := os.ReadFile(filepath.Join(dir, "flags", "testkit-flags.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := flagd.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	client := serve(t, doc)
	files, err := filepath.Glob(filepath.Join(dir, "gherkin", "*.feature"))
	if err != nil || len(files) == 0 {
		t.Fatal("no features", err)
	}
	ran, left := 0, 0
	for _, file := range files {
		feature, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range gherkin(t, string(feature)) {
			if tag := slices.IndexFunc(s.tags, func(tag string) bool { return skipped[tag] != "" }); tag >= 0 {
				left++
				continue
			}
			ran++
			t.Run(filepath.Base(file)+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				w := world{client: client, doc: doc, attributes: map[string]any{}}
				for _, step := range s.steps {
					w.do(t, step)
				}
			})
		}
	}
	t.Logf("%d scenarios and rows ran, %d were left out", ran, left)
}

// scenario is one scenario, or one row of an outline.
type scenario struct {
	name  string
	tags  []string
	steps []step
}

type step struct {
	text  string
	table [][]string
}

// gherkin reads as much of Gherkin as the testbed uses.
func gherkin(t *testing.T, text string) []scenario {
	t.Helper()
	var out []scenario
	var tags, feature, examples []string
	var background []step
	var now *scenario
	outline, inBackground := false, false
	var header []string
	finish := func() {
		if now != nil && !outline {
			out = append(out, *now)
		}
		now = nil
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch keyword, rest, _ := strings.Cut(line, ":"); {
		case line == "" || line[0] == '#':
		case line[0] == '@':
			tags = append(tags, strings.Fields(line)...)
		case keyword == "Feature":
			feature, tags = tags, nil
		case keyword == "Background":
			inBackground = true
		case keyword == "Scenario" || keyword == "Scenario Outline":
			finish()
			inBackground, outline, header = false, keyword == "Scenario Outline", nil
			now = &scenario{name: strings.TrimSpace(rest), tags: slices.Concat(feature, tags), steps: slices.Clone(background)}
			tags, examples = nil, nil
		case keyword == "Examples":
			examples, tags, header = append([]string{"examples"}, tags...), nil, nil
		case line[0] == '|' && examples == nil:
			last := &now.steps[len(now.steps)-1]
			last.table = append(last.table, cells(line))
		case line[0] == '|' && header == nil:
			header = cells(line)
		case line[0] == '|':
			out = append(out, now.row(header, cells(line), examples))
		default:
			_, said, _ := strings.Cut(line, " ")
			if inBackground {
				background = append(background, step{text: said})
			} else {
				now.steps = append(now.steps, step{text: said})
			}
		}
	}
	finish()
	return out
}

func cells(line string) []string {
	var out []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		out = append(out, strings.TrimSpace(cell))
	}
	return out
}

// row is an outline with one row of its examples filled in.
func (s *scenario) row(header, row, tags []string) scenario {
	out := scenario{name: s.name + " " + strings.Join(row, ","), tags: slices.Concat(s.tags, tags)}
	for _, st := range s.steps {
		for i, name := range header {
			st.text = strings.ReplaceAll(st.text, "<"+name+">", row[i])
		}
		out.steps = append(out.steps, st)
	}
	return out
}

// world is what a scenario has said so far.
type world struct {
	client              *flags.Client
	doc                 flags.Document
	kind, key, fallback string
	attributes          map[string]any
	value               string
	variant             string
	reason              flags.Reason
}

func (w *world) do(t *testing.T, s step) {
	t.Helper()
	said := quoted(s.text)
	switch {
	case s.text == "an evaluator":
	case strings.Contains(s.text, "-flag with key"):
		kind, _, _ := strings.Cut(strings.TrimPrefix(s.text, "a "), "-flag")
		w.kind, w.key, w.fallback = kind, said[0], said[1]
	case strings.HasPrefix(s.text, "a context containing a key"):
		w.attributes[said[0]] = typed(t, said[1], said[2])
	case strings.HasPrefix(s.text, "a context containing a nested property"):
		w.attributes[said[0]] = map[string]any{said[1]: said[2]}
	case strings.HasPrefix(s.text, "a context containing a targeting key"):
		w.attributes["targetingKey"] = said[0]
	case s.text == "the flag was evaluated with details":
		w.evaluate(t)
	case strings.HasPrefix(s.text, "the resolved details value should be"):
		if !equal(t, w.kind, w.value, said[0]) {
			t.Errorf("value %s, want %s", w.value, said[0])
		}
	case strings.HasPrefix(s.text, "the reason should be"):
		if got := spoken(w.reason); got != said[0] {
			t.Errorf("reason %s, want %s", got, said[0])
		}
	case strings.HasPrefix(s.text, "the error-code should be"):
		if got := w.code(); got != said[0] {
			t.Errorf("error %s, want %s", got, said[0])
		}
	case s.text == "the resolved metadata is empty":
		if m := flagd.Metadata(w.doc.Flags[w.key]); len(m) > 0 {
			t.Errorf("metadata %v, want none", m)
		}
	case s.text == "the resolved metadata should contain":
		m := flagd.Metadata(w.doc.Flags[w.key])
		for _, row := range s.table[1:] {
			if got := strings.Trim(m[row[0]].String(), `"`); got != row[2] {
				t.Errorf("metadata %s: %s, want %s", row[0], got, row[2])
			}
		}
	default:
		t.Fatalf("unknown step %q", s.text)
	}
}

func (w *world) evaluate(t *testing.T) {
	t.Helper()
	who := flags.FromMap(w.attributes)
	switch w.kind {
	case "Boolean":
		fallback, err := strconv.ParseBool(w.fallback)
		must(t, err)
		w.take(detail(flags.Bool(w.key, fallback).Eval(w.client, &who)))
	case "String":
		w.take(detail(flags.String(w.key, w.fallback).Eval(w.client, &who)))
	case "Integer":
		fallback, err := strconv.ParseInt(w.fallback, 10, 64)
		must(t, err)
		w.take(detail(flags.Int(w.key, fallback).Eval(w.client, &who)))
	case "Float":
		fallback, err := strconv.ParseFloat(w.fallback, 64)
		must(t, err)
		w.take(detail(flags.Float(w.key, fallback).Eval(w.client, &who)))
	case "Object":
		fallback := json.RawMessage(strings.ReplaceAll(w.fallback, `\"`, `"`))
		d := flags.JSON(w.key, fallback).Eval(w.client, &who)
		w.take(string(d.Value), d.Variant, d.Reason)
	default:
		t.Fatalf("unknown type %q", w.kind)
	}
}

func detail[T any](d flags.Detail[T]) (value, variant string, reason flags.Reason) {
	return fmt.Sprint(d.Value), d.Variant, d.Reason
}

func (w *world) take(value, variant string, reason flags.Reason) {
	w.value, w.variant, w.reason = value, variant, reason
}

// code is OpenFeature's word for what went wrong. A flag that could not be read has a
// problem, and is not there.
func (w *world) code() string {
	switch w.reason {
	case flags.NotFound:
		if slices.ContainsFunc(w.doc.Problems, func(p flags.Problem) bool { return p.Flag == w.key }) {
			return "PARSE_ERROR"
		}
		return "FLAG_NOT_FOUND"
	case flags.TypeMismatch:
		return "TYPE_MISMATCH"
	case flags.Failed:
		return "GENERAL"
	default:
		return ""
	}
}

func spoken(r flags.Reason) string {
	return cmp.Or(map[flags.Reason]string{
		flags.Static: "STATIC", flags.Fallthrough: "DEFAULT", flags.Matched: "TARGETING_MATCH", flags.Disabled: "DISABLED",
	}[r], "ERROR")
}

// quoted are the texts in quotation marks of a step.
func quoted(text string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(text, `"`)
		if !ok {
			return out
		}
		end := 0
		for end < len(rest) && (rest[end] != '"' || end > 0 && rest[end-1] == '\\') {
			end++
		}
		out = append(out, rest[:end])
		text = rest[min(end+1, len(rest)):]
	}
}

func typed(t *testing.T, kind, text string) any {
	t.Helper()
	switch kind {
	case "String":
		return text
	case "Integer", "Float":
		n, err := strconv.ParseFloat(text, 64)
		must(t, err)
		return n
	default:
		b, err := strconv.ParseBool(text)
		must(t, err)
		return b
	}
}

func equal(t *testing.T, kind, got, want string) bool {
	t.Helper()
	switch kind {
	case "Integer", "Float":
		m, err := strconv.ParseFloat(got, 64)
		must(t, err)
		n, err := strconv.ParseFloat(want, 64)
		must(t, err)
		return m == n
	case "Object":
		var x, y any
		must(t, json.Unmarshal([]byte(got), &x))
		must(t, json.Unmarshal(bytes.ReplaceAll([]byte(want), []byte(`\"`), []byte(`"`)), &y))
		return reflect.DeepEqual(x, y)
	default:
		return got == want
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// serve is a client that has the document.
func serve(tb testing.TB, doc flags.Document) *flags.Client {
	tb.Helper()
	var store flags.Memory
	store.Replace(doc)
	client, err := flags.New(&store, flags.Options{})
	must(tb, err)
	run(tb, client)
	must(tb, client.Wait(tb.Context()))
	for _, p := range client.Status().Problems {
		if !slices.ContainsFunc(doc.Problems, func(q flags.Problem) bool { return q.Flag == p.Flag }) {
			tb.Error(p)
		}
	}
	return client
}

// TestTheReaderReadsGherkin guards the guard: a reader that loses rows passes anything.
func TestTheReaderReadsGherkin(t *testing.T) {
	t.Parallel()
	got := gherkin(t, `@all
Feature: two
  Background:
    Given an evaluator
  @one
  Scenario: first
    Then the resolved metadata should contain
      | key | value |
      | a   | 1     |
  Scenario Outline: second
    Given a <type>-flag with key "k" and a fallback value "<v>"
    @old
    Examples: x
      | type | v |
      | A    | 1 |
    Examples: y
      | type | v |
      | B    |   |
      | C    | 3 |
`)
	var names []string
	for _, s := range got {
		names = append(names, s.name+" "+strings.Join(s.tags, "")+" "+s.steps[len(s.steps)-1].text)
	}
	want := []string{
		`first @all@one the resolved metadata should contain`,
		`second A,1 @allexamples@old a A-flag with key "k" and a fallback value "1"`,
		`second B, @allexamples a B-flag with key "k" and a fallback value ""`,
		`second C,3 @allexamples a C-flag with key "k" and a fallback value "3"`,
	}
	if !slices.Equal(names, want) {
		t.Errorf("read %q", names)
	}
	if table := got[0].steps[1].table; len(table) != 2 || table[1][1] != "1" {
		t.Errorf("the table is %q", table)
	}
}
