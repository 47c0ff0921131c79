// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// holds reports whether a clause holds for who.
func holds(tb testing.TB, c flags.Clause, who flags.Context) bool {
	tb.Helper()
	f := &flags.Flag{
		Key: "f", Enabled: true, Rules: []flags.Rule{{When: []flags.Clause{c}, Serve: flags.Serve{Variant: "on"}}},
		Default: &flags.Serve{Variant: "off"},
	}
	doc := flags.Document{Flags: map[string]*flags.Flag{"f": f}}
	for _, p := range doc.Check() {
		tb.Fatal(p)
	}
	source := newFeed(tb)
	source.publish(flags.Update{Document: doc, Full: true})
	got := source.client.Bool("f", false, &who)
	c.Not = !c.Not
	f.Rules[0].When[0] = c
	source.publish(flags.Update{Document: flags.Document{Flags: map[string]*flags.Flag{"f": f.Clone()}}, Full: true})
	if not := source.client.Bool("f", false, &who); not == got {
		tb.Errorf("%v and its opposite are both %v", c, got)
	}
	return got
}

// values reads words as JSON, or as strings.
func values(tb testing.TB, words string) []flags.Value {
	tb.Helper()
	var list []flags.Value
	for word := range strings.FieldsSeq(words) {
		var v flags.Value
		if err := json.Unmarshal([]byte(word), &v); err != nil {
			v = flags.Text(word)
		}
		list = append(list, v)
	}
	return list
}

