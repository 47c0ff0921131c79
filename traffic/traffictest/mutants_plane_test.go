// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

var restartMutants = []mutant{
	mutateRestart("forgets everything when it restarts", func(traffic.Seen, *target) {}),
	mutateRestart("forgets the fence when it restarts", func(seen traffic.Seen, t *target) { t.Foreign(seen.Route, "file") }),
	mutateRestart("forgets the matches when it restarts", func(seen traffic.Seen, t *target) {
		seen.Route.Split.Match = nil
		_ = t.Apply(context.Background(), seen.Fence, seen.Route)
	}),
	mutateRestart("has another seed when it restarts", func(seen traffic.Seen, t *target) {
		_ = t.Apply(context.Background(), seen.Fence, seen.Route)
		t.salt.Store(new("reseeded"))
	}),
}

var planeMutants = []mutant{
	mutateChoice("is off by a third", func(route traffic.Route, q Request) bool {
		if w := route.Split.Candidate; w > 0 && w < traffic.Full {
			route.Split.Candidate = w * 4 / 3
		}
		return chooses(route, q)
	}),
	mutateChoice("counts servers instead of weights", func(route traffic.Route, q Request) bool {
		if w := route.Split.Candidate; w > 0 && w < traffic.Full {
			route.Split.Candidate = traffic.Full / 2
		}
		return chooses(route, q)
	}),
	mutateChoice("leaks at zero", func(route traffic.Route, q Request) bool { return chooses(route, q) || rand.IntN(100) == 0 }),
	mutateChoice("holds back at full", func(route traffic.Route, q Request) bool { return chooses(route, q) && rand.IntN(100) != 0 }),
	mutatePlane("sends to the arms the wrong way round", func(p plane) plane {
		right := p.pick
		p.pick = func(route traffic.Route, q Request) bool { return !right(route, q) }
		return p
	}),
	mutateMatch("ignores matches", func(traffic.Route, Request) bool { return false }),
	mutateMatch("takes any value for a match", func(route traffic.Route, q Request) bool {
		route.Split = route.Split.Clone()
		for i := range route.Split.Match {
			route.Split.Match[i].Value = ""
		}
		return matched(route, q)
	}),
	mutateMatch("wants all matches at once", func(route traffic.Route, q Request) bool {
		for _, m := range route.Split.Match {
			if only := (traffic.Route{Split: traffic.Split{Match: []traffic.Match{m}}}); !matched(only, q) {
				return false
			}
		}
		return len(route.Split.Match) > 0
	}),
	mutateMatch("does not look at the query", func(route traffic.Route, q Request) bool {
		q.Query = nil
		return matched(route, q)
	}),
	mutateMatch("looks for the query's value anywhere", func(route traffic.Route, q Request) bool {
		for _, m := range route.Split.Match {
			if m.Query != "" && strings.Contains(q.Query[m.Query], m.Value) && q.Query[m.Query] != "" {
				return true
			}
		}
		return matched(route, q)
	}),
	mutatePlane("goes on matching what is no longer in the route", func(p plane) plane {
		var mu sync.Mutex
		var old []traffic.Match
		return p.matching(func(route traffic.Route, q Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if len(route.Split.Match) > 0 {
				old = route.Split.Match
			}
			route.Split.Match = old
			return matched(route, q)
		})
	}),
	mutateChoice("is not sticky", func(route traffic.Route, _ Request) bool { return chooses(route, Request{}) }),
	mutateChoice("is sticky by header alone", func(route traffic.Route, q Request) bool { return chooses(route, Request{Header: q.Header}) }),
	mutateChoice("reshuffles with every weight", func(route traffic.Route, q Request) bool {
		if k := key(route, q); k != "" {
			return place(k+route.Split.Candidate.String()) < uint64(route.Split.Candidate)
		}
		return chooses(route, q)
	}),
	mutatePlane("grows from the other end on the way back", func(p plane) plane {
		var highest atomic.Uint32
		return p.choosing(func(route traffic.Route, q Request) bool {
			w := uint32(route.Split.Candidate)
			if w > highest.Load() {
				highest.Store(w)
			}
			k := key(route, q)
			if k == "" || w >= highest.Load() || w == 0 {
				return chooses(route, q)
			}
			return uint64(traffic.Full)-place(k) <= uint64(w)
		})
	}),
	mutateChoice("puts everybody sticky on one side", func(route traffic.Route, q Request) bool {
		if key(route, q) != "" {
			return place("the same") < uint64(route.Split.Candidate)
		}
		return chooses(route, q)
	}),
	mutateSend("gives a cookie for another side", func(t *target, ctx context.Context, q Request) (Answer, error) {
		answer, err := t.send(ctx, q)
		for name := range answer.Cookie {
			answer.Cookie[name] = randomID()
		}
		return answer, err
	}),
	moved("loses requests while the weight moves", func(Request, traffic.Route) error { return errors.New("connection reset") }),
	moved("forgets the arm that has no weight", func(_ Request, route traffic.Route) error {
		if route.Serves() == route.Arms.Stable {
			return errors.New("unknown cluster")
		}
		return nil
	}),
	mutatePlane("acknowledges before it acts", func(p plane) plane {
		var mu sync.Mutex
		var now, next traffic.Route
		var since time.Time
		view := p.view
		p.view = func(t *target) (traffic.Route, error) {
			mu.Lock()
			defer mu.Unlock()
			route, err := view(t)
			if !route.Equal(next) {
				next, since = route, time.Now()
			}
			if time.Since(since) > time.Millisecond || now.IsZero() {
				now = next
			}
			return now, err
		}
		return p
	}),
	mutatePlane("gives up its route when it is blind", func(p plane) plane {
		view := p.view
		p.view = func(t *target) (traffic.Route, error) {
			if t.blind() {
				return traffic.Route{}, errBroken
			}
			return view(t)
		}
		return p
	}),
	mutatePlane("goes home when it is blind", func(p plane) plane {
		view := p.view
		p.view = func(t *target) (traffic.Route, error) {
			route, err := view(t)
			if t.blind() {
				route.Split.Candidate = 0
			}
			return route, err
		}
		return p
	}),
	mutatePlane("follows no more once it was blind", func(p plane) plane {
		view := p.view
		var last atomic.Pointer[traffic.Route]
		p.view = func(t *target) (traffic.Route, error) {
			if route := last.Load(); route != nil {
				return *route, nil
			}
			route, err := view(t)
			if t.blind() {
				last.Store(&route)
			}
			return route, err
		}
		return p
	}),
}

