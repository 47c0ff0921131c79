// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/unleash"
	"github.com/rheostat-go/rheostat/internal/script"
)

// TestTraces plays the stories of testdata: what the specification leaves open. Their
// commands:
//
//	features       the JSON below is all there is; prints the problems
//	ask FLAG who   value, variant and reason for the context below, a JSON object
func TestTraces(t *testing.T) {
	t.Parallel()
	script.Each(t, "testdata/*.txt", func(t *testing.T) func(script.Cmd) string {
		t.Helper()
		var client *flags.Client
		return func(cmd script.Cmd) string {
			input := strings.Join(cmd.Input, "\n")
			switch cmd.Name {
			case "features":
				doc, err := unleash.Parse([]byte(input))
				if err != nil {
					return err.Error() + "\n"
				}
				client = serve(t, doc)
				var out strings.Builder
				for _, p := range doc.Problems {
					kind := "error"
					if p.Warning {
						kind = "warning"
					}
					fmt.Fprintf(&out, "%s: %v\n", kind, p)
				}
				return out.String()
			case "ask":
				return ask(t, client, cmd.Bare()[0], input)
			default:
				return "unknown command " + cmd.Name
			}
		}
	})
}

func ask(t *testing.T, client *flags.Client, key, context string) string {
	t.Helper()
	var attributes map[string]any
	if context != "" {
		must(t, json.Unmarshal([]byte(context), &attributes))
	}
	who := flags.FromMap(attributes)
	d := client.Raw(key, &who)
	if d.Value == nil {
		return fmt.Sprintf("default (%v)\n", d.Reason)
	}
	return fmt.Sprintf("%s %s (%v)\n", d.Value, d.Variant, d.Reason)
}

// TestChanceIsAsLargeAsItSays: whom nobody can be told apart is drawn anew each time.
func TestChanceIsAsLargeAsItSays(t *testing.T) {
	t.Parallel()
	doc, err := unleash.Parse([]byte(`{"version":1,"features":[
		{"name":"random","enabled":true,"strategies":[{"name":"gradualRolloutRandom","parameters":{"percentage":"30"}}]},
		{"name":"flexible","enabled":true,"strategies":[{"name":"flexibleRollout","parameters":{"rollout":30,"stickiness":"random","groupId":"g"}}]},
		{"name":"anonymous","enabled":true,"strategies":[{"name":"flexibleRollout","parameters":{"rollout":30,"stickiness":"default","groupId":"g"}}]},
		{"name":"shared","enabled":true,"strategies":[],"variants":[{"name":"a","weight":300},{"name":"b","weight":700}]}]}`))
	must(t, err)
	client := serve(t, doc)
	const n = 10_000
	for _, key := range []string{"random", "flexible", "anonymous"} {
		on := 0
		for range n {
			if client.Bool(key, false, nil) {
				on++
			}
		}
		if on < 2700 || on > 3300 { // more than six standard deviations
			t.Errorf("%s: on %d times of %d", key, on, n)
		}
	}
	a := 0
	for range n {
		if client.String("shared"+unleash.Suffix, "", nil) == "a" {
			a++
		}
	}
	if a < 2700 || a > 3300 {
		t.Errorf("a %d times of %d", a, n)
	}
}

func TestTheHostMatters(t *testing.T) {
	t.Setenv("HOSTNAME", "Web-1")
	doc, err := unleash.Parse([]byte(`{"version":1,"features":[
		{"name":"here","enabled":true,"strategies":[{"name":"applicationHostname","parameters":{"hostNames":"db-1, web-1"}}]},
		{"name":"there","enabled":true,"strategies":[{"name":"applicationHostname","parameters":{"hostNames":"db-1,web-10"}}]}]}`))
	must(t, err)
	client := serve(t, doc)
	if !client.Bool("here", false, nil) || client.Bool("there", true, nil) {
		t.Error("the host's features are not its own")
	}
}

// TestAFeatureWithoutItsLogicIsOff: as after a cache, which cannot keep it.
func TestAFeatureWithoutItsLogicIsOff(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/client-specification/16-strategy-variants.json")
	must(t, err)
	var s specification
	must(t, json.Unmarshal(text, &s))
	doc, err := unleash.Parse(s.State)
	must(t, err)
	text, err = json.Marshal(doc)
	must(t, err)
	back, err := flags.ParseDocument(text)
	must(t, err)
	client := serve(t, back)
	who := flags.User("5").Str("environment", "dev")
	for key, f := range doc.Flags {
		d := client.Raw(key, &who)
		if f.Logic != nil && d.Value != nil && string(d.Value) != "false" {
			t.Errorf("%s is %s", key, d.Value)
		}
	}
}

func TestNowIsTheCurrentTime(t *testing.T) {
	t.Parallel()
	doc, err := unleash.Parse([]byte(`{"version":1,"features":[{"name":"f","enabled":true,"strategies":[{"name":"default","constraints":[
		{"contextName":"currentTime","operator":"DATE_AFTER","value":"2024-01-01T00:00:00Z"}]}]}]}`))
	must(t, err)
	client := serve(t, doc)
	who := flags.User("kim").Time("currentTime", time.Date(2023, 12, 31, 0, 0, 0, 0, time.UTC))
	if !client.Bool("f", false, nil) || client.Bool("f", true, &who) {
		t.Error("the time is not what it was said to be, or now")
	}
}

