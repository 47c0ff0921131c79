// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// one is a plan of one step with this split.
func one(split traffic.Split) strategy.Plan {
	return strategy.Plan{Lanes: []strategy.Lane{{Name: "web", Steps: []strategy.Step{{Name: "step", Set: []strategy.Dial{{Target: "a", Split: split}}}}}}}
}

func TestWhatARouterCannotDoIsRefusedWhenThePlanIsAccepted(t *testing.T) {
	t.Parallel()
	half := traffic.Split{Candidate: traffic.Percent(50)}
	tests := []struct {
		name  string
		split traffic.Split
		caps  func(*traffic.Caps)
		none  bool // no router at all
		field string
		want  string
	}{
		{"no router", half, nil, true, "set[0].target", `there is no router "a"`},
		{"no granularity", half, func(c *traffic.Caps) { c.Granularity = 0 }, false, "set[0].split", "declares no granularity"},
		{"no mirror", traffic.Split{Mirror: 1}, func(c *traffic.Caps) { c.Mirror = false }, false, "set[0].split", "cannot copy requests"},
		{"no match", traffic.Split{Match: []traffic.Match{{Header: "X"}}}, func(c *traffic.Caps) { c.Match = false }, false, "set[0].split", "cannot match"},
		{"not sticky", traffic.Split{Sticky: traffic.Sticky{Cookie: "c"}}, func(c *traffic.Caps) { c.Sticky = false }, false, "set[0].split", "cannot keep a client"},
		{"all or nothing", half, func(c *traffic.Caps) { c.Granularity = traffic.Full }, false, "set[0].split", "only all or nothing, not 50%"},
		{"no fencing", half, func(c *traffic.Caps) { c.Fencing = false }, false, "set[0].target", "cannot refuse a stale writer"},
		{"no room", half, func(c *traffic.Caps) { c.Room = false }, false, "set[0].target", "does not know how much each side can carry"},
		{"no evidence", half, func(c *traffic.Caps) { c.Evidence = traffic.Unknown }, false, "set[0].target", "can never tell"},
	}
	for _, tt := range tests {
		caps := map[string]traffic.Caps{"a": strategytest.DefaultCaps}
		if tt.none {
			delete(caps, "a")
		} else {
			c := caps["a"]
			tt.caps(&c)
			caps["a"] = c
		}
		f, _, err := strategy.Accept(one(tt.split), caps, false)
		problem, ok := errors.AsType[*strategy.PlanError](err)
		if !ok || !f.IsZero() {
			t.Errorf("%s: got %v, %v", tt.name, f, err)
			continue
		}
		p := problem.Problems[0]
		if len(problem.Problems) != 1 || p.Lane != "web" || p.Step != "step" || p.Field != tt.field || !strings.Contains(p.Why, tt.want) || p.Fix == "" {
			t.Errorf("%s: got %+v, want %s: %s", tt.name, problem.Problems, tt.field, tt.want)
		}
	}
	caps := strategytest.DefaultCaps
	caps.Fencing = false
	if _, _, err := strategy.Accept(one(half), map[string]traffic.Caps{"a": caps}, true); err != nil {
		t.Errorf("with a single writer: %v", err)
	}
}

