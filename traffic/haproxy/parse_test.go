// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

// recorded reads an answer of HAProxy 2.6.12, recorded with its empty line.
func recorded(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	answers, err := split(text, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return answers[0]
}

func TestRecordedAnswersAreRead(t *testing.T) {
	t.Parallel()
	list, ok := parseList(recorded(t, "show-map.txt"))
	if !ok || len(list) != 3 || list[0] != (entry{"5:9223372036854775807", "250000|stable|candidate|-|,"}) || list[2] != (entry{"17", "two words"}) {
		t.Errorf("show map is read as %v, %v", list, ok)
	}
	now, ok := parseGet(recorded(t, "get-map.txt"))
	if !ok || now != list[0] {
		t.Errorf("get map is read as %v, %v", now, ok)
	}
	l, err := parseLoad(recorded(t, "show-stat.txt"), "r")
	if want := (load{room: 125_000, reading: traffic.Reading{Requests: 3, Active: 2}}); err != nil || l != want {
		t.Errorf("show stat is read as %+v, %v; want %+v", l, err, want)
	}
}

func TestAKeyMatchesAsHAProxyMatchesIt(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"4611686018427387904": true, "4611686018427387905": false, "17": false,
		"0:": true, ":9223372036854775807": true, ":5": false, "0:5": false, "-9223372036854775807": true,
		"5:9223372036854775807": true, "4611686018427387905:9223372036854775807": false, "0-9223372036854775807": true,
		"": false, ":": false, "x": false, "x:9223372036854775807": false, "0:x": false,
	} {
		if got := (entry{key: key}).matches(); got != want {
			t.Errorf("key %q matches: %v, want %v", key, got, want)
		}
	}
}

func TestAnEntryKnowsItsFenceAndWhetherItWasChanged(t *testing.T) {
	t.Parallel()
	for _, fence := range []uint64{0, 1, 1 << 40, pivot - 1} {
		e := newEntry(fence, "a")
		got, _, ok := e.fence()
		if got != fence || !ok || !e.ours() || !e.matches() || !e.wrote("a") || e.wrote("b") {
			t.Errorf("entry %v of fence %d: fence %d, %v", e, fence, got, ok)
		}
		e.value = "b"
		if got, _, ok := e.fence(); got != fence || !ok || e.ours() || !e.wrote("a") {
			t.Errorf("entry %v, which was changed: fence %d, %v", e, got, ok)
		}
	}
	if one, other := newEntry(1, "a"), newEntry(1, "a"); one == other {
		t.Error("the same key was given twice")
	}
	for _, key := range []string{"", "5", "0:", "0:17", ":9223372036854775807", "x:9223372036854775807", "4611686018427387904:9223372036854775807"} {
		if _, _, ok := (entry{key: key}).fence(); ok {
			t.Errorf("key %q is taken for one of ours", key)
		}
	}
}

func TestAValueThatIsNoRouteIsRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "x", "1|a|b|-", "1|a|b|-|,|", "|a|b|-|,", "-1|a|b|-|,", "1000001|a|b|-|,", "1|a|a|-|,", "1||b|-|,", "1|a|b||,", "1|a|b|x:y|,",
		"1|a|b|q:y|,", "1|a|b|h:y=eQ==|,", "1|a|b|-|", "1|a|b|-|h:y", "1|a|b|-|,,", "1|a|b|-|,h:y,,c:z,", "1|a|b|-|,h:,", "1|a|b|-|,h:y=,", "1|a|b|-|,h:y=*,",
	} {
		if r, err := decode(value); err == nil {
			t.Errorf("%q is read as %v", value, r)
		}
	}
}

func TestAnswersAreTakenApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want []string // nil is an error
	}{
		{"\n", []string{""}},
		{"\n\n", []string{"", ""}},
		{"a\nb\n\n", []string{"a\nb"}},
		{"a\n\n\nb\n\n", []string{"a", "", "b"}},
		{"a\n", nil},
		{"a", nil},
		{"\na", nil},
	} {
		got, err := split([]byte(tt.text), max(len(tt.want), 1))
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%q is taken apart as %q, %v; want %q", tt.text, got, err, tt.want)
		}
		if _, err := split([]byte(tt.text), 9); err == nil {
			t.Errorf("%q is taken for nine answers", tt.text)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add(recorded(f, "show-stat.txt"), "r")
	f.Add("# pxname,svname,status,weight,bck,scur,stot\nr,BACKEND,UP,1,0,0,0\nr,s,UP,256,0", "r")
	f.Fuzz(func(t *testing.T, text, arm string) {
		l, err := parseLoad(text, arm)
		if err == nil && (!l.room.Valid() || !strings.Contains(text, "BACKEND")) {
			t.Errorf("%q: %+v", text, l)
		}
		if err != nil && l != (load{}) {
			t.Errorf("%q: both %+v and %v", text, l, err)
		}
	})
}

func FuzzMap(f *testing.F) {
	f.Add(recorded(f, "show-map.txt"), recorded(f, "get-map.txt"))
	f.Add("0x1 0: 1|a|b|c:x|,h:y=eQ==,", "type=int, case=sensitive, found=no")
	f.Fuzz(func(t *testing.T, show, get string) {
		list, ok := parseList(show)
		if !ok && list != nil {
			t.Errorf("%q: a list that is none: %v", show, list)
		}
		if e, ok := parseGet(get); ok {
			list = append(list, e)
		}
		c := Config{Map: "m"}
		for _, e := range list {
			e.matches()
			e.ours()
			r, err := decode(e.value)
			if err != nil {
				continue
			}
			// What is read as a route means the same when it is written.
			for _, m := range append(slices.Clone(r.Split.Match), traffic.Match{Header: r.Split.Sticky.Header, Cookie: r.Split.Sticky.Cookie}) {
				c.Headers, c.Cookies, c.Queries = append(c.Headers, m.Header), append(c.Cookies, m.Cookie), append(c.Queries, m.Query)
			}
			text, err := c.encode(r)
			if err != nil {
				continue // names that HAProxy cannot have
			}
			if again, err := decode(text); err != nil || !again.Equal(r) {
				t.Errorf("%q is %v, and written again %q: %v, %v", e.value, r, text, again, err)
			}
		}
	})
}
