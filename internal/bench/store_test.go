// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
)

func open(tb testing.TB, dir string) *strategy.FileStore {
	tb.Helper()
	f, err := strategy.OpenFileStore(dir, strategy.FileStoreOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// BenchmarkFileStoreSave saves a canary's state, with as many services at it at
// once: each save is on disk, synced, before it returns, and those that come
// together share a sync. An op is one save of one service.
func BenchmarkFileStoreSave(b *testing.B) {
	first := holding(b, 1).State
	for _, services := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			dir := b.TempDir()
			f := open(b, dir)
			each := (b.N + services - 1) / services
			states := make([]strategy.State, services)
			for i := range states {
				states[i] = first.Clone()
				states[i].Service = fmt.Sprintf("service-%d", i)
				if err := f.Save(b.Context(), states[i].Service, 0, states[i]); err != nil {
					b.Fatal(err)
				}
			}
			before, cpu, begun := written(b), CPU(), time.Now()
			b.ReportAllocs()
			b.ResetTimer()
			failed := make([]error, services)
			var wg sync.WaitGroup
			for i := range states {
				wg.Go(func() {
					s := &states[i]
					for range each {
						s.Rev++
						if failed[i] = f.Save(b.Context(), s.Service, s.Rev-1, *s, s.Recent[len(s.Recent)-1]); failed[i] != nil {
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			if err := errors.Join(failed...); err != nil {
				b.Fatal(err)
			}
			saves := float64(each * services)
			b.ReportMetric(saves/time.Since(begun).Seconds(), "saves/s")
			b.ReportMetric(float64((CPU()-cpu).Nanoseconds())/saves, "cpu-ns/op")
			if now := written(b); now > 0 {
				b.ReportMetric(float64(now-before)/saves, "written-B/op")
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// written is how many bytes this process has handed to files so far, compactions
// included, or 0 where the system does not tell.
func written(tb testing.TB) int64 {
	tb.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// size is what a store takes on disk.
func size(tb testing.TB, dir string) int64 {
	tb.Helper()
	var sum int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			tb.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// BenchmarkFileStoreOpen opens a store of 10,000 services that each hold at
// their first step: what a process that starts again waits for.
func BenchmarkFileStoreOpen(b *testing.B) {
	const services, together = 10_000, 256
	first := holding(b, 1).State
	dir := b.TempDir()
	f := open(b, dir)
	var wg sync.WaitGroup
	failed := make([]error, together)
	for w := range together {
		wg.Go(func() {
			for i := w; i < services; i += together {
				s := first.Clone()
				s.Service = fmt.Sprintf("service-%d", i)
				failed[w] = errors.Join(failed[w], f.Save(b.Context(), s.Service, 0, s))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(failed, f.Close())...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := open(b, dir).Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size(b, dir))/services, "disk-B/service")
}
