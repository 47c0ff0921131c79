// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagd_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagd"
)

// crowd are the four cases that flagd itself was measured with.
func crowd(tb testing.TB) flags.Document {
	tb.Helper()
	var users strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&users, `,"user-%d"`, 2*i)
	}
	const head = `{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":`
	doc, err := flagd.Parse([]byte(`{"flags":{
		"on": {"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"},
		"pct": ` + head + `{"fractional":[["on",10],["off",90]]}},
		"explicit": ` + head + `{"fractional":[{"cat":[{"var":"$flagd.flagKey"},{"var":"targetingKey"}]},["on",10],["off",90]]}},
		"users": ` + head + `{"if":[{"in":[{"var":"targetingKey"},[` + users.String()[1:] + `]]},"on","off"]}},
		"rules": ` + head + `{"if":[{"and":[{"in":[{"var":"country"},["US","CA"]]},{"==":[{"var":"plan"},"pro"]},{">=":[{"var":"build"},500]}]},"on",
			{"fractional":[["on",10],["off",90]]}]}},
		"version": ` + head + `{"if":[{"sem_ver":[{"var":"app"},"^","1.2.0"]},"on","off"]}}
	}}`))
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
		list[i] = flags.User(fmt.Sprintf("user-%d", i)).Str("country", country).Str("plan", plan).Num("build", float64(i)).Str("app", "1.3.0")
	}
	return list
}

var cases = []string{"on", "pct", "explicit", "users", "rules", "version"}

func BenchmarkEvaluate(b *testing.B) {
	client := serve(b, crowd(b))
	who := people()
	for _, key := range cases {
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

func BenchmarkParse(b *testing.B) {
	text, err := flagd.Marshal(crowd(b))
	must(b, err)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flagd.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEvaluationNeedsNoHeap is what compiling is for.
func TestEvaluationNeedsNoHeap(t *testing.T) {
	client := serve(t, crowd(t))
	who := people()
	for _, key := range cases {
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
		if least, most := expected[key][0], expected[key][1]; on < least || on > most {
			t.Errorf("%s: on for %d of %d, want %d to %d", key, on, len(who), least, most)
		}
	}
}

// expected is for how many of 1,024 people each case may be on.
var expected = map[string][2]int{
	"on": {1024, 1024}, "pct": {70, 135}, "explicit": {70, 135}, "users": {512, 512}, "rules": {290, 420}, "version": {1024, 1024},
}

// TestTheLongFormOfFractionalIsTheShortOne: both draw by the flag's key and the targeting key.
func TestTheLongFormOfFractionalIsTheShortOne(t *testing.T) {
	t.Parallel()
	const parts = `["a",1],["b",2],["c",{"+":[3,0]}]`
	doc, err := flagd.Parse(fmt.Appendf(nil, `{"flags":{"split":{"variants":{"a":1,"b":2,"c":3},"targeting":{"fractional":[%s]}}}}`, parts))
	must(t, err)
	long, err := flagd.Parse(fmt.Appendf(nil, `{"flags":{"split":{"variants":{"a":1,"b":2,"c":3},
		"targeting":{"fractional":[{"cat":["split",{"var":"targetingKey"}]},%s]}}}}`, parts))
	must(t, err)
	a, b := serve(t, doc), serve(t, long)
	var counts [4]int
	for _, who := range people() {
		x, y := a.Int("split", 0, &who), b.Int("split", 0, &who)
		if x != y || x == 0 {
			t.Fatalf("%s: %d and %d", who.Key(), x, y)
		}
		counts[x]++
	}
	for i, want := range []int{0, 171, 341, 512} {
		if counts[i] < want-60 || counts[i] > want+60 {
			t.Errorf("shares %v", counts)
		}
	}
}

// FuzzTargeting: whatever a targeting is, and whoever asks, there is an answer, in bounded
// time.
func FuzzTargeting(f *testing.F) {
	for _, seed := range []string{
		`{"if":[{"==":[{"var":"a"},1]},"on","off"]}`,
		`{"fractional":[{"cat":[{"var":"$flagd.flagKey"},{"var":"a.b"}]},["on",50],["off",{"+":[1,{"var":"n"}]}]]}`,
		`{"reduce":[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25],{"cat":[{"var":"accumulator"},{"var":"accumulator"}]},"xxxxxxxx"]}`,
		`{"reduce":[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25],{"merge":[{"var":"accumulator"},{"var":"accumulator"}]},[1]]}`,
		`{"cat":[{"reduce":[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23],[{"var":"accumulator"},{"var":"accumulator"}]]}]}`,
		`{"map":[{"var":""},{"some":[{"var":"g"},{"in":[{"var":""},["x"]]}]}]}`,
		`{"substr":[{"var":"a"},-3,{"var":"n"}]}`, `{"sem_ver":[{"var":"n"},"^",{"var":"a"}]}`,
		`{"missing_some":[1,["a","b",{"var":"g.1"}]]}`, `{"max":[{"var":"g"},"0x1F",[],null,true]}`,
	} {
		f.Add(seed, `{"a":"1.2.3","n":-2,"g":["x","y"],"c":{"d":{"e":true}}}`)
	}
	f.Fuzz(func(t *testing.T, targeting, context string) {
		var attributes map[string]any
		if !json.Valid([]byte(targeting)) || json.Unmarshal([]byte(context), &attributes) != nil {
			t.Skip()
		}
		doc, err := flagd.Parse([]byte(`{"flags":{"f":{"variants":{"on":true,"off":false},"defaultVariant":"off","targeting":` + targeting + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		flag := doc.Flags["f"]
		if flag == nil {
			if len(doc.Problems) == 0 {
				t.Fatal("neither a flag nor a problem")
			}
			return
		}
		if flag.Logic != nil {
			_, reason, err := flag.Logic.Decide(flags.FromMap(attributes))
			if (err != nil) != (reason == flags.Failed) {
				t.Errorf("%v with %v", reason, err)
			}
		}
		text, err := flagd.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := flagd.Parse(text); err != nil || again.Flags["f"] == nil {
			t.Errorf("what was written cannot be read: %v %v\n%s", err, again.Problems, text)
		}
	})
}
