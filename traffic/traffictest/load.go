// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// A flip is judged by few requests, for there are many flips.
const (
	flipRequests = 20
	leastFlips   = 6
	flipTime     = 2 * time.Second // after which no more begin
)

// tally is what came of some requests.
type tally struct {
	stable, candidate, other, failed int

	err error // the last of those that failed
}

func (t *tally) sum() int { return t.stable + t.candidate + t.other + t.failed }

// String tells the counts, and the last error if there is one.
func (t *tally) String() string {
	s := fmt.Sprintf("%d requests %d were answered by stable, %d by the candidate and %d by neither", t.sum(), t.stable, t.candidate, t.other)
	if t.failed > 0 {
		s += fmt.Sprintf(", and %d failed, the last with: %v", t.failed, t.err)
	}
	return s
}

func (t *tally) add(arms traffic.Arms, arm string, err error) {
	switch {
	case err != nil:
		t.failed++
		t.err = err
	case arm == arms.Stable:
		t.stable++
	case arm == arms.Candidate:
		t.candidate++
	default:
		t.other++
	}
}

// load is clients that send all the while.
type load struct {
	run  *run
	stop context.CancelFunc // begins no more requests
	cut  context.CancelFunc // ends those that are under way
	wg   sync.WaitGroup

	mark atomic.Int64
	mu   sync.Mutex
	all  tally
	now  tally // of the requests that began after the last mark
}

// load begins to send. It must be ended.
func (r *run) load() *load {
	l := &load{run: r}
	requests, cut := context.WithCancel(r.ctx)
	begin, stop := context.WithCancel(requests)
	l.cut, l.stop = cut, stop
	for range senders {
		l.wg.Go(func() {
			for begin.Err() == nil {
				mark := l.mark.Load()
				answer, err := r.Send(requests, Request{})
				l.note(mark, answer, err)
				runtime.Gosched() // a router in memory leaves no pause for the writer
			}
		})
	}
	return l
}

func (l *load) note(mark int64, answer Answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.add(l.run.Arms, answer.Arm, err)
	if mark == l.mark.Load() {
		l.now.add(l.run.Arms, answer.Arm, err)
	}
}

// collect waits for n requests that begin from now on.
func (l *load) collect(n int) tally {
	l.run.Helper()
	l.mu.Lock()
	l.mark.Add(1)
	l.now = tally{}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		got := l.now
		l.mu.Unlock()
		if got.sum() >= n {
			return got
		}
		if !l.run.pause(200 * time.Microsecond) {
			l.run.Fatalf("of %v in two minutes; want %d", &got, n)
		}
	}
}

// end stops to send and waits for the requests that are under way, but not for ever.
func (l *load) end() {
	l.stop()
	patience := time.AfterFunc(l.run.slack(), l.cut)
	defer patience.Stop()
	l.wg.Wait()
	l.cut()
}

// loses ends the load, and wants no request of it to have failed unless the
// router says that its changes can break some.
func (l *load) loses(when string) {
	l.run.Helper()
	l.end()
	switch {
	case l.all.failed > 0 && l.run.caps.Drops:
		l.run.Logf("%s, as Caps.Drops allows: of %v", when, &l.all)
	case l.all.failed > 0 || l.all.other > 0:
		l.run.Errorf("%s of %v; want none to fail", when, &l.all)
	default:
		l.run.Logf("%s: of %v", when, &l.all)
	}
}

// meets collects until the split is one that chance would give at w.
func (l *load) meets(w traffic.Weight) {
	l.run.Helper()
	share := float64(w) / float64(traffic.Full)
	var got tally
	for range tries {
		got = l.collect(l.run.Requests)
		if plausible(got.candidate, got.candidate+got.stable, share) {
			return
		}
	}
	l.run.Fatalf("at %v, at the last of %d tries, of %v, which chance does not explain", w, tries, &got)
}

var loadCases = []testCase{
	{
		name: "the ladder is met under load",
		why: "0, 1, 5, 10, 25, 50, 100 per cent and back, while clients send: the candidate's share of the requests is its weight, but for chance, and no request fails. " +
			"A share that is off for good is a bias: servers counted instead of weights, a hash that is not even, the arms the wrong way round. " +
			"A router whose changes can break requests says so in Caps.Drops, and then they are counted.",
		needs: append([]need{needPartial}, sending...),
		run:   meetsTheLadder,
	},
	{
		name: "a flip is followed at once and loses nothing",
		why: "0, 100, 0, 100 per cent, many times under load. Once Observe shows the route with the best evidence, and Lag has passed, no request that begins goes the old way: " +
			"an acknowledgement is not an effect, and a router that cannot tell the effect declares less evidence and a Lag. " +
			"No request fails: a backend that is forgotten while it has no weight is not there when it gets some again.",
		needs: sending,
		run:   flips,
	},
	{
		name: "moving the weight loses no request",
		why: "The weight moves faster than anybody looks, while clients send, and no request fails. " +
			"A router whose changes can break requests says so in Caps.Drops, and then they are counted.",
		needs: sending,
		run:   movesInHaste,
	},
}

func meetsTheLadder(r *run) {
	r.live(1, r.route(0))
	l := r.load()
	defer l.end()
	back := []traffic.Weight{traffic.Percent(50), traffic.Percent(10), 0}
	for i, w := range append(ladder[:len(ladder)-1:len(ladder)-1], back...) {
		route := r.near(r.route(w))
		r.live(i+2, route)
		l.meets(route.Split.Candidate)
	}
	l.loses("up and down the ladder")
}

func flips(r *run) {
	r.live(1, r.route(0))
	l := r.load()
	defer l.end()
	until := time.Now().Add(flipTime)
	n := 0
	for n < r.Requests/flipRequests && (n < leastFlips || time.Now().Before(until)) {
		n++
		w := traffic.Full * traffic.Weight(n%2) //nolint:gosec // 0 or 1
		r.live(n+1, r.route(w))
		got := l.collect(flipRequests)
		late := got.stable
		if w == 0 {
			late = got.candidate
		}
		if late > 0 {
			r.Fatalf("flip %d: after %v was seen (%v), of %v; want none on the other side", n, w, r.caps.Evidence, &got)
		}
	}
	l.loses(fmt.Sprintf("with %d flips", n))
}

func movesInHaste(r *run) {
	r.live(1, r.route(0))
	l := r.load()
	defer l.end()
	n := 1
	for range rounds {
		for _, w := range ladder {
			if w != 0 && w != traffic.Full && !partial(r.caps) {
				continue
			}
			n++
			if err := r.Router.Apply(r.ctx, r.fence(n), r.route(w)); err != nil {
				r.Errorf("Apply(%v) under load: %v", r.route(w), err)
			}
			l.collect(senders)
		}
	}
	l.loses("while the weight moved")
}
