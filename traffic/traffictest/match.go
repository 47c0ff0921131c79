// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "github.com/rheostat-go/rheostat/traffic"

// asked is a request, and the arm that must answer it: the candidate, or stable.
type asked struct {
	request   Request
	candidate bool
}

// follows sends each request several times.
func (r *run) follows(route traffic.Route, list []asked) {
	r.Helper()
	for _, a := range list {
		want := r.Arms.Stable
		if a.candidate {
			want = r.Arms.Candidate
		}
		for range looks {
			if got := r.ask(a.request).Arm; got != want {
				r.Fatalf("at %s the request %+v was answered by %q, want %q", tell(route), a.request, got, want)
			}
		}
	}
}

func header(k, v string) Request { return Request{Header: map[string]string{k: v}} }
func cookie(k, v string) Request { return Request{Cookie: map[string]string{k: v}} }
func query(k, v string) Request  { return Request{Query: map[string]string{k: v}} }

var matchCases = []testCase{
	{
		name:  "matches win over the weight",
		why:   "A request with a header or a cookie that a match names goes to the candidate even at 0%; every other one does not. An empty value in a match is any value but none.",
		needs: append([]need{needMatch}, sending...),
		run: func(r *run) {
			route := r.route(0)
			route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Header: "X-Tester"}, {Cookie: "ring", Value: "internal"}, {Cookie: "beta"}}
			r.live(1, route)
			r.follows(route, []asked{
				{header("X-Preview", "yes"), true},
				{header("X-Preview", "no"), false},
				{header("X-Tester", "anyone"), true},
				{header("X-Other", "yes"), false},
				{cookie("ring", "internal"), true},
				{cookie("ring", "outer"), false},
				{cookie("beta", "1"), true},
				{cookie("other", "internal"), false},
				{Request{Header: map[string]string{"X-Preview": "no"}, Cookie: map[string]string{"other": "1", "beta": "1"}}, true},
				{Request{}, false},
			})
		},
	},
	{
		name: "a match on the query wins over the weight",
		why: "A request with a parameter that a match names goes to the candidate even at 0%, by the whole name and the whole value. " +
			"A header or a cookie of that name is another thing.",
		needs: append([]need{needQuery}, sending...),
		run: func(r *run) {
			route := r.route(0)
			route.Split.Match = []traffic.Match{{Query: "preview", Value: "yes"}, {Query: "tester"}}
			r.live(1, route)
			r.follows(route, []asked{
				{query("preview", "yes"), true},
				{query("preview", "no"), false},
				{query("preview", "yesterday"), false},
				{query("xpreview", "yes"), false},
				{query("tester", "anyone"), true},
				{Request{Query: map[string]string{"other": "1", "preview": "yes"}}, true},
				{header("preview", "yes"), false},
				{cookie("preview", "yes"), false},
				{Request{}, false},
			})
		},
	},
	{
		name: "a match goes with its route",
		why: "When the next route has no match, the requests that were matched go by the weight again, like all others. " +
			"Rules that stay behind would show a few people the candidate for ever.",
		needs: append([]need{needMatch}, sending...),
		run: func(r *run) {
			requests := []Request{header("X-Preview", "yes"), cookie("ring", "internal")}
			with := r.route(0)
			with.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}, {Cookie: "ring"}}
			for n, w := range []traffic.Weight{0, traffic.Full} {
				r.live(2*n+1, with)
				for _, q := range requests {
					r.follows(with, []asked{{q, true}})
				}
				without := r.route(w)
				r.live(2*n+2, without)
				for _, q := range requests {
					r.follows(without, []asked{{q, w == traffic.Full}})
				}
			}
			r.live(5, r.route(0))
			for _, q := range requests {
				r.follows(r.route(0), []asked{{q, false}})
			}
		},
	},
}
