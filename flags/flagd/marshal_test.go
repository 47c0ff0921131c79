// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagd"
)

// native are flags that flagd can decide alike.
const native = `{"flags":{
	"plain": {"enabled":true},
	"killed": {"enabled":false,"rollout":{"type":"percentage","percentage":50}},
	"stopped": {"enabled":false,"variants":{"a":1,"b":2},"default":{"variant":"a"}},
	"pct": {"enabled":true,"rollout":{"type":"percentage","percentage":12.345}},
	"users": {"enabled":true,"rollout":{"type":"users","users":["user-1","user-3"]}},
	"salted": {"enabled":true,"salt":"other","rollout":{"type":"percentage","percentage":30}},
	"by": {"enabled":true,"by":"tenant","off":"none","variants":{"a":1,"b":2,"none":0},"default":{"split":[{"variant":"a","percent":40},{"variant":"b","percent":60}]}},
	"value": {"enabled":true,"variants":{"a":"x","b":"y"},"default":{"variant":"b"}},
	"nothing": {"enabled":true,"variants":{"a":"x"}},
	"rules": {"enabled":true,"variants":{"a":"x","b":"y","c":"z"},"off":"c",
		"targets":[{"variant":"c","keys":["user-7","user-8"]}],
		"rules":[
			{"when":[{"attribute":"country","op":"in","values":["US","CA"]},{"attribute":"build","op":"gte","values":[500]}],"variant":"a"},
			{"when":[{"attribute":"key","op":"ends_with","values":["1","2"]}],"variant":"b"},
			{"when":[{"attribute":"plan","op":"starts_with","values":["pro"],"not":true},{"attribute":"tenant","op":"exists"}],"by":"tenant","split":[{"variant":"a","percent":50},{"variant":"c","percent":50}]},
			{"when":[{"attribute":"app","op":"semver_lt","values":["1.5.0"]},{"attribute":"country","op":"contains","values":["D"]}],"variant":"b"},
			{"when":[{"attribute":"build","op":"lt","values":[100]}],"variant":"a"}],
		"default":{"split":[{"variant":"a","percent":10},{"variant":"b","percent":90}]}}
}}`

// TestWhatIsWrittenIsDecidedAlike: by ours as they are, and by flagd's after they were
// written and read.
func TestWhatIsWrittenIsDecidedAlike(t *testing.T) {
	t.Parallel()
	doc, err := flags.ParseDocument([]byte(native))
	must(t, err)
	text, err := flagd.Marshal(doc)
	must(t, err)
	read, err := flagd.Parse(text)
	must(t, err)
	if len(read.Problems) > 0 {
		t.Fatal(read.Problems)
	}
	ours, theirs := serve(t, doc), serve(t, read)
	crowd := append(people(), flags.Context{}, flags.User("").Num("build", 7), flags.User("x").Str("build", "7"), flags.User("y").Str("tenant", ""))
	for key := range doc.Flags {
		seen := map[string]int{}
		for i, who := range crowd {
			if i%2 == 0 {
				who = who.Str("tenant", fmt.Sprint("tenant-", i/20))
			}
			a, b := ours.Raw(key, &who), theirs.Raw(key, &who)
			if string(a.Value) != string(b.Value) || a.Variant != b.Variant {
				t.Fatalf("%s for %s: %s %s (%v) and %s %s (%v)", key, who.Key(), a.Variant, a.Value, a.Reason, b.Variant, b.Value, b.Reason)
			}
			seen[a.Variant]++
		}
		t.Log(key, seen)
	}
}

// TestWhatWasReadIsWritten: but for the $refs, and what has become of the flag since.
func TestWhatWasReadIsWritten(t *testing.T) {
	t.Parallel()
	const in = `{"metadata":{"team":"shop"},"$evaluators":{"e":{"==":[1,{"var":"a"}]}},"flags":{
		"f":{"state":"ENABLED","variants":{"a":1,"b":2.50},"defaultVariant":"b","targeting":{"if":[{"$ref":"e"},"a",null]},"metadata":{"v":1},"new":[1]},
		"g":{"state":"DISABLED","variants":{"a":1},"defaultVariant":null},
		"h":{"state":"ENABLED","variants":{"a":{}},"defaultVariant":"a"},
		"k":{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a","targeting":"a"}}}`
	const want = `{"$schema":"https://flagd.dev/schema/v0/flags.json","metadata":{"team":"shop"},"flags":{
		"f":{"state":"ENABLED","variants":{"a":1,"b":2.50},"defaultVariant":"b","targeting":{"if":[{"==":[1,{"var":"a"}]},"a",null]},"metadata":{"v":1},"new":[1]},
		"g":{"state":"DISABLED","variants":{"a":1},"defaultVariant":null},
		"h":{"state":"ENABLED","variants":{"a":{}},"defaultVariant":"a"},
		"k":{"state":"DISABLED","variants":{"a":1},"defaultVariant":"a","targeting":"a"}}}`
	doc, err := flagd.Parse([]byte(in))
	must(t, err)
	store := new(flags.Memory)
	store.Replace(doc)
	_, err = flags.Kill(t.Context(), store, "k", flags.Note{By: "kim"})
	must(t, err)
	doc.Flags["k"], err = store.Get(t.Context(), "k")
	must(t, err)
	text, err := flagd.Marshal(doc)
	must(t, err)
	var got, wanted any
	must(t, json.Unmarshal(text, &got))
	must(t, json.Unmarshal([]byte(want), &wanted))
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

type someLogic struct{}

func (someLogic) Decide(flags.Context) (string, flags.Reason, error) { return "", flags.Matched, nil }

// TestWhatFlagdHasNotIsNamed: rather than written as something else.
func TestWhatFlagdHasNotIsNamed(t *testing.T) {
	t.Parallel()
	when := func(op flags.Op, v flags.Value) []flags.Rule {
		return []flags.Rule{{When: []flags.Clause{{Attribute: "a", Op: op, Values: []flags.Value{v}}}, Serve: flags.Serve{Variant: "on"}}}
	}
	half := &flags.Rollout{Type: "percentage", Percentage: 50_000}
	for path, f := range map[string]*flags.Flag{
		"prerequisites":           {Prerequisites: []flags.Prerequisite{{Flag: "b", Variants: []string{"on"}}}},
		"schedule":                {Schedule: []flags.Window{{From: time.Unix(0, 0)}}},
		"holdouts":                {Holdouts: []string{"h"}},
		"layer":                   {Layer: &flags.Slice{Layer: "l", To: 1}},
		"logic":                   {Logic: someLogic{}},
		"hash":                    {Hash: flags.Unleash, Rollout: half},
		"rules[0].when[0].op":     {Rules: when(flags.Matches, flags.Text("x"))},
		"rules[0].when[0].values": {Rules: when(flags.In, flags.Instant(time.Unix(0, 0)))},
	} {
		f.Key, f.Enabled = "f", true
		_, err := flagd.Marshal(flags.Document{Flags: map[string]*flags.Flag{"f": f}})
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), `"f": `+path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
