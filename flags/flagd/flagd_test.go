// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagd"
	"github.com/rheostat-go/rheostat/internal/script"
)

// TestTraces plays the stories of testdata. Their commands:
//
//	flags          the set below is all there is; prints the problems
//	ask KEY who    value, variant and reason for the context below, a JSON object
//	each           one targeting a line: what it computes to for the context of the last
//	               "context", as the variant's name
//	context        the context below is the one of the next "each"
func TestTraces(t *testing.T) {
	t.Parallel()
	script.Each(t, "testdata/*.txt", func(t *testing.T) func(script.Cmd) string {
		t.Helper()
		var s story
		return func(cmd script.Cmd) string {
			input := strings.Join(cmd.Input, "\n")
			switch cmd.Name {
			case "flags":
				return s.load(t, input)
			case "ask":
				return s.ask(t, cmd.Bare()[0], input)
			case "context":
				s.context = input
				return ""
			case "each":
				return s.each(t, cmd.Input)
			default:
				return "unknown command " + cmd.Name
			}
		}
	})
}

type story struct {
	client  *flags.Client
	context string
}

func (s *story) load(t *testing.T, text string) string {
	t.Helper()
	doc, err := flagd.Parse([]byte(text))
	if err != nil {
		return err.Error() + "\n"
	}
	s.client = serve(t, doc)
	var out strings.Builder
	for _, p := range doc.Problems {
		fmt.Fprintln(&out, p)
	}
	return out.String()
}

func (s *story) ask(t *testing.T, key, context string) string {
	t.Helper()
	who := contextOf(t, context)
	d := s.client.Raw(key, &who)
	if d.Value == nil {
		return fmt.Sprintf("default (%v)\n", d.Reason)
	}
	return fmt.Sprintf("%s %s (%v)\n", d.Value, d.Variant, d.Reason)
}

// each shows what targetings compute to. The flag has no variants that they could name, so
// the logic is asked itself.
func (s *story) each(t *testing.T, targetings []string) string {
	t.Helper()
	who := contextOf(t, s.context)
	var out strings.Builder
	for _, targeting := range targetings {
		doc, err := flagd.Parse([]byte(`{"flags":{"the-flag":{"variants":{"a":1},"targeting":` + targeting + `}}}`))
		must(t, err)
		f := doc.Flags["the-flag"]
		if f == nil {
			fmt.Fprintln(&out, doc.Problems[0])
			continue
		}
		variant, reason, err := f.Logic.Decide(who)
		switch {
		case err != nil:
			fmt.Fprintln(&out, err)
		case reason == flags.Fallthrough:
			fmt.Fprintln(&out, "null")
		default:
			fmt.Fprintln(&out, variant)
		}
	}
	return out.String()
}

func contextOf(t *testing.T, text string) flags.Context {
	t.Helper()
	var attributes map[string]any
	if text != "" {
		must(t, json.Unmarshal([]byte(text), &attributes))
	}
	return flags.FromMap(attributes)
}

// TestWhatDoublesIsStopped: loops within loops, and texts and lists that double.
func TestWhatDoublesIsStopped(t *testing.T) {
	t.Parallel()
	numbers := strings.Repeat(",1", 60)[1:]
	again := func(x string) string { return fmt.Sprintf(`{"reduce":[[%s],%s,"xxxxxxxx"]}`, numbers, x) }
	loop := `1`
	for range 8 {
		loop = fmt.Sprintf(`{"map":[[%s],%s]}`, numbers, loop)
	}
	twice := `{"cat":[{"var":"accumulator"},{"var":"accumulator"}]}`
	for name, targeting := range map[string]string{
		"text":      again(twice),
		"lists":     again(`{"merge":[{"var":"accumulator"},{"var":"accumulator"}]}`),
		"join":      `{"cat":` + again(`[{"var":"accumulator"},{"var":"accumulator"}]`) + `}`,
		"loops":     loop,
		"numbers":   again(`{"if":[{"+":[{"var":"accumulator"}]},0,` + twice + `]}`),
		"compare":   again(`{"if":[{"<":[{"var":"accumulator"},{"var":"accumulator"}]},0,` + twice + `]}`),
		"substring": again(`{"cat":[{"substr":[{"var":"accumulator"},0]},{"var":"accumulator"}]}`),
	} {
		doc, err := flagd.Parse([]byte(`{"flags":{"f":{"variants":{"a":1},"targeting":` + targeting + `}}}`))
		must(t, err)
		variant, reason, err := doc.Flags["f"].Logic.Decide(flags.User("kim"))
		if err == nil || reason != flags.Failed {
			t.Errorf("%s: %.20q %v %v", name, variant, reason, err)
		}
	}
}

// TestRefsThatGrowAreRefused: each of them holds the next twice.
func TestRefsThatGrowAreRefused(t *testing.T) {
	t.Parallel()
	var evaluators strings.Builder
	for i := range 40 {
		fmt.Fprintf(&evaluators, `"e%d":{"and":[{"$ref":"e%d"},{"$ref":"e%d"}]},`, i, i+1, i+1)
	}
	doc, err := flagd.Parse([]byte(`{"$evaluators":{` + evaluators.String() + `"e40":true},
		"flags":{"f":{"variants":{"a":1},"targeting":{"$ref":"e0"}}}}`))
	must(t, err)
	if len(doc.Problems) != 1 || !strings.Contains(doc.Problems[0].Error(), "too large") {
		t.Errorf("problems %v", doc.Problems)
	}
}

// TestAFlagIsRestored: a Logic does not survive JSON.
func TestAFlagIsRestored(t *testing.T) {
	t.Parallel()
	doc, err := flagd.Parse([]byte(`{"$evaluators":{"kim":{"==":[{"var":"targetingKey"},"kim"]}},"metadata":{"team":"shop"},
		"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"defaultVariant":"b","targeting":{"if":[{"$ref":"kim"},"a"]},"metadata":{"v":2}},
		"none":{"variants":{"a":1}},"plain":{"variants":{"a":1},"defaultVariant":"a"}}}`))
	must(t, err)
	text, err := json.Marshal(doc)
	must(t, err)
	back, err := flags.ParseDocument(text)
	must(t, err)
	for _, f := range back.Flags {
		must(t, flagd.Restore(f))
	}
	client := serve(t, back)
	kim, lou := flags.User("kim"), flags.User("lou")
	if a, b := client.Int("f", 0, &kim), client.Int("f", 0, &lou); a != 1 || b != 2 {
		t.Errorf("f is %d and %d", a, b)
	}
	if d := client.Raw("none", &kim); d.Value != nil || d.Reason != flags.Fallthrough {
		t.Errorf("none is %v", d)
	}
	if d := client.Raw("plain", &kim); d.Reason != flags.Static {
		t.Errorf("plain is %v", d)
	}
	m := flagd.Metadata(back.Flags["f"])
	if m["team"] != flags.Text("shop") || m["v"] != flags.Number(2) || len(m) != 2 {
		t.Errorf("metadata %v", m)
	}
	if err := flagd.Restore(&flags.Flag{Key: "ours", Enabled: true}); err != nil {
		t.Error(err)
	}
	bad := back.Flags["f"].Clone()
	bad.Variants = map[string]json.RawMessage{"x": json.RawMessage("1")}
	if err := flagd.Restore(bad); !errors.Is(err, flags.ErrInvalid) {
		t.Errorf("a default that is gone: %v", err)
	}
}