// crowd are the four cases that Unleash itself was measured with, and one of variants.
func crowd(tb testing.TB) flags.Document {
	tb.Helper()
	var users strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&users, ",user-%d", 2*i)
	}
	const ten = `{"name":"flexibleRollout","parameters":{"rollout":"10","stickiness":"default","groupId":"g"}}`
	doc, err := unleash.Parse([]byte(`{"version":2,"features":[
		{"name":"on","enabled":true,"strategies":[{"name":"default"}]},
		{"name":"pct","enabled":true,"strategies":[` + ten + `]},
		{"name":"users","enabled":true,"strategies":[{"name":"userWithId","parameters":{"userIds":"` + users.String()[1:] + `"}}]},
		{"name":"rules","enabled":true,"strategies":[{"name":"default","constraints":[
			{"contextName":"country","operator":"IN","values":["US","CA"]},{"contextName":"plan","operator":"IN","values":["pro"]},
			{"contextName":"build","operator":"NUM_GTE","value":"500"}]},` + ten + `]},
		{"name":"shared","enabled":true,"strategies":[],"variants":[{"name":"a","weight":300},{"name":"b","weight":700}]}]}`))
	must(tb, err)
	for _, p := range doc.Problems {
		tb.Fatal(p)
	}
	return doc
}

func people() []flags.Context {
	list := make([]flags.Context, 1024)
	for i := range list {
		country, plan := "US", "pro"
		if i%4 == 3 {
			country = "DE"
		}
		if i%3 == 2 {
			plan = "free"
		}
		list[i] = flags.User(fmt.Sprintf("user-%d", i)).Str("country", country).Str("plan", plan).Num("build", float64(i))
	}
	return list
}

// expected is for how many of 1,024 people each case may be on.
var expected = map[string][2]int{"on": {1024, 1024}, "pct": {70, 135}, "users": {512, 512}, "rules": {290, 420}}

func TestEvaluationNeedsNoHeap(t *testing.T) {
	client := serve(t, crowd(t))
	who := people()
	for key, bounds := range expected {
		handle := flags.Bool(key, false)
		on := 0
		allocs := testing.AllocsPerRun(5, func() {
			on = 0
			for i := range who {
				if handle.On(client, &who[i]) {
					on++
				}
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations for %d people", key, allocs, len(who))
		}
		if on < bounds[0] || on > bounds[1] {
			t.Errorf("%s: on for %d of %d, want %v", key, on, len(who), bounds)
		}
	}
	handle := flags.String("shared"+unleash.Suffix, "")
	if allocs := testing.AllocsPerRun(5, func() {
		for i := range who {
			handle.Get(client, &who[i])
		}
	}); allocs != 0 {
		t.Errorf("variants: %v allocations", allocs)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	client := serve(b, crowd(b))
	who := people()
	for _, key := range []string{"on", "pct", "users", "rules"} {
		handle := flags.Bool(key, false)
		b.Run(key, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				handle.On(client, &who[i&1023])
				i++
			}
		})
	}
}

// FuzzParse: whatever the text is, and whoever asks, there is an answer.
func FuzzParse(f *testing.F) {
	// Small ones: of a large one the fuzzer spends its time on making it small.
	for _, seed := range []string{
		`{"features":[{"name":"f","enabled":true,"strategies":[{"name":"flexibleRollout","parameters":{"rollout":"50","stickiness":"default","groupId":"g"},"segments":[1],"variants":[{"name":"a","weight":1,"payload":{"type":"number","value":"1"}}]}],"dependencies":[{"feature":"p","variants":["b"]}]},{"name":"p","enabled":true,"variants":[{"name":"b","weight":7,"stickiness":"version","overrides":[{"contextName":"userId","values":["x"]}]}]}],"segments":[{"id":1,"constraints":[{"contextName":"version","operator":"SEMVER_GT","value":"1.0.0","inverted":true}]}]}`,
		`{"events":[{"type":"hydration","features":[{"name":"f","enabled":true,"strategies":[{"name":"default","constraints":[{"contextName":"customField","operator":"REGEX","value":"^(?i)a+$","caseInsensitive":true},{"contextName":"remoteAddress","operator":"IN_CIDR","values":["10.0.0.0/8"]}]},{"name":"remoteAddress","parameters":{"IPs":"1.2.3.4"}}]}]},{"type":"feature-removed","featureName":"f"}]}`,
		`{"features":[{"name":"f","enabled":true,"strategies":[{"name":"default","constraints":[{"contextName":"currentTime","operator":"DATE_AFTER","value":"2022-01-22T13:00:00.000+02:00"},{"contextName":"someValue","operator":"NUM_LTE","value":12},{"contextName":"customField","operator":"STR_ENDS_WITH","values":["X"],"caseInsensitive":true}]}]}]}`,
	} {
		f.Add([]byte(seed), "user-1", "1.2.3")
	}
	f.Fuzz(func(t *testing.T, text []byte, user, value string) {
		doc, err := unleash.Parse(text)
		if err != nil {
			return
		}
		who := flags.User(user).Str("customField", value).Str("version", value).Str("remoteAddress", value).Num("someValue", float64(len(value)))
		for key, flag := range doc.Flags {
			if flag.Logic == nil {
				continue
			}
			variant, _, err := flag.Logic.Decide(who)
			if err != nil {
				t.Fatal(err)
			}
			if flag.Variants != nil && variant != "" && flag.Variants[variant] == nil {
				t.Fatalf("%s: the variant %q has no value", key, variant)
			}
		}
	})
}