func TestOperators(t *testing.T) {
	t.Parallel()
	many := "1 true"
	for i := range 20 {
		many += fmt.Sprintf(" v%d", i)
	}
	for _, c := range []struct {
		has  string // the attribute's values
		op   flags.Op
		with string // the clause's
		want bool
	}{
		{"pro", flags.In, "free pro", true},
		{"pro", flags.In, "free", false},
		{"1", flags.In, "1", true},
		{"1", flags.In, `"1"`, false}, // a number is no string
		{"true", flags.In, "true", true},
		{"true", flags.In, `1 "true"`, false},
		{"", flags.In, "pro", false},
		{"a b", flags.In, "b", true}, // any of several values
		{"v7", flags.In, many, true},
		{"v20", flags.In, many, false},
		{"1", flags.In, many, true},
		{"true", flags.In, many, true},
		{"false", flags.In, many, false},

		{"kim@example.com", flags.EndsWith, "@example.org @example.com", true},
		{"kim@example.com", flags.StartsWith, "kim", true},
		{"kim@example.com", flags.StartsWith, "im", false},
		{"kim@example.com", flags.Contains, "@example", true},
		{"5", flags.Contains, `"5"`, false}, // of strings
		{"kim", flags.Matches, "^k.m$", true},
		{"kimm", flags.Matches, "^k.m$ ^x", false},

		{"5", flags.Less, "5", false},
		{"5", flags.AtMost, "5", true},
		{"5", flags.Greater, "4.9", true},
		{"5", flags.AtLeast, "5.1", false},
		{`"5"`, flags.Less, "6", false}, // a string is no number

		{"1.2.3", flags.SemVerEq, "v1.2.3+build", true},
		{"1.10.0", flags.SemVerGt, "1.9.9", true},
		{"1.0.0-rc.1", flags.SemVerLt, "1.0.0", true},
		{"1.0.0", flags.SemVerLte, "1.0.0", true},
		{"1.0.0", flags.SemVerGte, "1.0.1", false},
		{"1.0", flags.SemVerGte, "0.0.1", false}, // no version

		{"2026-01-01T00:00:00Z", flags.Before, "2026-01-01T00:00:00.001Z", true},
		{"2026-01-01T00:00:00Z", flags.After, "2026-01-01T01:00:00+02:00", true},
		{"1767225600", flags.Before, "2026-01-01T00:00:01Z", true}, // seconds
		{"soon", flags.Before, "2026-01-01T00:00:01Z", false},

		{"10.1.2.3", flags.CIDR, "192.168.0.0/16 10.0.0.0/8", true},
		{"11.1.2.3", flags.CIDR, "10.0.0.0/8", false},
		{"::ffff:10.1.2.3", flags.CIDR, "10.0.0.0/8", true}, // the same address
		{"2001:db8::1", flags.CIDR, "2001:db8::/32", true},
		{"10.0.0.7", flags.CIDR, "10.0.0.7", true},
		{"no address", flags.CIDR, "0.0.0.0/0", false},

		{"0", flags.Exists, "", true},
		{"", flags.Exists, "", false},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.has, c.op, c.with), func(t *testing.T) {
			t.Parallel()
			who := flags.User("someone")
			for _, v := range values(t, c.has) {
				who = who.With("it", v)
			}
			if got := holds(t, flags.Clause{Attribute: "it", Op: c.op, Values: values(t, c.with)}, who); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheKeyIsAnAttributeUnlessOneIsCalledSo(t *testing.T) {
	t.Parallel()
	c := flags.Clause{Attribute: "key", Op: flags.In, Values: values(t, "kim")}
	if !holds(t, c, flags.User("kim")) || holds(t, c, flags.User("kim").Str("key", "lou")) || holds(t, c, flags.Context{}) {
		t.Error("the key was taken for something else")
	}
}

func TestAnAttributeOfNoKindDoesNotExist(t *testing.T) {
	t.Parallel()
	exists := flags.Clause{Attribute: "plan", Op: flags.Exists}
	if holds(t, exists, flags.User("kim", flags.Attr("plan", flags.Value{}))) || !holds(t, exists, flags.User("kim", flags.Str("plan", ""))) {
		t.Error("nothing exists, or an empty text does not")
	}
}

func TestAContextHasRoomForAnyNumberOfAttributes(t *testing.T) {
	t.Parallel()
	who := flags.User("kim")
	for i := range 20 {
		who = who.Num(fmt.Sprintf("a%d", i), float64(i))
	}
	// Two grown from one do not share what is more.
	left, right := who.Str("side", "left"), who.Str("side", "right")
	for i := range 20 {
		if v, ok := left.Get(fmt.Sprintf("a%d", i)); !ok || v.Number() != float64(i) {
			t.Errorf("a%d = %v", i, v)
		}
	}
	for want, c := range map[string]flags.Context{"left": left, "right": right} {
		if !holds(t, flags.Clause{Attribute: "side", Op: flags.In, Values: []flags.Value{flags.Text(want)}}, c) {
			t.Errorf("not %s", want)
		}
	}
}

func TestAMapBecomesAContext(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	c := flags.FromMap(map[string]any{
		"targetingKey": "kim", "n": 5, "f": 1.5, "b": true, "t": at, "nothing": nil,
		"company": map[string]any{"name": "acme", "address": map[string]any{"city": "Rome"}},
		"groups":  []any{"a", "b", 3.0},
		"odd":     []any{uint8(1), int16(-2), float32(0.5), []string{"x"}, time.Duration(7), flags.Op("in"), [1]bool{true}, func() {}, struct{}{}},
	})
	var got []string
	for name, v := range c.All() {
		got = append(got, name+"="+v.String())
	}
	want := []string{
		"b=true", "company.address.city=\"Rome\"", "company.name=\"acme\"", "f=1.5",
		"groups=\"a\"", "groups=\"b\"", "groups=3", "n=5",
		"odd=1", "odd=-2", "odd=0.5", "odd=\"x\"", "odd=7", "odd=\"in\"", "odd=true", "t=2026-01-02T03:04:05.000006Z",
	}
	if c.Key() != "kim" || !slices.Equal(got, want) {
		t.Errorf("%s %q", c.Key(), got)
	}
}

// TestVersionsAreOrderedAsTheStandardSays goes through semver.org's own chain, and
// what it says is no version.
func TestVersionsAreOrderedAsTheStandardSays(t *testing.T) {
	t.Parallel()
	chain := strings.Fields(`0.0.0 0.9.9 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11
		1.0.0-rc.1 1.0.0 1.0.1-0 1.0.1-1 1.0.1-00a 1.0.1 2.0.0 2.1.0 2.1.1 10.0.0 99999999999999999999.0.0 100000000000000000000.0.0`)
	for i, a := range chain {
		for j, b := range chain {
			got := holds(t, flags.Clause{Attribute: "v", Op: flags.SemVerLt, Values: []flags.Value{flags.Text(b)}}, flags.Context{}.Str("v", a+"+x.y"))
			if got != (i < j) {
				t.Errorf("%s < %s: %v", a, b, got)
			}
		}
	}
	for _, bad := range []string{
		"", "1", "1.2", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.3+a_b",
		"a.b.c", "1.2.x", "-1.2.3", "1.2.3 ", " 1.2.3", "vv1.2.3", "1.2.3-é",
	} {
		if holds(t, flags.Clause{Attribute: "v", Op: flags.SemVerGte, Values: []flags.Value{flags.Text("0.0.0")}}, flags.Context{}.Str("v", bad)) {
			t.Errorf("%q was taken for a version", bad)
		}
	}
}
