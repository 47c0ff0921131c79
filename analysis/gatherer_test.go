// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// gatherers are all that have no test file of their own for what holds for each.
func gatherers() map[string]func() gatherer {
	limit := LimitOptions{Most: 0.01, Beside: Margin{1, 0.0005}, Risk: 0.01, SafeRisk: 0.05}
	ratio := RatioOptions{Name: "crashes", Tolerance: 1.5, Risk: 0.01}
	share := ShareOptions{Tolerance: 0.2, Risk: 0.001}
	want := 0.1
	burn := BurnRateOptions{Objective: 0.999, MinRequests: 1000, Windows: scaled(time.Minute, 10*time.Second)}
	return map[string]func() gatherer{
		"limit":     func() gatherer { return &limitGate{o: &limit} },
		"ratio":     func() gatherer { return &ratioGate{o: &ratio} },
		"share":     func() gatherer { return &shareGate{o: &share, want: &want, Want: want} },
		"burn rate": func() gatherer { return newBurnGate(&burn, 10*time.Second) },
	}
}

// FuzzGatherersSayNumbers shows every gatherer any counts, saves and restores it after
// each block, and asks for numbers that can be saved and a memory that it takes for
// its own.
func FuzzGatherersSayNumbers(f *testing.F) {
	f.Add(uint64(100), uint64(3), uint64(900), uint64(1), false)
	f.Add(uint64(0), uint64(0), uint64(1), uint64(1), true)
	f.Add(uint64(1), uint64(1<<63), uint64(1<<62), uint64(0), true)
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(1), false)
	f.Add(uint64(50), uint64(50), uint64(0), uint64(0), true)
	f.Fuzz(func(t *testing.T, n, bad, stableN, stableBad uint64, steps bool) {
		const most = 1 << 40 // more than an arm answers in a block
		n, bad, stableN, stableBad = n%most, bad%most, stableN%most, stableBad%most
		for name, build := range gatherers() {
			g := build()
			g.begin(&Counts{Requests: stableN, Errors: stableBad})
			for i := range 4 {
				candidate, stable := Counts{Requests: n, Errors: bad}, Counts{Requests: stableN, Errors: stableBad}
				if i%2 == 1 {
					stable = Counts{}
				}
				g.observe(&candidate, &stable)
				if steps {
					g.step()
				}
				v, _ := g.judge()
				var said Finding
				if g.tell(&said); said.Sound() != said || said.Low > said.Value+1e-9 || said.High > 0 && said.High < said.Value-1e-9 {
					t.Fatalf("%s: %+v", name, said)
				}
				data, err := json.Marshal(g)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				g = build()
				if err := recall(State(data), g); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := g.sound(v); err != nil {
					t.Fatalf("%s: its own memory after %v: %v: %s", name, v, err, data)
				}
				if again, _ := g.judge(); again != v {
					t.Fatalf("%s: %v after a restart, %v before", name, again, v)
				}
			}
		}
	})
}

func TestAMemoryThatIsNoneIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, memories := range map[string][]string{
		"limit": {
			`{"breaks":{"n":1,"bad":2}}`, `{"beside":{"stable":2}}`, `{"stableN":-1}`, `{"raised":-1}`,
			`{"past":{"shares":[2]}}`, `{"now":{"kept":1}}`,
		},
		"ratio":     {`{"log":[-1,0,0,0,0,0,0,0],"candidate":{"n":-1}}`, `{"raised":-1}`},
		"share":     {`{"want":2}`, `{"want":0.1,"candidate":-1}`, `{"want":0.1,"candidate":1,"stable":100000}`},
		"burn rate": {`{"long":[],"short":[]}`, `{"long":[{"at":12},{}],"short":[{},{}]}`, `{"long":[{"n":[1],"bad":[2]},{}],"short":[{},{}]}`},
	} {
		for _, text := range memories {
			g := gatherers()[name]()
			if err := recall(State(text), g); err == nil && g.sound(Pass) == nil {
				t.Errorf("%s takes %s for its own", name, text)
			}
		}
	}
	for name, build := range gatherers() {
		if name != "limit" && build().sound(Safe) == nil || build().sound(Fail) == nil {
			t.Errorf("%s takes a verdict that nothing bears out", name)
		}
	}
}

func BenchmarkGatherers(b *testing.B) {
	for name, build := range gatherers() {
		b.Run(name, func(b *testing.B) {
			g := build()
			candidate, stable := Counts{Requests: 100, Errors: 1}, Counts{Requests: 900, Errors: 8}
			g.begin(&stable)
			for range recent {
				g.observe(&candidate, &stable)
			}
			b.ReportAllocs()
			for b.Loop() {
				g.observe(&candidate, &stable)
			}
		})
	}
}

func TestObservingABlockAllocatesNothing(t *testing.T) {
	for name, build := range gatherers() {
		g := build()
		candidate, stable := Counts{Requests: 100, Errors: 1}, Counts{Requests: 900, Errors: 8}
		for range recent {
			g.observe(&candidate, &stable)
		}
		if n := testing.AllocsPerRun(100, func() { g.observe(&candidate, &stable) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
