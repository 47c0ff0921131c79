// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import "github.com/rheostat-go/rheostat/traffic"

var capsCases = []testCase{
	{
		name: "caps can be planned with",
		why: "A plan is held against Caps once, when it is accepted. They must name a granularity and the best evidence, " +
			"and must be the same for as long as the router lives.",
		run: func(r *run) {
			c := r.caps
			if c.Granularity == 0 || !c.Granularity.Valid() {
				r.Errorf("Caps.Granularity is %d, want 1 to %d", uint32(c.Granularity), uint32(traffic.Full))
			}
			if c.Evidence == traffic.Unknown || c.Evidence > traffic.Effective {
				r.Errorf("Caps.Evidence is %v, want written, programmed or effective", c.Evidence)
			}
			if c.Lag < 0 {
				r.Errorf("Caps.Lag is %v, want 0 or more", c.Lag)
			}
			r.set(1, r.route(traffic.Full))
			if after := r.Router.Caps(); after != c {
				r.Errorf("Caps were %+v and are %+v after a route was set", c, after)
			}
		},
	},
	{
		name: "evidence is no better than declared",
		why: "Caps.Evidence is the best that Observe can ever give. A rollout waits for it and no longer, " +
			"so a router that can give more must declare more.",
		run: func(r *run) {
			r.apply(1, r.route(traffic.Full))
			for range looks {
				if seen := r.see(); seen.Evidence > r.caps.Evidence {
					r.Fatalf("Observe shows evidence %v, but Caps say %v", seen.Evidence, r.caps.Evidence)
				}
			}
			r.comes(r.route(traffic.Full))
		},
	},
	{
		name:  "room is known once a route is in force",
		why:   "A router that declares Caps.Room tells in Observe what each arm could carry; without it no rollout moves forward.",
		needs: []need{needRoom},
		run: func(r *run) {
			r.set(1, r.route(0))
			var room traffic.Room
			if !r.within(func() bool { room = r.see().Room; return room.Known }) {
				r.Fatalf("Observe shows no room, but Caps declare it")
			}
			if !room.Stable.Valid() || !room.Candidate.Valid() {
				r.Errorf("Observe shows room for %v and %v, want 0%% to 100%%", room.Stable, room.Candidate)
			}
		},
	},
}
