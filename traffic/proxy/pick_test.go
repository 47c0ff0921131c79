// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestMatchesAreByNameAndValue(t *testing.T) {
	t.Parallel()
	request := func(edit func(*http.Request)) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "http://tenant.example/", http.NoBody)
		edit(r)
		return r
	}
	twice := request(func(r *http.Request) { r.Header["X-Ring"] = []string{"", "outer", "inner"} })
	cookies := request(func(r *http.Request) { r.Header["Cookie"] = []string{"ring=outer", "a=b; ring=inner"} })
	for _, tt := range []struct {
		rule rule
		r    *http.Request
		want bool
	}{
		{rule{header: "X-Ring", value: "inner"}, twice, true},
		{rule{header: "X-Ring"}, twice, true},
		{rule{header: "X-Ring", value: "Inner"}, twice, false},
		{rule{header: "X-Other"}, twice, false},
		{rule{header: "Host", value: "tenant.example"}, twice, true},
		{rule{cookie: "ring", value: "inner"}, cookies, true},
		{rule{cookie: "ring", value: "core"}, cookies, false},
		{rule{cookie: "b"}, cookies, false},
		{rule{header: "X-Empty"}, request(func(r *http.Request) { r.Header.Set("X-Empty", "") }), false},
	} {
		if got := tt.rule.matches(tt.r); got != tt.want {
			t.Errorf("%+v matches: %v, want %v", tt.rule, got, tt.want)
		}
	}
}

func TestPickingAllocatesNothing(t *testing.T) {
	_, p, r := compiled(t, traffic.Split{Candidate: 500_000, Sticky: traffic.Sticky{Cookie: "side"}, Match: []traffic.Match{{Header: "X-Preview", Value: "yes"}}})
	if n := testing.AllocsPerRun(100, func() { p.pick(r) }); n != 0 {
		t.Errorf("a pick allocates %v times, want 0", n)
	}
}
