// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"errors"
	"maps"
	"sync"

	"github.com/rheostat-go/rheostat/traffic"
)

// races is how often two instances meet.
const races = 10

// another makes a second run, whose router is another instance over the same target.
func (r *run) another() *run {
	r.Helper()
	router, err := r.Another(r.ctx)
	if err != nil {
		r.Fatalf("Subject.Another: %v", err)
	}
	second := *r
	second.Router = router
	return &second
}

var anotherCases = []testCase{
	{
		name: "what one instance has done the other one sees",
		why: "Two processes share nothing but the target. Observe asks it, and does not repeat what this process wrote last; " +
			"Apply compares with what is there, so the same route under the same fence is no change whoever brings it, and another one is a conflict.",
		needs: []need{needAnother},
		run: func(r *run) {
			second := r.another()
			if c := second.Router.Caps(); c != r.caps {
				r.Errorf("Caps of a second instance are %+v, want %+v as of the first", c, r.caps)
			}
			r.set(1, r.route(0))
			second.comes(r.route(0))
			seen := second.set(2, r.route(traffic.Full))
			r.comes(r.route(traffic.Full))
			r.stays(seen, "an Apply by another instance")
			r.apply(2, r.route(traffic.Full))
			second.stays(seen, "the same Apply by another instance")
			if !r.caps.Fencing {
				return
			}
			if err := r.Router.Apply(r.ctx, r.fence(2), r.route(0)); !errors.Is(err, traffic.ErrConflict) {
				r.Fatalf("Apply of another route under the fence that another instance has used: %v, want ErrConflict", err)
			}
			second.stays(seen, "a conflicting Apply by another instance")
		},
	},
	{
		name: "an overtaken instance is refused whatever it remembers",
		why: "A process that stalled still knows the route and the fence that it wrote, and believes them to be the last. " +
			"The target says otherwise: every Apply of it is ErrFenced and changes nothing, also the very one that it was granted before, also when the route is in force again.",
		needs: []need{needAnother, needFencing},
		run: func(r *run) {
			r.set(1, r.route(r.some()))
			second := r.another()
			for n, w := range []traffic.Weight{0, r.some()} {
				seen := second.set(n+2, r.route(w))
				for _, w := range []traffic.Weight{r.some(), 0, traffic.Full} {
					if err := r.Router.Apply(r.ctx, r.fence(1), r.route(w)); !errors.Is(err, traffic.ErrFenced) {
						r.Fatalf("Apply(fence %d, %v) by an instance that was overtaken with fence %d: %v, want ErrFenced", r.fence(1), r.route(w), r.fence(n+2), err)
					}
				}
				second.stays(seen, "an Apply by an overtaken instance")
			}
			// Looking at the world again is the cure.
			r.see()
			r.set(4, r.route(traffic.Full))
			second.comes(r.route(traffic.Full))
		},
	},
	{
		name: "two instances at once leave one whole route",
		why: "Two processes write at the same moment. One of them wins, with its route and its fence in one write; the other one is told ErrFenced or ErrConflict. " +
			"The higher fence is never refused as stale, wins if it is tried again, and nobody sees a mixture. Compare versions in the target; a lock in a process is not enough.",
		needs: []need{needAnother, needFencing},
		run:   instancesRace,
	},
	{
		name: "stickiness is the same from every instance",
		why: "The side of a client comes from its key and the route. Another instance that sets another weight and sets it back " +
			"leaves each client where it was; a salt of its own would reshuffle all of them.",
		needs: append([]need{needAnother}, stickyNeeds...),
		run: func(r *run) {
			r.live(1, r.sticky(traffic.Full/2, byHeader))
			before := r.population(byHeader)
			second := r.another()
			second.live(2, r.sticky(traffic.Percent(75), byHeader))
			more := r.population(byHeader)
			for id := range before {
				if !more[id] {
					r.Fatalf("client %d was on the candidate at 50%% and is not when another instance has set 75%%", id)
				}
			}
			second.live(3, r.sticky(traffic.Full/2, byHeader))
			if after := r.population(byHeader); !maps.Equal(before, after) {
				r.Fatalf("after another instance has set 75%% and then 50%% again, %d of %d clients are on another side", differ(before, after), clients)
			}
		},
	},
}

func instancesRace(r *run) {
	instances := []*run{r, r.another()}
	valid := []traffic.Route{r.set(1, r.route(0)).Route}
	for race := range races {
		// Which instance has the higher fence takes turns.
		routes := []traffic.Route{r.distinct(race % writers), r.distinct((race + 1) % writers)}
		valid = append(valid, routes...)
		n := 2 + 2*race
		low, high := instances[race%2], instances[(race+1)%2]
		errs := make([]error, 2)
		stop := make(chan struct{})
		torn := make([]traffic.Route, 2)
		var writing, looking sync.WaitGroup
		for i, by := range instances {
			looking.Go(func() { torn[i] = by.watch(stop, valid) })
		}
		for i, by := range []*run{low, high} {
			writing.Go(func() { errs[i] = by.Router.Apply(r.ctx, r.fence(n+i), routes[i]) })
		}
		writing.Wait()
		close(stop)
		looking.Wait()
		for _, t := range torn {
			if !t.IsZero() {
				r.Fatalf("while two instances applied %v and %v, Observe showed %v", tell(routes[0]), tell(routes[1]), tell(t))
			}
		}
		for i, err := range errs {
			if err != nil && !errors.Is(err, traffic.ErrConflict) && (i == 1 || !errors.Is(err, traffic.ErrFenced)) {
				r.Fatalf("Apply of fence %d, while another instance applies fence %d: %v", r.fence(n+i), r.fence(n+1-i), err)
			}
		}
		if errs[0] != nil && errs[1] != nil {
			r.Fatalf("of two instances that wrote at once none was accepted: %v, and %v", errs[0], errs[1])
		}
		high.settles(low, n+1, routes[1])
	}
}

// settles is what a race comes to: the higher fence of r wins, and low is refused.
func (r *run) settles(low *run, n int, route traffic.Route) {
	r.Helper()
	r.apply(n, route)
	seen := r.comes(route)
	low.comes(route)
	low.stays(seen, "a race")
	if seen.Fence != r.fence(n) {
		r.Fatalf("after a race Observe shows fence %d, want %d", seen.Fence, r.fence(n))
	}
	err := low.Router.Apply(r.ctx, r.fence(n-1), route)
	if !errors.Is(err, traffic.ErrFenced) {
		r.Fatalf("Apply under fence %d after a race that fence %d has won: %v, want ErrFenced", r.fence(n-1), r.fence(n), err)
	}
}
