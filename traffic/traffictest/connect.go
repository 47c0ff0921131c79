// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "github.com/rheostat-go/rheostat/traffic"

// connections is how many a case keeps open.
const connections = 4

var connCases = []testCase{{
	name: "an old connection follows the new split",
	why: "Clients keep connections open for hours. A request that begins on a connection from before the change goes the new way, and the connection does not break; " +
		"a router whose changes can break it says so in Caps.Drops.",
	needs: []need{needConnect, needHaste},
	run: func(r *run) {
		n := 1
		r.live(n, r.route(0))
		open := make([]*Conn, connections)
		for i := range open {
			open[i] = r.connect()
			defer func() { open[i].Close() }()
		}
		broken := 0
		for _, w := range []traffic.Weight{0, traffic.Full, 0, traffic.Full} {
			n++
			r.live(n, r.route(w))
			want := r.Arms.Stable
			if w == traffic.Full {
				want = r.Arms.Candidate
			}
			for i := range looks * len(open) {
				at := i % len(open)
				answer, err := open[at].Send(r.ctx, Request{})
				switch {
				case err != nil && r.caps.Drops:
					broken++
					open[at].Close()
					open[at] = r.connect()
				case err != nil:
					r.Fatalf("a request on a connection that was open before %v came into force: %v, want an answer", w, err)
				case answer.Arm != want:
					r.Fatalf("a request on a connection that was open before %v came into force was answered by %q, want %q", w, answer.Arm, want)
				}
			}
		}
		if r.caps.Drops {
			r.Logf("%d connections broke, as Caps.Drops allows", broken)
		}
	},
}}

// connect opens a connection that works.
func (r *run) connect() *Conn {
	r.Helper()
	c, err := r.Connect(r.ctx)
	if err != nil {
		r.Fatalf("Subject.Connect: %v", err)
	}
	return c
}
