// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"errors"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

const foreignWriter = "somebody-else"

// foreign lets another tool set route and waits until it is seen.
func (r *run) foreign(route traffic.Route) traffic.Seen {
	r.Helper()
	if err := r.Foreign(r.ctx, route, foreignWriter); err != nil {
		r.Fatalf("Subject.Foreign(%v): %v", route, err)
	}
	return r.comes(route)
}

var foreignCases = []testCase{
	{
		name: "a foreign write is seen and left alone",
		why: "Observe shows what is in force, whoever wrote it, not what this router remembers of its own writes. " +
			"It shows no fence with it, names the writer where the target tells, and does not put anything back by itself.",
		needs: []need{needForeign},
		run: func(r *run) {
			r.set(1, r.route(0))
			seen := r.foreign(r.route(traffic.Full))
			if seen.Fence != 0 {
				r.Errorf("Observe shows fence %d with a route that was written without one, want 0", seen.Fence)
			}
			if seen.Writer != "" && !strings.Contains(seen.Writer, foreignWriter) {
				r.Errorf("Observe names %q as the writer, want %q", seen.Writer, foreignWriter)
			}
			r.stays(seen, "a foreign write")
		},
	},
	{
		name:  "a higher fence wins over a foreign write",
		why:   "This is how drift is repaired: the next fence puts the route back, whatever others have written meanwhile.",
		needs: []need{needForeign},
		run: func(r *run) {
			r.set(1, r.route(0))
			r.foreign(r.route(traffic.Full))
			seen := r.set(2, r.route(0))
			if r.caps.Fencing && seen.Fence != r.fence(2) {
				r.Errorf("Observe shows fence %d, want %d", seen.Fence, r.fence(2))
			}
		},
	},
	{
		name:  "a foreign write lets no stale writer in",
		why:   "The highest accepted fence outlives a write by somebody who has none.",
		needs: []need{needForeign, needFencing},
		run: func(r *run) {
			r.set(2, r.route(0))
			seen := r.foreign(r.route(traffic.Full))
			if err := r.Router.Apply(r.ctx, r.fence(1), r.route(0)); !errors.Is(err, traffic.ErrFenced) {
				r.Fatalf("Apply under fence %d after fence %d and a foreign write: %v, want ErrFenced", r.fence(1), r.fence(2), err)
			}
			r.stays(seen, "a stale Apply")
		},
	},
	{
		name: "drift is laid at the right door",
		why: "Writer names who wrote the route in force, or nobody. After the router's own write it no longer names the other tool, " +
			"and after the next foreign one it names that: whoever is woken at night calls the one who is named.",
		needs: []need{needForeign},
		run: func(r *run) {
			r.set(1, r.route(0))
			own := r.see().Writer
			for i, writer := range []string{foreignWriter, "somebody-new"} {
				drift := r.route(traffic.Full)
				if err := r.Foreign(r.ctx, drift, writer); err != nil {
					r.Fatalf("Subject.Foreign(%v): %v", drift, err)
				}
				if got := r.comes(drift).Writer; got != "" && !strings.Contains(got, writer) {
					r.Fatalf("Observe names %q as the writer, want %q", got, writer)
				}
				if got := r.set(i+2, r.route(0)).Writer; got != own {
					r.Fatalf("Observe names %q as the writer after the router has put its route back, want %q as before", got, own)
				}
			}
		},
	},
	{
		name: "nil means in force, also after a foreign write",
		why: "The route accepted last, applied again under its fence when somebody else has changed it, " +
			"is either put back or refused with ErrConflict. Saying that all is well because it was accepted once is neither.",
		needs: []need{needForeign},
		run: func(r *run) {
			r.set(1, r.route(0))
			r.foreign(r.route(traffic.Full))
			switch err := r.Router.Apply(r.ctx, r.fence(1), r.route(0)); {
			case err == nil:
				r.comes(r.route(0))
			case !errors.Is(err, traffic.ErrConflict):
				r.Fatalf("Apply of the accepted route after a foreign write: %v, want none or ErrConflict", err)
			}
		},
	},
}
