// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/flags/flagvet"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

var june = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func document(t *testing.T, text string) *flagvet.Document {
	t.Helper()
	doc, err := flagvet.ParseDocument("flags.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func use(key string, kind flagvet.Type, fallback string, line int) flagvet.Use {
	return flagvet.Use{
		Key: key, Type: kind, Fallback: fallback, Func: "flags." + string(kind),
		Pos: token.Position{Filename: "a.go", Line: line, Column: 1, Offset: 100 * line},
	}
}

func text(t *testing.T, findings []flagvet.Finding) string {
	t.Helper()
	var b strings.Builder
	if err := flagvet.WriteText(&b, findings, "/nowhere"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestATypeIsHeldAgainstEveryVariantAsHandlesDo(t *testing.T) {
	t.Parallel()
	doc := document(t, `{"flags": {
		"bool": {"enabled": true}, "named": {"enabled": true, "variants": {"yes": true, "no": false}},
		"string": {"enabled": true, "variants": {"a": "x"}}, "whole": {"enabled": true, "variants": {"a": 1e3, "b": 7.0}},
		"half": {"enabled": true, "variants": {"a": 1, "b": 1.5}}, "object": {"enabled": true, "variants": {"a": {"x": 1}}}}}`)
	fits := map[string]string{
		"bool": "bool json", "named": "bool json", "string": "string json", "whole": "int float json", "half": "float json", "object": "json",
	}
	for key, want := range fits {
		var got []string
		for _, kind := range []flagvet.Type{flagvet.Bool, flagvet.String, flagvet.Int, flagvet.Float, flagvet.JSON} {
			findings := flagvet.Check([]flagvet.Use{use(key, kind, "", 1)}, flagvet.Options{Document: doc, Now: june, Ignore: []flagvet.Rule{flagvet.Unused}})
			if len(findings) == 0 {
				got = append(got, string(kind))
			} else if findings[0].Rule != flagvet.Mismatch {
				t.Errorf("%s as %s: %v", key, kind, findings)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s fits %q, want %q", key, got, want)
		}
	}
}

func TestOnlyANearKeyIsSuggested(t *testing.T) {
	t.Parallel()
	doc := document(t, `{"flags": {"new-checkout": {"enabled": true}, "ab": {"enabled": true}}}`)
	for key, want := range map[string]string{
		"new_checkout": `is it "new-checkout"?`, "newcheckout": `is it "new-checkout"?`, "new-checkouts": `is it "new-checkout"?`,
		"old-checkout": `is it "new-checkout"?`, "payments": "", "xy": "", "": "",
	} {
		findings := flagvet.Check([]flagvet.Use{use(key, flagvet.Bool, "", 1)}, flagvet.Options{Document: doc, Now: june, Ignore: []flagvet.Rule{flagvet.Unused}})
		if len(findings) != 1 || findings[0].Rule != flagvet.Unknown {
			t.Fatalf("%q: %v", key, findings)
		}
		if got := findings[0].Message; want == "" && strings.Contains(got, "is it") || !strings.HasSuffix(got, want) {
			t.Errorf("%q: %s, want %s", key, got, want)
		}
	}
}

func TestAFlagIsFoundWhereItsKeyStands(t *testing.T) {
	t.Parallel()
	doc := document(t, `{"segments": {"flags": {"keys": ["flags"]}},
  "flags": {"a \"b\\": {"enabled": true}, "q\"": {"enabled": true},
    "ü": {"enabled": true}}}`)
	want := `flags.json:2:13: no code asks for flag "a \"b\\" (unused-flag)
flags.json:2:43: no code asks for flag "q\"" (unused-flag)
flags.json:3:5: no code asks for flag "ü" (unused-flag)
`
	if diff := cmp.Diff(want, text(t, flagvet.Check(nil, flagvet.Options{Document: doc, Now: june}))); diff != "" {
		t.Error(diff)
	}
}

func TestStaleAfterAndPermanentDecideWhatGoes(t *testing.T) {
	t.Parallel()
	doc := document(t, `{"flags": {"done": {"enabled": true, "fully_on_since": "2026-05-20T00:00:00Z"},
		"kill": {"enabled": true, "permanent": true, "fully_on_since": "2026-01-01T00:00:00Z"}}}`)
	uses := []flagvet.Use{use("done", flagvet.Bool, "false", 1)}
	if got := text(t, flagvet.Check(uses, flagvet.Options{Document: doc, Now: june})); got != "" {
		t.Error("after 12 days:", got)
	}
	got := text(t, flagvet.Check(uses, flagvet.Options{Document: doc, Now: june, StaleAfter: 10 * 24 * time.Hour}))
	if want := `a.go:1:1: flag "done" has served everybody "on" for 12 days, since 2026-05-20: replace it by true, then retire the flag (stale-flag)` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// everything is what there is to say of the shop under testdata.
func everything(t *testing.T) (findings []flagvet.Finding, root string) {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, "testdata", "shop", "flags.json")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := flagvet.ParseDocument(name, data)
	if err != nil {
		t.Fatal(err)
	}
	uses, err := flagvet.Load(t.Context(), flagvet.LoadOptions{}, "./testdata/shop/...")
	if err != nil {
		t.Fatal(err)
	}
	return flagvet.Check(uses, flagvet.Options{Document: doc, Now: june}), root
}

func TestTheShopInText(t *testing.T) {
	t.Parallel()
	findings, root := everything(t)
	var b bytes.Buffer
	if err := flagvet.WriteText(&b, findings, root); err != nil {
		t.Fatal(err)
	}
	golden(t, "shop.txt", b.Bytes())
}

func TestTheShopInSARIF(t *testing.T) {
	t.Parallel()
	findings, root := everything(t)
	var b bytes.Buffer
	if err := flagvet.WriteSARIF(&b, findings, root); err != nil {
		t.Fatal(err)
	}
	golden(t, "shop.sarif", b.Bytes())
	valid(t, b.Bytes())
	b.Reset()
	if err := flagvet.WriteSARIF(&b, nil, root); err != nil {
		t.Fatal(err)
	}
	valid(t, b.Bytes())
}

// valid holds a log against what the schema of SARIF 2.1.0 requires, and what code scanning
// does on top: a rule for each result, and places in files.
func valid(t *testing.T, text []byte) {
	t.Helper()
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			ColumnKind string
			Tool       struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID               string
						ShortDescription struct{ Text string }
					}
				}
			}
			Results *[]struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-2.1.0") || len(log.Runs) != 1 {
		t.Fatalf("version %q, schema %q, %d runs", log.Version, log.Schema, len(log.Runs))
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name == "" || run.ColumnKind != "unicodeCodePoints" || run.Results == nil {
		t.Fatalf("driver %q, columns %q, results %v: null says that nothing was looked at", run.Tool.Driver.Name, run.ColumnKind, run.Results)
	}
	for _, rule := range run.Tool.Driver.Rules {
		if rule.ID == "" || rule.ShortDescription.Text == "" {
			t.Errorf("rule %+v", rule)
		}
	}
	for _, r := range *run.Results {
		if r.RuleIndex < 0 || r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s is not rule %d", r.RuleID, r.RuleIndex)
		}
		if !slices.Contains([]string{"note", "warning", "error"}, r.Level) || r.Message.Text == "" || len(r.Locations) != 1 {
			t.Errorf("result %+v", r)
			continue
		}
		place := r.Locations[0].PhysicalLocation
		if place.ArtifactLocation.URI == "" || strings.HasPrefix(place.ArtifactLocation.URI, "/") || place.Region.StartLine < 1 || place.Region.StartColumn < 1 {
			t.Errorf("place %+v", place)
		}
	}
}