// moved is a mutant that fails the first request after a write with what fail says.
func moved(name string, fail func(Request, traffic.Route) error) mutant {
	return mutant{name, func() Subject {
		t := newTarget(trafficOptions)
		var moved atomic.Pointer[traffic.Route]
		w := &wrong{target: t}
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := t.Apply(ctx, fence, r)
			if err == nil {
				moved.Store(&r)
			}
			return err
		}
		s := t.subject(w)
		s.Send = func(ctx context.Context, q Request) (Answer, error) {
			if route := moved.Swap(nil); route != nil {
				if err := fail(q, *route); err != nil {
					return Answer{}, err
				}
			}
			return t.send(ctx, q)
		}
		return s
	}}
}

var sendMutants = []mutant{
	{"drains before it checks", func() Subject {
		t := newTarget(trafficOptions)
		var drained atomic.Bool
		w := &wrong{target: t}
		w.apply = func(ctx context.Context, fence uint64, r traffic.Route) error {
			err := t.Apply(ctx, fence, r)
			drained.Store(r.Validate() != nil)
			return err
		}
		s := t.subject(w)
		s.Send = func(ctx context.Context, q Request) (Answer, error) {
			if drained.CompareAndSwap(true, false) {
				return Answer{}, errors.New("no backend")
			}
			return t.send(ctx, q)
		}
		return s
	}},
	connecting("pins a connection to its arm", func(t *target) func(context.Context, Request) (Answer, error) {
		var arm string
		return func(ctx context.Context, q Request) (Answer, error) {
			answer, err := t.send(ctx, q)
			if arm == "" {
				arm = answer.Arm
			}
			answer.Arm = arm
			return answer, err
		}
	}),
	connecting("closes old connections", func(t *target) func(context.Context, Request) (Answer, error) {
		born := len(t.History())
		return func(ctx context.Context, q Request) (Answer, error) {
			if len(t.History()) > born {
				return Answer{}, errors.New("EOF")
			}
			return t.send(ctx, q)
		}
	}),
}

