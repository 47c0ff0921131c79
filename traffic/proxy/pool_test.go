// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestABackendIsChosenForAReason tries random stories, and holds each choice to
// what can be seen of the backends from outside.
func TestABackendIsChosenForAReason(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			p := pooled(1+rng.IntN(6), Ejection{Max: 8 * time.Second})
			last := map[*backend]outcome{}
			for range 200 {
				b := p.all[rng.IntN(len(p.all))]
				if o := outcome(rng.IntN(4)); o == refused || o == broken {
					b.tell(o)
					last[b] = o
				}
				time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
				var not *backend
				if rng.IntN(4) == 0 {
					not = b
				}
				choice := reasonable(t, p, last, not)
				if choice != nil && rng.IntN(3) > 0 {
					choice.tell(answered)
					last[choice] = answered
				}
			}
		})
	}
}

// reasonable chooses, and complains of a choice that should not have been.
func reasonable(t *testing.T, p *pool, last map[*backend]outcome, not *backend) *backend {
	t.Helper()
	now, well, open := time.Now(), 0, 0
	was := map[*backend]BackendStatus{}
	for _, b := range p.all {
		was[b] = b.status()
		if was[b].State == BackendWell {
			well++
		}
	}
	panicked := 2*well < len(p.all)
	takes := func(b *backend) bool {
		return was[b].State == BackendWell || panicked && last[b] != refused
	}
	for _, b := range p.all {
		if takes(b) && b != not {
			open++
		}
	}
	b := p.choose(not)
	switch {
	case b == nil:
		if open > 0 {
			t.Errorf("none was chosen, and %d of %d are well, %d without the one that failed", well, len(p.all), open)
		}
	case b == not:
		t.Error("the one that had failed was chosen again")
	case takes(b):
	case was[b].Until.After(now):
		t.Errorf("one was chosen that is %v for another %v", was[b].State, was[b].Until.Sub(now))
	case !b.status().Until.After(now):
		t.Error("a trial was given, and the next one is due already")
	}
	return b
}

func TestTheLessLoadedOfTwoIsChosen(t *testing.T) {
	t.Parallel()
	const n, tries = 5, 100_000
	for name, load := range map[string]int64{"equal": 0, "rising": 1} {
		p := pooled(n, Ejection{})
		for i, b := range p.all {
			b.active.Store(int64(i) * load)
		}
		chosen := map[*backend]int{}
		for range tries {
			chosen[p.choose(nil)]++
		}
		for i, b := range p.all {
			want := 1.0 / n
			if load > 0 { // the pairs in which it is the lesser
				want = 2 * float64(n-1-i) / (n * (n - 1))
			}
			sigma := math.Sqrt(want * (1 - want) / tries)
			if got := float64(chosen[b]) / tries; math.Abs(got-want) > 6*sigma {
				t.Errorf("%s: backend %d of %d was chosen for %.4f, want %.4f", name, i, n, got, want)
			}
		}
	}
}

func TestABackendThatStaysKeepsWhatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	p := pooled(3, Ejection{Base: time.Hour})
	gone, stays := p.all[0], p.all[1]
	stays.tell(refused)
	stays.active.Store(7)
	p.set([]*url.URL{p.all[1].url, p.all[2].url, p.all[2].url, {Scheme: "http", Host: "10.0.0.9"}})
	if p.all[0] != stays || len(p.all) != 3 || slices.Contains(p.all, gone) {
		t.Fatalf("the pool is %v", p.all)
	}
	if s := stays.status(); s.State != BackendEjected || s.Active != 7 {
		t.Errorf("%+v, want it ejected with 7 requests under way", s)
	}
	gone.tell(refused, broken, answered) // what it had under way ends
	if chosen := p.chosen(); chosen[stays] > 0 || chosen[gone] > 0 || len(chosen) != 2 {
		t.Errorf("chosen: %v", chosen)
	}
}

// TestAPoolIsSafeForAll lets everything happen at once, for the race detector.
func TestAPoolIsSafeForAll(t *testing.T) {
	t.Parallel()
	p := pooled(4, Ejection{Base: time.Microsecond, Max: 10 * time.Microsecond})
	urls := make([]*url.URL, 0, len(p.all))
	for _, b := range p.all {
		urls = append(urls, b.url)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				begun := time.Now()
				if b := p.choose(nil); b != nil {
					b.active.Add(1)
					b.report(outcome(rand.IntN(4)), begun, errRefused)
					b.active.Add(-1)
				}
			}
		})
	}
	for i := range 500 {
		p.set(urls[i%4:])
	}
	wg.Wait()
	for _, b := range p.all {
		if n := b.active.Load(); n != 0 {
			t.Errorf("%d requests under way after all", n)
		}
	}
}

func TestChoosingAllocatesNothing(t *testing.T) {
	for name, spoil := range map[string]func(p *pool){
		"all are well":   func(*pool) {},
		"one is ejected": func(p *pool) { p.all[0].tell(refused) },
	} {
		p := pooled(3, Ejection{Base: time.Hour})
		spoil(p)
		if n := testing.AllocsPerRun(1000, func() {
			b := p.choose(nil)
			b.report(answered, time.Time{}, nil)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, bb := range []struct {
		name  string
		n     int
		spoil func(p *pool)
	}{
		{"one", 1, func(*pool) {}},
		{"three", 3, func(*pool) {}},
		{"three, one ejected", 3, func(p *pool) { p.all[0].tell(refused) }},
		{"hundred", 100, func(*pool) {}},
	} {
		p := pooled(bb.n, Ejection{Base: time.Hour, Max: time.Hour})
		bb.spoil(p)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.choose(nil).report(answered, time.Time{}, nil)
			}
		})
	}
}
