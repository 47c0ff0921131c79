// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command fleet starts many rollouts in one process and turns each of them again
// and again: what a turn costs and what a rollout takes in memory, without
// networks and disks in the way. Every rollout has a router of its own, one
// check, and a plan of its own, as if each had come from somewhere else.
//
//	GOWORK=off go run ./cmd/fleet
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/internal/bench"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

func main() {
	rollouts := flag.Int("rollouts", 100_000, "how many `services` have a rollout under way")
	rounds := flag.Int("rounds", 5, "how many idle turns each of them gets")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many turns are under way at once")
	profile := flag.String("cpuprofile", "", "write a profile of the idle turns to this `file`")
	flag.Parse()
	if err := run(*rollouts, *rounds, *workers, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

type fleet struct {
	runner  *strategy.Runner
	names   []string
	wirings map[string]strategy.Wiring
	workers int
}

func run(rollouts, rounds, workers int, profile string) error {
	ctx := context.Background()
	empty := bench.Heap()
	f, err := newFleet(rollouts, workers)
	if err != nil {
		return err
	}
	wired := bench.Heap()
	fmt.Printf("%d rollouts, %d at once; their routers and names take %d B each\n", rollouts, workers, (wired-empty)/int64(rollouts))

	if err := f.measure("start", func(name string) error { return f.start(ctx, name) }); err != nil {
		return err
	}
	fmt.Printf("%-10s %d B of heap a rollout\n", "", (bench.Heap()-wired)/int64(rollouts))
	for turn := 1; ; turn++ {
		// The rollouts are alike, so the first one tells where all of them are.
		var decided bool
		if err := f.measure(fmt.Sprint("turn ", turn), func(name string) error {
			d, err := f.runner.Reconcile(ctx, name)
			if name == f.names[0] {
				decided = d.Transition.Kind != 0
			}
			return err
		}); err != nil {
			return err
		}
		if !decided {
			break
		}
	}
	fmt.Printf("%-10s %d B of heap a rollout\n", "", (bench.Heap()-wired)/int64(rollouts))

	return profiled(profile, func() error {
		for range rounds {
			if err := f.measure("idle", func(name string) error {
				_, err := f.runner.Reconcile(ctx, name)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// profiled does something and writes a CPU profile of it, if a file is named.
func profiled(name string, do func() error) (err error) {
	if name == "" {
		return do()
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return do()
}

func newFleet(rollouts, workers int) (*fleet, error) {
	pass := map[string]analysis.Judge{"errors": analysis.JudgeFunc(func(_ context.Context, c analysis.Check) (analysis.Finding, error) {
		return c.Finding(analysis.Pass, "nothing speaks against it"), nil
	})}
	f := &fleet{wirings: make(map[string]strategy.Wiring, rollouts), workers: workers}
	for i := range rollouts {
		name := "service-" + strconv.Itoa(i)
		f.names = append(f.names, name)
		f.wirings[name] = strategy.Wiring{Routers: map[string]traffic.Router{"web": &traffic.Memory{}}, Judges: pass}
	}
	var err error
	f.runner, err = strategy.NewRunner(strategy.Config{
		Store: &strategy.MemoryStore{},
		Wire:  func(_ context.Context, service string) (strategy.Wiring, error) { return f.wirings[service], nil },
	})
	return f, err
}

func (f *fleet) start(ctx context.Context, name string) error {
	plan, err := strategy.Canary{Target: "web", Hold: 24 * time.Hour, Checks: []string{"errors"}}.Plan()
	if err != nil {
		return err
	}
	_, err = f.runner.Start(ctx, name, strategy.Request{Release: strategy.NewRelease("v1", "v2"), Plan: plan})
	return err
}

// measure does one thing to every rollout and prints what it cost.
func (f *fleet) measure(what string, do func(name string) error) error {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, begun := bench.CPU(), time.Now()
	failed := make([]error, f.workers)
	var wg sync.WaitGroup
	for w := range f.workers {
		wg.Go(func() {
			for i := w; i < len(f.names); i += f.workers {
				if err := do(f.names[i]); err != nil {
					failed[w] = fmt.Errorf("%s: %w", f.names[i], err)
					return
				}
			}
		})
	}
	wg.Wait()
	took, used := time.Since(begun), bench.CPU()-cpu
	runtime.ReadMemStats(&after)
	n := float64(len(f.names))
	fmt.Printf("%-10s %6.2f µs of CPU each, %7.0f a second, %4.1f allocations and %6.0f B each\n", what,
		float64(used.Nanoseconds())/n/1e3, n/took.Seconds(), float64(after.Mallocs-before.Mallocs)/n, float64(after.TotalAlloc-before.TotalAlloc)/n)
	return errors.Join(failed...)
}