// connecting is a mutant whose connections are wrong.
func connecting(name string, conn func(t *target) func(context.Context, Request) (Answer, error)) mutant {
	return mutant{name, func() Subject {
		t := newTarget(trafficOptions)
		s := t.subject(t)
		s.Connect = func(context.Context) (*Conn, error) { return &Conn{Send: conn(t), Close: func() {}}, nil }
		return s
	}}
}

var mirrorMutants = []mutant{
	mutatePlane("makes no copies", func(p plane) plane {
		p.copying = func(traffic.Route) bool { return false }
		return p
	}),
	mutatePlane("copies everything or nothing", func(p plane) plane {
		p.copying = func(route traffic.Route) bool { return route.Split.Mirror > 0 }
		return p
	}),
	mutatePlane("goes on copying", func(p plane) plane {
		var once atomic.Bool
		right := p.copying
		p.copying = func(route traffic.Route) bool {
			if route.Split.Mirror > 0 {
				once.Store(true)
				return right(route)
			}
			return once.Load()
		}
		return p
	}),
	mutateSend("answers with the copy", func(t *target, ctx context.Context, q Request) (Answer, error) {
		answer, err := t.send(ctx, q)
		if seen, _ := t.Memory.Observe(ctx); seen.Route.Split.Mirror > 0 {
			answer.Arm = seen.Route.Arms.Candidate
		}
		return answer, err
	}),
	mutatePlane("waits for its copies", func(p plane) plane {
		p.copied = func(ctx context.Context, t *target, arm string) error {
			t.copies.Add(1)
			_ = t.arm(ctx, arm)
			return ctx.Err()
		}
		return p
	}),
	mutatePlane("fails with its copies", func(p plane) plane {
		p.copied = func(ctx context.Context, t *target, arm string) error {
			t.copies.Add(1)
			if t.isBroken(CandidateFailing) != nil {
				return t.arm(ctx, arm)
			}
			return nil
		}
		return p
	}),
	mutatePlane("counts copies as requests", func(p plane) plane {
		p.copied = func(_ context.Context, t *target, arm string) error {
			go func() {
				_ = t.answer(context.Background(), arm)
				t.copies.Add(1)
			}()
			return nil
		}
		return p
	}),
}

var meterMutants = []mutant{
	mutateMeter("counts each request twice", func(m map[string]traffic.Reading) {
		for name, r := range m {
			r.Requests *= 2
			m[name] = r
		}
	}),
	mutateMeter("counts by the arms the wrong way round", func(m map[string]traffic.Reading) {
		m["stable"], m["candidate"] = m["candidate"], m["stable"]
	}),
	mutateMeter("is never quiet", func(m map[string]traffic.Reading) {
		for name, r := range m {
			r.Active++
			m[name] = r
		}
	}),
	mutateMeter("is always quiet", func(m map[string]traffic.Reading) {
		for name, r := range m {
			r.Active = 0
			m[name] = r
		}
	}),
	mutate("counts by role instead of name", trafficOptions, func(w *wrong) {
		w.meter = func(m map[string]traffic.Reading) {
			if seen, err := w.Memory.Observe(context.Background()); err == nil && seen.Route.Arms.Stable == "candidate" {
				m["stable"], m["candidate"] = m["candidate"], m["stable"]
			}
		}
	}),
}
