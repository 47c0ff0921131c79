// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// rollout is a state as a canary has it, at this rev.
func rollout(tb testing.TB, service string, rev uint64) strategy.State {
	tb.Helper()
	plan, err := strategy.Canary{Target: "edge", Checks: []string{"errors"}}.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	frozen, err := strategy.Freeze(plan)
	if err != nil {
		tb.Fatal(err)
	}
	return strategy.State{
		Version: strategy.StateVersion, Service: service, Run: 1, Rev: rev, Seq: rev, Plan: frozen, Phase: strategy.Progressing,
		Release: strategy.Release{Stable: strategy.Revision{Version: "v1"}, Candidate: strategy.Revision{Version: "v2"}},
		Lanes:   []strategy.LaneState{{Status: strategy.Moving}},
		Targets: []strategy.TargetState{{Name: "edge", Route: traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}}},
		Checks:  []strategy.CheckState{{Lane: "edge", Name: "errors"}},
	}
}

func openBench(b *testing.B, dir string) *strategy.FileStore {
	b.Helper()
	f, err := strategy.OpenFileStore(dir, strategy.FileStoreOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func BenchmarkMemoryStoreSave(b *testing.B) {
	var m strategy.MemoryStore
	s := rollout(b, "web", 0)
	b.ReportAllocs()
	for b.Loop() {
		s.Rev++
		if err := m.Save(b.Context(), "web", s.Rev-1, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFileStoreSave is one save after another: mostly the disk's sync.
func BenchmarkFileStoreSave(b *testing.B) {
	f := openBench(b, b.TempDir())
	defer f.Close()
	s := rollout(b, "web", 0)
	b.ReportAllocs()
	for b.Loop() {
		s.Rev++
		if err := f.Save(b.Context(), "web", s.Rev-1, s, strategy.Transition{Rev: s.Rev, Kind: strategy.StepSettled}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFileStoreSaveTogether is 512 services whose saves share syncs.
func BenchmarkFileStoreSaveTogether(b *testing.B) {
	f := openBench(b, b.TempDir())
	defer f.Close()
	var services atomic.Int64
	first := rollout(b, "", 0)
	b.ReportAllocs()
	b.SetParallelism(512 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		s := first
		s.Service = fmt.Sprint("service-", services.Add(1))
		for pb.Next() {
			s.Rev++
			if err := f.Save(b.Context(), s.Service, s.Rev-1, s); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkFileStoreLoad(b *testing.B) {
	f := openBench(b, b.TempDir())
	defer f.Close()
	if err := f.Save(b.Context(), "web", 0, rollout(b, "web", 1)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Load(b.Context(), "web"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFileStoreOpen opens 10,000 services, and says what each takes on disk
// and in memory before and after it was loaded.
func BenchmarkFileStoreOpen(b *testing.B) {
	const count = 10_000
	dir := b.TempDir()
	f := openBench(b, dir)
	s := rollout(b, "", 1)
	work := make(chan int)
	done := make(chan error)
	for range 512 {
		go func() {
			var failed error
			for i := range work {
				s := s
				s.Service = fmt.Sprint("service-", i)
				if err := f.Save(b.Context(), s.Service, 0, s); err != nil {
					failed = err
				}
			}
			done <- failed
		}()
	}
	for i := range count {
		work <- i
	}
	close(work)
	for range 512 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "state.log"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := openBench(b, dir).Close(); err != nil {
			b.Fatal(err)
		}
	}
	f = nil // with everything it had cached
	before := heap()
	f = openBench(b, dir)
	opened := heap()
	for i := range count {
		if _, err := f.Load(b.Context(), fmt.Sprint("service-", i)); err != nil {
			b.Fatal(err)
		}
	}
	loaded := heap()
	b.ReportMetric(float64(info.Size())/count, "disk-B/service")
	b.ReportMetric(float64(opened-before)/count, "opened-B/service")
	b.ReportMetric(float64(loaded-before)/count, "loaded-B/service")
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
