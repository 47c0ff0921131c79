// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/race"
)

func TestATallyCountsEveryExposureInOneTake(t *testing.T) {
	t.Parallel()
	const workers, times = 8, 5000
	tally := flags.NewTally(100)
	got := map[string]uint64{}
	take := func() {
		counts, overflow := tally.Take()
		for _, c := range counts {
			if c.N == 0 || c.Reason != flags.Split {
				t.Errorf("counted %+v", c)
			}
			got[c.Flag+"="+c.Variant] += c.N
		}
		if overflow > 0 {
			t.Errorf("%d exposures of 4 kinds have no room among 100", overflow)
		}
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range times {
				tally.Expose(flags.Exposure{Flag: fmt.Sprintf("f%d", i%2), Variant: fmt.Sprint(i / 2 % 2), Unit: fmt.Sprint(i), Reason: flags.Split})
			}
		})
	}
	for range 20 {
		take()
	}
	group.Wait()
	take()
	for _, key := range []string{"f0=0", "f0=1", "f1=0", "f1=1"} {
		if got[key] != workers*times/4 {
			t.Errorf("%s was counted %d times, want %d", key, got[key], workers*times/4)
		}
	}
	if counts, _ := tally.Take(); len(got) != 4 || len(counts) != 0 {
		t.Errorf("counted %v, and %v is left", got, counts)
	}
}

func TestATallyIsBounded(t *testing.T) {
	t.Parallel()
	tally := flags.NewTally(3)
	for round := range 2 {
		for range 2 {
			for i := range 10 {
				tally.Expose(flags.Exposure{Flag: fmt.Sprint(i), Variant: "on", Reason: flags.Static})
			}
		}
		seen := slices.Collect(tally.Each())
		if len(seen) != 3 || seen[0] != (flags.Count{Flag: "0", Variant: "on", Reason: flags.Static, N: 2}) || tally.Overflow() != 14 {
			t.Errorf("round %d: %v, and %d more", round, seen, tally.Overflow())
		}
		if counts, overflow := tally.Take(); !slices.Equal(counts, seen) || overflow != 14 {
			t.Errorf("round %d: took %v and %d, want %v and 14", round, counts, overflow, seen)
		}
	}
}

func TestFirstsPassOnWhatIsNew(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	firsts := flags.NewFirsts(100_000, func(flags.Exposure) { passed.Add(1) })
	expose := func() int64 {
		before := passed.Load()
		for unit := range 1000 {
			for _, variant := range []string{"on", "off"} {
				firsts.Expose(flags.Exposure{Flag: "a", Variant: variant, Unit: fmt.Sprint(unit)})
				firsts.Expose(flags.Exposure{Flag: "b", Variant: variant, Unit: fmt.Sprint(unit)})
			}
		}
		return passed.Load() - before
	}
	if n := expose(); n != 4000 {
		t.Errorf("of 4000 different exposures %d are firsts", n)
	}
	if n := expose(); n != 0 {
		t.Errorf("of 4000 repeats %d are firsts", n)
	}
	firsts.Forget()
	if n := expose(); n != 4000 {
		t.Errorf("after Forget, %d of 4000 are firsts", n)
	}
	small := flags.NewFirsts(1, func(flags.Exposure) { passed.Add(1) })
	before := passed.Load()
	for range 2 {
		for unit := range 1000 {
			small.Expose(flags.Exposure{Flag: "a", Unit: fmt.Sprint(unit)})
		}
		small.Expose(flags.Exposure{Flag: "a"})
	}
	if n := passed.Load() - before; n < 1002 {
		t.Errorf("without memory, %d of 2002 exposures are passed on", n)
	}
}

func TestExposuresTakeNoHeap(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has the pool forget")
	}
	tally := flags.NewTally(0)
	firsts := flags.NewFirsts(1000, tally.Expose)
	client := exposing(t, firsts.Expose)
	handle := flags.Bool("pct", false)
	who := flags.User("user-42")
	for name, f := range map[string]func(){
		"Tally":  func() { tally.Expose(flags.Exposure{Flag: "a", Variant: "on", Unit: "u", Reason: flags.Split}) },
		"Firsts": func() { handle.On(client, &who) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times an exposure", name, n)
		}
	}
}

// exposing is a client with a flag at 10 %.
func exposing(tb testing.TB, exposed func(flags.Exposure)) *flags.Client {
	tb.Helper()
	client, err := flags.New(flags.NewMemory(parse(tb, "pct", `{"enabled":true,"rollout":{"type":"percentage","percentage":10}}`)), flags.Options{Exposed: exposed})
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, client)
	if err := client.Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return client
}

// BenchmarkExposure is what an evaluation costs with nobody told, and with somebody.
func BenchmarkExposure(b *testing.B) {
	handle := flags.Bool("pct", false)
	who := people()
	for _, bench := range []struct {
		name    string
		exposed func(flags.Exposure)
	}{
		{"unset", nil},
		{"nothing", func(flags.Exposure) {}},
		{"tally", flags.NewTally(0).Expose},
		{"firsts", flags.NewFirsts(0, func(flags.Exposure) {}).Expose},
	} {
		client := exposing(b, bench.exposed)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				handle.On(client, &who[i&1023])
				i++
			}
		})
		b.Run(bench.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					handle.On(client, &who[i&1023])
				}
			})
		})
	}
}

func ExampleTally() {
	tally := flags.NewTally(1000)
	store := flags.NewMemory(&flags.Flag{Key: "new-checkout", Enabled: true})
	client, err := flags.New(store, flags.Options{Exposed: tally.Expose})
	if err != nil {
		panic(err)
	}
	for range 3 { // it does not Run, so it has no flags yet
		flags.Bool("new-checkout", false).On(client, nil)
	}
	counts, overflow := tally.Take()
	for _, c := range counts {
		fmt.Printf("%s %q %s: %d\n", c.Flag, c.Variant, c.Reason, c.N)
	}
	fmt.Println(overflow)
	// Output:
	// new-checkout "" not ready: 3
	// 0
}
