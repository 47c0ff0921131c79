// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package yaml_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/yaml"
)

const good = `
# Two flags, as people write them.
flags:
  new-checkout:
    enabled: true
    rollout: {type: percentage, percentage: 12.5}
    team: growth
  colour:
    enabled: true
    variants: {red: "#f00", blue: "#00f"}
    off: blue
    rules:
    - id: staff
      when: [{attribute: email, op: ends_with, values: ["@example.com", "no"]}]
      variant: red
    default:
      split: [{variant: red, percent: 10}, {variant: blue, percent: 90}]
holdouts:
  everything: {percent: 1}
`

func textOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocumentsGoThroughYAMLUnchanged(t *testing.T) {
	t.Parallel()
	doc, err := yaml.ParseDocument([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if problems := doc.Check(); len(problems) > 0 || len(doc.Flags) != 2 || doc.Flags["new-checkout"].Rollout.Percentage != 12_500 {
		t.Fatalf("read as %s: %v", textOf(t, doc), problems)
	}
	text, err := yaml.MarshalDocument(doc)
	if err != nil {
		t.Fatal(err)
	}
	again, err := yaml.ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := textOf(t, again), textOf(t, doc); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for key, f := range doc.Flags {
		text, err := yaml.MarshalFlag(f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := yaml.ParseFlag(key, text)
		if err != nil || textOf(t, again) != textOf(t, f) {
			t.Errorf("%s came back as %s (%v)", textOf(t, f), textOf(t, again), err)
		}
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, want string }{
		{"twice", "    team: growth", "    enabled: false", `"enabled" already set`},
		{"two flags of a name", "  colour:", "  new-checkout:", `"new-checkout" already set`},
		{"a second document", "holdouts:", "---\nholdouts:", "second document"},
		{"no YAML", "holdouts:", "\tholdouts:", "yaml:"},
		{"no flags", "flags:", "flag:", "no field"},
	} {
		_, err := yaml.ParseDocument([]byte(strings.Replace(good, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "flags: document: ") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	doc, err := yaml.ParseDocument([]byte(strings.Replace(good, "enabled: true", "enabled: maybe", 1)))
	if err != nil || len(doc.Problems) != 1 || doc.Problems[0].Flag != "new-checkout" || len(doc.Flags) != 1 {
		t.Errorf("a flag that cannot be read: %v, %v", err, doc.Problems)
	}
	for _, text := range []string{"", "# nothing", "null", "[]", "{enabled: 1}"} {
		if f, err := yaml.ParseFlag("a", []byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, textOf(t, f))
		}
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("flags: {a: null}"))
	f.Add([]byte("flags: {a: &a {enabled: true}, b: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := yaml.ParseDocument(data)
		if err != nil {
			return
		}
		if _, err := yaml.MarshalDocument(doc); err != nil {
			t.Fatalf("read and not written: %v", err)
		}
	})
}

func ExampleParseDocument() {
	source := flags.File("flags.yaml", flags.FileOptions{Decode: yaml.ParseDocument})
	_ = source // for flags.New

	doc, err := yaml.ParseDocument([]byte("flags: {new-checkout: {enabled: true, rollout: {type: percentage, percentage: 5}}}"))
	if err != nil {
		panic(err)
	}
	fmt.Println(doc.Flags["new-checkout"].Rollout.Percentage)
	// Output:
	// 5%
}