func TestWeightsAreMovedToWhatARouterCanHoldAndListed(t *testing.T) {
	t.Parallel()
	p, err := strategy.Canary{Target: "a", Weights: []traffic.Weight{traffic.Percent(0.1), traffic.Percent(12), traffic.Percent(25), traffic.Percent(99.9), traffic.Full}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	caps := strategytest.DefaultCaps
	caps.Granularity = traffic.Percent(5)
	f, adjusted, err := strategy.Accept(p, map[string]traffic.Caps{"a": caps}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []strategy.Adjustment{
		{Lane: "a", Step: "0.1%", Target: "a", Wanted: traffic.Percent(0.1), Given: traffic.Percent(5)}, // never to nothing
		{Lane: "a", Step: "12%", Target: "a", Wanted: traffic.Percent(12), Given: traffic.Percent(10)},
		{Lane: "a", Step: "99.9%", Target: "a", Wanted: traffic.Percent(99.9), Given: traffic.Percent(95)}, // nor to the whole
	}
	if !reflect.DeepEqual(adjusted, want) {
		t.Errorf("got %+v, want %+v", adjusted, want)
	}
	var given []traffic.Weight
	for _, step := range f.Plan().Lanes[0].Steps {
		given = append(given, step.Set[0].Split.Candidate)
	}
	if want := []traffic.Weight{50_000, 100_000, 250_000, 950_000, traffic.Full}; !reflect.DeepEqual(given, want) {
		t.Errorf("the frozen plan has %v, want %v", given, want)
	}
	if again, adjusted, err := strategy.Accept(f.Plan(), map[string]traffic.Caps{"a": caps}, false); err != nil || len(adjusted) != 0 || again.Digest() != f.Digest() {
		t.Errorf("accepting what was accepted changes it: %v, %v", adjusted, err)
	}
}

// TestDigestsStay: approvals are bound to them, and runs under way carry them.
func TestDigestsStay(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, name := range []string{"all_at_once", "bluegreen", "by_hand", "canary", "canary_full", "progressive", "rings"} {
		p, err := showcase()[name].Plan()
		if err != nil {
			t.Fatal(err)
		}
		f, err := strategy.Freeze(p)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + " " + f.Digest() + "\n")
	}
	keep(t, "digests/v1.txt", []byte(text.String()))
}

func TestADigestIsOfWhatThePlanSaysAndNotOfHow(t *testing.T) {
	t.Parallel()
	const plain = `{"lanes":[{"name":"web","steps":[{"hold":"1m","set":[{"target":"a","split":{"candidate":"100%"}}]}]}]}`
	digest := func(text string) string {
		p, err := strategy.ParsePlan([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f, err := strategy.Freeze(p)
		if err != nil {
			t.Fatal(err)
		}
		return f.Digest()
	}
	want := digest(plain)
	for name, text := range map[string]string{
		"other order":        `{"lanes":[{"steps":[{"set":[{"split":{"candidate":"100%"},"target":"a"}],"hold":"1m"}],"name":"web"}]}`,
		"other spelling":     `{ "lanes" : [ {"name":"web","steps":[{"hold":"60s","set":[{"target":"a","split":{"candidate":"100.0%"}}]}]} ] }`,
		"defaults said":      `{"maxParallel":1,"repairs":3,"onFail":"everything","onTimeout":"goHome","back":{"bound":"15m","drain":"30s"},"lanes":[{"name":"web","steps":[{"name":"100%","deadline":"12m","hold":"1m","set":[{"target":"a","split":{"candidate":"100%"}}]}]}]}`,
		"nothing, at length": `{"watch":[],"lanes":[{"name":"web","after":null,"steps":[{"hold":"1m","before":[],"checks":null,"set":[{"target":"a","split":{"candidate":"100%","match":[]}}]}]}]}`,
	} {
		if got := digest(text); got != want {
			t.Errorf("%s: the digest is %s, not %s", name, got, want)
		}
	}
	for name, text := range map[string]string{
		"another hold":   strings.Replace(plain, "1m", "2m", 1),
		"another weight": strings.Replace(plain, "100%", "99%", 1),
		"another name":   strings.Replace(plain, "web", "api", 1),
	} {
		if digest(text) == want {
			t.Errorf("%s: the digest is the same", name)
		}
	}
	if !strings.HasPrefix(want, "v1:") || len(want) != len("v1:")+64 {
		t.Errorf("digest %q", want)
	}
}

func TestAFrozenPlanComesBackAsItWasOrNotAtAll(t *testing.T) {
	t.Parallel()
	f, err := strategy.Freeze(one(traffic.Split{Candidate: traffic.Full}))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back strategy.Frozen
	if err := json.Unmarshal(data, &back); err != nil || back.Digest() != f.Digest() || !reflect.DeepEqual(back.Plan(), f.Plan()) {
		t.Fatalf("it does not come back: %v", err)
	}
	for name, change := range map[string][2]string{
		"a weight":         {`"100%"`, `"50%"`},
		"a hold":           {`"deadline":"10m0s"`, `"deadline":"10m0s","hold":"1s"`},
		"an unknown field": {`"lanes"`, `"lnaes":1,"lanes"`},
		"the digest":       {`v1:`, `v2:`},
		"no lanes":         {`"lanes":[`, `"lanes":[],"x":[`},
	} {
		changed := strings.Replace(string(data), change[0], change[1], 1)
		if changed == string(data) {
			t.Fatalf("%s: nothing was changed in %s", name, data)
		}
		var into strategy.Frozen
		if err := json.Unmarshal([]byte(changed), &into); err == nil || !into.IsZero() {
			t.Errorf("%s: it was taken, %v", name, err)
		}
	}
	var zero strategy.Frozen
	if data, err := json.Marshal(zero); err != nil || string(data) != "null" {
		t.Errorf("the zero Frozen is written %s, %v", data, err)
	}
	if err := json.Unmarshal([]byte("null"), &back); err != nil || !back.IsZero() || back.Digest() != "" || back.Plan().Lanes != nil {
		t.Errorf("null is read as %v, %v", back.Plan(), err)
	}
}

func TestPlansSurviveJSON(t *testing.T) {
	t.Parallel()
	for name, s := range showcase() {
		p, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := strategy.ParsePlan(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, p)
		}
	}
}

func TestParsePlanSaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "unexpected end",
		"null":                                  "there is none",
		"[]":                                    "plan: a array does not fit; want an object",
		`{"lanes":[]}}`:                         "after top-level value",
		`{"lanes":[]} {}`:                       "after top-level value",
		`{"lanes":[],"lanes":[]}`:               "lanes: is given twice",
		`{"Lanes":[]}`:                          "Lanes: unknown field; want one of back, lanes,",
		`{"back":{"pace":"1"}}`:                 `back.pace: duration "1"`,
		`{"back":{"pace":1}}`:                   "back.pace: a number does not fit; want a duration in quotes",
		`{"lanes":[{"steps":[{"Hold":"1m"}]}]}`: "lanes[0].steps[0].Hold: unknown field",
		`{"lanes":[{"steps":[{"set":[{"split":{"match":[{"path":"/"}]}}]}]}]}`: "lanes[0].steps[0].set[0].split.match[0].path: unknown field; want one of cookie, header, query, value",
	} {
		if _, err := strategy.ParsePlan([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "strategy: plan: ") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	for _, s := range showcase() {
		p, err := s.Plan()
		if err != nil {
			f.Fatal(err)
		}
		data, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"lanes":[{"name":"a","steps":[{"hold":"2562047h47m16s"}]}],"onFail":"thisLane"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := strategy.ParsePlan(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("read and not written: %v", err)
		}
		again, err := strategy.ParsePlan(text)
		if err != nil {
			t.Fatalf("written and not read: %v\n%s", err, text)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(second, text) {
			t.Fatalf("got\n%s\nwant\n%s", second, text)
		}
		frozen, err := strategy.Freeze(p)
		if err != nil {
			if !errors.Is(err, strategy.ErrInvalidPlan) {
				t.Fatalf("not a plan error: %v", err)
			}
			return
		}
		if other, err := strategy.Freeze(again); err != nil || other.Digest() != frozen.Digest() {
			t.Fatalf("another plan came back: %v", err)
		}
		forecast, err := strategy.Preview(p)
		if err != nil || forecast.Takes.Shortest > forecast.Takes.Usual && len(p.Lanes) == 1 || forecast.String() == "" {
			t.Fatalf("%+v, %v", forecast, err)
		}
	})
}

func TestDurationsAreWrittenAsPeopleReadThem(t *testing.T) {
	t.Parallel()
	p := one(traffic.Split{})
	p.Lanes[0].Steps[0].Hold, p.Lanes[0].Steps[0].Approval = 90*time.Minute, &strategy.Approval{Timeout: time.Hour}
	p.Back.Drain = 1500 * time.Millisecond
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"hold":"1h30m0s"`, `"timeout":"1h0m0s"`, `"drain":"1.5s"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s has no %s", data, want)
		}
	}
}
