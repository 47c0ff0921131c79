// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestWhatNoRouterCouldCarryOutIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(*traffic.Route)
		says string // "" is valid
	}{
		{"as it is", func(*traffic.Route) {}, ""},
		{"everything", func(r *traffic.Route) { r.Split.Candidate = traffic.Full }, ""},
		{"more than everything", func(r *traffic.Route) { r.Split.Candidate = traffic.Full + 1 }, "candidate: "},
		{"mirror of everything", func(r *traffic.Route) { r.Split.Mirror = traffic.Full }, ""},
		{"mirror of more", func(r *traffic.Route) { r.Split.Mirror = traffic.Full + 1 }, "mirror: "},
		{"sticky by cookie", func(r *traffic.Route) { r.Split.Sticky.Cookie = "c" }, ""},
		{"sticky by both", func(r *traffic.Route) { r.Split.Sticky = traffic.Sticky{Cookie: "c", Header: "h"} }, "sticky: "},
		{"a match on a cookie", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Cookie: "c"}} }, ""},
		{"a match on nothing", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "h"}, {Value: "v"}} }, "match[1]: "},
		{"a match on both", func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "h", Cookie: "c"}} }, "match[0]: "},
		{"no stable", func(r *traffic.Route) { r.Arms.Stable = "" }, "arms.stable: "},
		{"no candidate", func(r *traffic.Route) { r.Arms.Candidate = "" }, "arms.candidate: "},
		{"one backend", func(r *traffic.Route) { r.Arms.Candidate = r.Arms.Stable }, "arms: "},
		{"never set", func(r *traffic.Route) { *r = traffic.Route{} }, "arms.stable: "},
	} {
		r := at(50_000)
		tt.edit(&r)
		switch err := r.Validate(); {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v, want none", tt.name, err)
		case tt.says != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.says)):
			t.Errorf("%s: %v, want an error that begins with %q", tt.name, err, tt.says)
		}
	}
}

func TestRoutesAreEqualWhenEveryFieldIs(t *testing.T) {
	t.Parallel()
	example := func() traffic.Route {
		return traffic.Route{Arms: arms, Split: traffic.Split{
			Candidate: 1, Mirror: 2,
			Match:  []traffic.Match{{Header: "a"}, {Cookie: "b", Value: "c"}},
			Sticky: traffic.Sticky{Cookie: "d"},
		}}
	}
	if !example().Equal(example()) {
		t.Error("the same route is not equal")
	}
	for name, edit := range map[string]func(*traffic.Route){
		"stable":          func(r *traffic.Route) { r.Arms.Stable = "v3" },
		"candidate":       func(r *traffic.Route) { r.Arms.Candidate = "v3" },
		"weight":          func(r *traffic.Route) { r.Split.Candidate++ },
		"mirror":          func(r *traffic.Route) { r.Split.Mirror++ },
		"a match":         func(r *traffic.Route) { r.Split.Match[1].Value = "x" },
		"order":           func(r *traffic.Route) { m := r.Split.Match; m[0], m[1] = m[1], m[0] },
		"a match less":    func(r *traffic.Route) { r.Split.Match = r.Split.Match[:1] },
		"sticky":          func(r *traffic.Route) { r.Split.Sticky.Cookie = "x" },
		"sticky's source": func(r *traffic.Route) { r.Split.Sticky = traffic.Sticky{Header: "d"} },
	} {
		r := example()
		edit(&r)
		if r.Equal(example()) || example().Equal(r) {
			t.Errorf("%s: equal to what it was before", name)
		}
	}
	empty := at(0)
	empty.Split.Match = []traffic.Match{}
	if !empty.Equal(at(0)) {
		t.Error("no matches and an empty list of them are not equal")
	}
}

func TestARouteSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	preview := at(0)
	preview.Split.Match = []traffic.Match{{Header: "X-Preview"}}
	mirrored := at(0)
	mirrored.Split.Mirror = 1
	sticky := at(50_000)
	sticky.Split.Sticky.Cookie = "side"
	for _, tt := range []struct {
		name    string
		route   traffic.Route
		touches bool
		serves  string
		text    string
	}{
		{"never set", traffic.Route{}, false, "", "no route"},
		{"nothing", at(0), false, "v1", "0% to v2, rest to v1"},
		{"a little", at(1), true, "", "0.0001% to v2, rest to v1"},
		{"everything", at(traffic.Full), true, "v2", "100% to v2, rest to v1"},
		{"a preview", preview, true, "", "0% to v2, rest to v1, 1 matches"},
		{"a mirror", mirrored, true, "", "0% to v2, rest to v1, mirror 0.0001%"},
		{"sticky", sticky, true, "", "5% to v2, rest to v1, sticky"},
	} {
		if got := tt.route.Split.Touches(); got != tt.touches {
			t.Errorf("%s: touches the candidate: %v, want %v", tt.name, got, tt.touches)
		}
		if got := tt.route.Serves(); got != tt.serves {
			t.Errorf("%s: serves %q, want %q", tt.name, got, tt.serves)
		}
		if got := tt.route.String(); got != tt.text {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.text)
		}
		if got, want := tt.route.IsZero(), tt.name == "never set"; got != want {
			t.Errorf("%s: zero: %v, want %v", tt.name, got, want)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	t.Parallel()
	s := traffic.Split{Match: []traffic.Match{{Header: "a"}}}
	c := s.Clone()
	c.Match[0].Header = "b"
	if s.Match[0].Header != "a" {
		t.Error("changing the clone changed the original")
	}
}

func TestARouteSurvivesJSON(t *testing.T) {
	t.Parallel()
	full := traffic.Route{Arms: arms, Split: traffic.Split{
		Candidate: 1, Mirror: traffic.Full,
		Match:  []traffic.Match{{Header: "a", Value: "b"}, {Cookie: "c"}},
		Sticky: traffic.Sticky{Header: "X-User"},
	}}
	for _, tt := range []struct {
		route traffic.Route
		text  string
	}{
		{at(50_000), `{"arms":{"stable":"v1","candidate":"v2"},"split":{"candidate":"5%"}}`},
		{full, `{"arms":{"stable":"v1","candidate":"v2"},"split":{"candidate":"0.0001%","mirror":"100%","match":[{"header":"a","value":"b"},{"cookie":"c"}],"sticky":{"header":"X-User"}}}`},
	} {
		text, err := json.Marshal(tt.route)
		if err != nil || string(text) != tt.text {
			t.Errorf("written as %s, %v, want %s", text, err, tt.text)
		}
		var got traffic.Route
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, tt.route) {
			t.Errorf("read as %v, %v, want %v", got, err, tt.route)
		}
	}
}
